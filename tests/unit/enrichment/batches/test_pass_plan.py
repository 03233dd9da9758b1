"""pass_plan.py: a pass sends each wanted request once, unless it is answered or in flight."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from include.enrichment.batches.ledger import Entry, OpenChunk, State
from include.enrichment.batches.pass_plan import (
    Division,
    InFlight,
    PassPlan,
    check_canary,
    check_chunks,
    check_only_rejects,
    describe_plan,
    divide,
    is_closed,
)
from include.enrichment.errors import BatchError, ParamError, SpecError
from include.enrichment.requests.request_ids import RequestIds

PLANNED_AT = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def _chunk(request_ids: str, *, sent: bool = False, own: bool = False) -> InFlight:
    """Return an open chunk; each letter of its name is a request."""
    return InFlight(chunk_id=request_ids, request_ids=RequestIds(request_ids), sent=sent, own=own)


class TestDivide:
    @pytest.mark.parametrize(
        ("in_flight", "division"),
        [
            ([], Division(to_send=RequestIds("abcd"))),
            ([_chunk("xy", sent=True)], Division(to_send=RequestIds("abcd"))),
            ([_chunk("ab", sent=True), _chunk("cd", sent=True)], Division(to_send=RequestIds(), join=["ab", "cd"])),
            ([_chunk("abcdx", sent=True, own=True)], Division(to_send=RequestIds(), join=["abcdx"])),
            ([_chunk("bx", sent=True), _chunk("d", sent=True)], Division(to_send=RequestIds("ac"), join=["bx", "d"])),
        ],
        ids=["nothing", "only what nobody wants", "all of it", "all of it and more", "a part of it"],
    )
    def test_sent_chunks_of_any_run_are_joined_and_the_rest_is_sent(
        self, in_flight: list[InFlight], division: Division
    ) -> None:
        assert divide(RequestIds("abcd"), in_flight) == division

    @pytest.mark.parametrize("requests", ["ab", "abx", "cx", "abc"])
    @pytest.mark.parametrize("own", [True, False])
    def test_unsent_chunks_of_any_run_are_taken_over(self, own: bool, requests: str) -> None:
        assert divide(RequestIds("abc"), [_chunk(requests, own=own)]) == Division(
            to_send=RequestIds("abc"), take_over=[requests]
        )

    def test_an_own_unsent_chunk_without_wanted_requests_is_withdrawn(self) -> None:
        assert divide(RequestIds("abc"), [_chunk("xy", own=True)]) == Division(
            to_send=RequestIds("abc"), take_over=["xy"]
        )

    def test_another_runs_chunk_without_wanted_requests_is_left_alone(self) -> None:
        assert divide(RequestIds("abc"), [_chunk("xy")]) == Division(to_send=RequestIds("abc"))

    def test_without_wanted_requests_only_own_unsent_chunks_are_withdrawn(self) -> None:
        in_flight = [_chunk("ab", own=True), _chunk("cd", own=True, sent=True), _chunk("ef")]
        assert divide(RequestIds(), in_flight) == Division(to_send=RequestIds(), take_over=["ab"])

    @pytest.mark.parametrize("seed", range(200))
    def test_every_wanted_request_is_sent_or_joined_exactly_once(self, seed: int) -> None:
        luck = random.Random(seed)
        requests = [str(number) for number in range(luck.randrange(40))]
        wanted = RequestIds(request for request in requests if luck.random() < 0.6)
        luck.shuffle(requests)
        in_flight: list[InFlight] = []
        while requests and luck.random() < 0.9:
            some = [requests.pop() for _ in range(luck.randrange(1, min(len(requests), 6) + 1))]
            in_flight.append(
                InFlight(
                    chunk_id="-".join(some),
                    request_ids=RequestIds(some),
                    sent=luck.random() < 0.5,
                    own=luck.random() < 0.5,
                )
            )
        divided = divide(wanted, in_flight)
        chunks = {chunk.chunk_id: chunk for chunk in in_flight}
        covered = Counter(divided.to_send)
        for chunk_id in divided.join:
            assert chunks[chunk_id].request_ids & wanted, "a chunk is waited for in vain"
            covered.update(chunks[chunk_id].request_ids & wanted)
        assert covered == Counter(wanted)
        for chunk_id in divided.join:
            assert chunks[chunk_id].sent
        still_sendable = [chunk for chunk in in_flight if not chunk.sent and chunk.chunk_id not in divided.take_over]
        for chunk in still_sendable:
            assert not chunk.request_ids & wanted
            assert not chunk.own


class TestCheckChunks:
    def test_too_many_batches_are_rejected_with_both_remedies(self) -> None:
        with pytest.raises(SpecError, match=r"needs 1,025 batches.*over at most 1,024.*batch_requests.*max_map_length"):
            check_chunks(1_025, most=1_024)

    @pytest.mark.parametrize("most", [None, 1_024])
    def test_other_numbers_of_batches_are_allowed(self, most: int | None) -> None:
        check_chunks(1_024, most=most)


class TestClosed:
    OPENED = OpenChunk(folder="run-1", planned_at=PLANNED_AT)

    def _entry(self, state: State, changed_at: datetime = PLANNED_AT) -> Entry:
        return Entry(
            chunk_id="c" * 22,
            pipeline="catalogue",
            chunk="chunks/catalogue/ccc.parquet",
            requests=3,
            run_id="run-1",
            run_ids=["run-1"],
            state=state,
            changed_at=changed_at,
        )

    @pytest.mark.parametrize("state", ["landed", "withdrawn"])
    def test_a_landed_or_withdrawn_chunk_is_closed_at_once(self, state: State) -> None:
        assert is_closed(self.OPENED, self._entry(state), set(), now=PLANNED_AT)

    @pytest.mark.parametrize(
        ("state", "days"),
        [(None, 7), ("planned", 7), ("submitting", 30), ("unclear", 30), ("submitted", 30)],
    )
    def test_other_chunks_are_closed_after_a_week_or_with_a_possible_batch_a_month(
        self, state: State | None, days: int
    ) -> None:
        entry = self._entry(state) if state else None
        last = PLANNED_AT + timedelta(days=days)
        assert not is_closed(self.OPENED, entry, set(), now=PLANNED_AT)
        assert not is_closed(self.OPENED, entry, set(), now=last)
        assert is_closed(self.OPENED, entry, set(), now=last + MOMENT)

    @pytest.mark.parametrize("state", ["planned", "submitting", "unclear", "submitted"])
    def test_the_days_count_from_the_last_change(self, state: State) -> None:
        now = PLANNED_AT + timedelta(days=400)
        assert not is_closed(self.OPENED, self._entry(state, now - timedelta(days=6)), set(), now=now)

    def test_a_chunk_whose_batch_is_in_the_result_store_is_closed_in_any_state(self) -> None:
        entry = self._entry("submitted").model_copy(update={"batch_id": "msgbatch_1"})
        assert is_closed(self.OPENED, entry, {"msgbatch_1"}, now=PLANNED_AT)
        assert not is_closed(self.OPENED, entry, {"msgbatch_2"}, now=PLANNED_AT)


class TestCheckCanary:
    @pytest.mark.parametrize(
        "reasons",
        [
            {},
            {"a": None},
            {"a": None, "b": "invalid, not JSON", "c": "invalid, not JSON"},
            {"a": None, "b": None},
        ],
        ids=["no canary", "succeeded", "one of three succeeded", "all failed for passing reasons"],
    )
    def test_the_run_continues_if_one_request_succeeded_or_may_succeed(self, reasons: dict[str, str | None]) -> None:
        check_canary(reasons, {}, pipeline="tickets", pass_name="canary")

    def test_the_run_stops_with_the_most_common_reasons_if_all_failed_for_good(self) -> None:
        counts = {"errored, x": 1, "invalid, a": 3, "invalid, b": 2, "errored, invalid_request_error: c": 1_200}
        reasons = {f"{reason} {number}": reason for reason, count in counts.items() for number in range(count)}
        with pytest.raises(BatchError) as raised:
            check_canary(reasons, {}, pipeline="tickets", pass_name="canary")
        message = str(raised.value)
        assert message.startswith(
            "The canary failed: none of its 1,206 requests gave a usable answer: errored, invalid_request_error: c"
            " (1,200); invalid, a (3); invalid, b (2); others (1).\nNothing else was sent"
        )
        assert "checks" not in message
        assert "clear the `plan` of pass canary" in message
        assert not raised.value.retryable

    def test_the_variant_is_named(self) -> None:
        with pytest.raises(
            BatchError, match=r"(?s)The canary of variant candidate failed: none .*leaves a variant out"
        ):
            check_canary({"a": "invalid, x"}, {}, pipeline="tickets", pass_name="canary", variant="candidate")

    def test_paid_answers_are_not_suggested_for_another_try(self) -> None:
        with pytest.raises(BatchError) as raised:
            check_canary({"a": "invalid, not JSON"}, {}, pipeline="tickets", pass_name="canary")
        assert "clear the `plan`" not in str(raised.value)

    def test_a_canary_of_one_request_can_stop_the_run(self) -> None:
        with pytest.raises(BatchError, match=r"none of its 1 requests .*: invalid, refused \(1\)\.\nNothing"):
            check_canary({"a": "invalid, refused"}, {}, pipeline="tickets", pass_name="canary")

    def test_failed_checks_are_counted_and_may_be_loosened_for_nothing(self) -> None:
        reasons = {"a": "invalid, check short: 9 words", "b": "invalid, check short: 8 words; check sku: none"}
        with pytest.raises(BatchError) as raised:
            check_canary(reasons, {"sku": 1, "short": 2}, pipeline="tickets", pass_name="canary")
        fact, left, step, _ = str(raised.value).splitlines()
        assert "none of its 2 requests gave a usable answer (failed checks: short (2), sku (1)): invalid, check" in fact
        assert left == "Nothing else was sent, and the canary's answers are kept."
        assert "then clear `extract` with downstream, or start a new run: the requests that change are sent" in step
        assert "loosen it in tickets/checks.yaml: the paid answers are judged again for $0" in step


class TestPassPlan:
    PLAN = PassPlan(
        chunks=["chunks/p/c.parquet"], batches=["b"], requests=5, to_send=2, in_flight=1, extracted_at=PLANNED_AT
    )

    def test_a_plan_is_read_back_unchanged(self) -> None:
        assert PassPlan.model_validate_json(self.PLAN.model_dump_json()) == self.PLAN

    def test_an_invalid_plan_is_rejected(self) -> None:
        with pytest.raises(ValidationError):
            PassPlan.model_validate({**self.PLAN.model_dump(), "cost_usd": 1})


class TestCheckOnlyRejects:
    def test_a_run_that_needs_no_other_rows_is_allowed(self) -> None:
        check_only_rejects(0, requests=1_000)

    def test_a_run_that_needs_other_rows_is_rejected_with_their_number_and_the_remedy(self) -> None:
        with pytest.raises(ParamError, match=r"(?s)3 of the partition's 1,000 requests .*Nothing was sent.*without"):
            check_only_rejects(3, requests=1_000)


@pytest.mark.parametrize(
    ("chunks", "joined", "to_send", "in_flight", "text"),
    [
        (2, 0, 121, 0, "Pass main: sending 121 in 2 batches. The run has 126 requests."),
        (1, 1, 0, 121, "Pass main: waiting for 121 in flight in 1 batch. The run has 126 requests."),
        (
            3,
            1,
            100,
            21,
            "Pass main: sending 100 in 2 batches, waiting for 21 in flight in 1 batch. The run has 126 requests.",
        ),
        (0, 0, 0, 0, "Pass main: nothing to send. The run has 126 requests."),
    ],
)
def test_a_plan_of_batches_is_described_by_what_it_sends_and_waits_for(
    chunks: int, joined: int, to_send: int, in_flight: int, text: str
) -> None:
    made = PassPlan(
        chunks=[f"chunk-{number}" for number in range(chunks)],
        batches=[],
        requests=126,
        to_send=to_send,
        in_flight=in_flight,
        extracted_at=TestPassPlan.PLAN.extracted_at,
    )
    assert describe_plan("main", made, joined=joined) == text


@pytest.mark.parametrize(
    ("synchronous", "text"),
    [
        (["c"], "Pass main: asking 100 synchronously, waiting for 21 in flight in 2 batches."),
        (["b"], "Pass main: sending 100 in 1 batch, waiting for 21 in flight in 1 batch and synchronous requests."),
        (["a", "b", "c"], "Pass main: asking 100 synchronously, waiting for 21 in flight in synchronous requests."),
    ],
)
def test_a_plan_tells_which_requests_are_synchronous(synchronous: list[str], text: str) -> None:
    made = TestPassPlan.PLAN.model_copy(
        update={"chunks": ["a", "b", "c"], "synchronous": synchronous, "to_send": 100, "in_flight": 21}
    )
    assert describe_plan("main", made, joined=2).startswith(text)
