from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import BatchError
from include.steps.chunks import request_ids_of
from tests.fixtures.flow import Flow, sizes

# Canary


def test_a_canary_sends_a_handful_first_and_the_main_pass_the_rest(twenty: Flow) -> None:
    assert sizes(twenty, "canary") == [5]
    twenty.send("canary")
    assert sizes(twenty) == [15]


def test_a_canary_takes_the_first_requests_in_the_order_of_their_ids(twenty: Flow) -> None:
    """Whichever run plans it, and in whatever order its rows come."""
    (canary,) = twenty.plan("canary")
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    path = pa.BufferReader(twenty.lake.read(twenty.folder.rows))
    ids = pq.read_table(path, columns=["request_id"])["request_id"].to_pylist()
    assert sorted(request_ids_of(twenty.lake, canary)) == sorted(ids)[:5]


def test_a_canary_pass_that_is_planned_again_does_not_grow(twenty: Flow) -> None:
    chunks = twenty.plan("canary")
    assert twenty.plan("canary") == chunks
    twenty.submit(chunks[0])
    assert twenty.plan("canary") == chunks


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            {"kind": "errored", "error_type": "not_found_error", "message": "model: x"},
            "errored, not_found_error: model",
        ),
        ({"kind": "errored", "error_type": "invalid_request_error", "message": "no"}, "errored, invalid_request_error"),
        ({"kind": "invalid_json"}, "invalid, not JSON"),
        ({"kind": "truncated"}, "invalid, cut at max_tokens"),
    ],
)
def test_a_canary_that_fails_for_good_stops_the_run_before_anything_else_is_sent(
    twenty: Flow, fault: dict[str, str], reason: str
) -> None:
    twenty.emulator.set_faults([fault])
    twenty.send("canary")
    with pytest.raises(BatchError, match=f"none of its 5 requests gave a usable answer: {reason}") as caught:
        twenty.plan()
    assert not caught.value.retryable
    assert twenty.requests_sent() == 5


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "errored", "error_type": "overloaded_error"},
        {"kind": "expired"},
        {"kind": "canceled"},
        {"kind": "invalid_json", "share": 0.6},
    ],
    ids=str,
)
def test_a_canary_that_fails_in_part_or_for_a_passing_reason_does_not(twenty: Flow, fault: dict[str, object]) -> None:
    twenty.emulator.set_faults([fault])
    assert "succeeded" not in twenty.send("canary") or fault["kind"] == "invalid_json"
    assert sizes(twenty) == [15]


def test_a_canary_that_was_all_there_was_to_send_stops_nothing(flow: Flow) -> None:
    flow.emulator.set_faults([{"kind": "refusal"}])
    flow.extract()
    flow.send("canary")
    assert flow.plan() == flow.plan("retry") == []


def test_after_a_canary_that_failed_its_plan_asks_again_what_was_not_billed(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "errored", "error_type": "not_found_error"}])
    twenty.send("canary")
    with pytest.raises(BatchError):
        twenty.plan()
    twenty.emulator.set_faults([])
    assert twenty.send("canary") == {"succeeded": 5}
    assert sizes(twenty) == [15]


# Retry


@pytest.mark.parametrize(
    ("fault", "asked_again"),
    [
        ({"kind": "expired"}, True),
        ({"kind": "canceled"}, True),
        ({"kind": "errored", "error_type": "overloaded_error"}, True),
        ({"kind": "errored", "error_type": "api_error"}, True),
        ({"kind": "errored", "error_type": "invalid_request_error"}, False),
        ({"kind": "refusal"}, False),
        ({"kind": "invalid_json"}, True),
        ({"kind": "violates_schema"}, True),
        ({"kind": "truncated"}, True),
    ],
    ids=str,
)
def test_a_retry_asks_again_what_may_end_better_and_only_that(
    twenty: Flow, fault: dict[str, object], asked_again: bool
) -> None:
    twenty.emulator.set_faults([fault | {"share": 0.4}])
    counts = twenty.send()
    failed = 20 - counts["succeeded"]
    assert 0 < failed < 20
    assert sum(sizes(twenty, "retry")) == (failed if asked_again else 0)


def test_what_the_canary_left_unanswered_is_the_retrys(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "expired", "times": 1}])
    assert twenty.send("canary") == {"expired": 5}
    assert twenty.send() == {"succeeded": 15}
    assert twenty.send("retry") == {"succeeded": 5}
    assert twenty.plan("retry_2") == []


def test_an_expired_chunk_is_asked_again_whole_as_another_chunk(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "expired", "times": 1}])
    (first,) = twenty.plan()
    twenty.load(first)
    (second,) = twenty.plan("retry")
    assert second != first
    assert sorted(request_ids_of(twenty.lake, second)) == sorted(request_ids_of(twenty.lake, first))
    assert twenty.load(second) == {"succeeded": 20}


def test_a_repair_is_made_once_and_never_repaired_itself(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema"}])
    assert twenty.send() == twenty.send("retry_1") == {"invalid": 20}
    assert twenty.plan("retry_2") == []
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    assert twenty.plan("canary") == twenty.plan() == twenty.plan("retry_1") == []


def test_a_repair_that_expired_is_asked_again_in_the_next_pass(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema", "times": 1}])
    twenty.send()
    twenty.emulator.set_faults([{"kind": "expired", "times": 1}])
    assert twenty.send("retry_1") == {"expired": 20}
    assert twenty.send("retry_2") == {"succeeded": 20}


def test_a_retry_that_is_planned_again_sends_nothing_more(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema", "share": 0.5, "times": 1}])
    twenty.send()
    chunks = twenty.plan("retry")
    assert twenty.plan("retry") == chunks
    twenty.load(chunks[0])
    assert twenty.plan("retry") == []
