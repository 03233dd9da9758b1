"""prior_results.py: the outcomes of a run's requests, and what the next pass can do about them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.enrichment.answers.outcome import COULD_NOT_PROCESS
from include.enrichment.batches.prior_results import COMPACT_SCHEMA, FOUND_SCHEMA, PriorResults, select_outcomes

BILLED = ["succeeded", "invalid"]
UNBILLED = ["errored", "expired", "canceled", "missing"]
#: A line each: request, outcome, error type, stop reason, batch.
Line = tuple[str, str, str | None, str | None, str]


def _found(*lines: Line) -> PriorResults:
    return PriorResults(
        pa.Table.from_pylist([dict(zip(FOUND_SCHEMA.names, line, strict=True)) for line in lines], FOUND_SCHEMA).cast(
            COMPACT_SCHEMA
        )
    )


def _line(request_id: str, outcome: str, batch_id: str = "b-1", stop_reason: str | None = "end_turn") -> Line:
    errored = outcome == "errored"
    return request_id, outcome, "api_error" if errored else None, stop_reason if outcome in BILLED else None, batch_id


EVERY = _found(*(_line(outcome, outcome) for outcome in [*BILLED, *UNBILLED]))


def test_a_paid_request_is_never_sent_again_unchanged() -> None:
    assert EVERY.paid == {*BILLED}


@pytest.mark.parametrize("outcome", BILLED)
@pytest.mark.parametrize("other", UNBILLED)
@pytest.mark.parametrize("paid_first", [True, False])
def test_a_paid_request_stays_paid_despite_other_outcomes(outcome: str, other: str, paid_first: bool) -> None:
    batches = ("b-1", "b-2") if paid_first else ("b-2", "b-1")
    found = _found(_line("r", outcome, batches[0]), _line("r", other, batches[1]))
    assert found.paid == {"r"}


@pytest.mark.parametrize(
    ("outcome", "error_type", "failed"),
    [
        ("expired", None, False),
        ("canceled", None, False),
        ("missing", None, False),
        ("errored", "overloaded_error", False),
        ("errored", None, False),
        ("errored", "invalid_request_error", True),
        ("invalid", None, False),
        ("succeeded", None, False),
    ],
)
def test_a_transient_failure_and_a_paid_answer_are_no_failure_for_good(
    outcome: str, error_type: str | None, failed: bool
) -> None:
    assert _found(("r", outcome, error_type, "end_turn", "b-1")).failed == ({"r"} if failed else set())


def test_one_transient_failure_makes_a_request_retryable() -> None:
    found = _found(("r", "errored", "invalid_request_error", None, "b-1"), _line("r", "expired", "b-2"))
    assert found.failed == set()


def test_a_document_that_could_not_be_processed_is_sent_once_more_and_twice_is_for_good() -> None:
    once: Line = ("r", "errored", COULD_NOT_PROCESS, None, "b-1")
    assert not _found(once).failed
    assert not _found(once, _line("r", "expired", "b-2")).failed
    assert _found(once, ("r", "errored", COULD_NOT_PROCESS, None, "b-2")).failed == {"r"}


class TestFailedIn:
    def test_every_batch_that_left_a_request_unanswered_is_named(self) -> None:
        found = _found(
            _line("r-1", "expired", "b-1"),
            _line("r-1", "errored", "b-2"),
            _line("r-1", "succeeded", "b-3"),
            _line("r-2", "canceled", "b-2"),
            _line("r-3", "missing", "b-1"),
            _line("r-3", "missing", "b-1"),
        )
        assert found.failed_in({"r-1", "r-2", "r-3"}) == {"r-1": {"b-1", "b-2"}, "r-2": {"b-2"}, "r-3": {"b-1"}}

    def test_only_the_given_requests_that_failed_are_named(self) -> None:
        assert EVERY.failed_in({"expired", "succeeded", "invalid", "unheard of"}) == {"expired": {"b-1"}}
        assert EVERY.failed_in(set()) == {}


class TestRepairable:
    @pytest.mark.parametrize(
        ("stop_reason", "repairable"),
        [
            ("end_turn", True),
            ("stop_sequence", True),
            ("max_tokens", True),
            ("refusal", False),
            ("model_context_window_exceeded", False),
            (None, False),
        ],
    )
    def test_an_invalid_answer_is_repairable_if_another_may_fit(
        self, stop_reason: str | None, repairable: bool
    ) -> None:
        found = _found(_line("r", "invalid", "b-1", stop_reason))
        assert found.repairable() == ({"r": "b-1"} if repairable else {})

    @pytest.mark.parametrize("outcome", ["succeeded", *UNBILLED])
    def test_a_request_without_an_invalid_answer_needs_no_repair(self, outcome: str) -> None:
        assert _found(_line("r", outcome)).repairable() == {}

    @pytest.mark.parametrize("batches", [("b-1", "b-2"), ("b-2", "b-1")])
    def test_a_request_with_a_usable_answer_needs_no_repair(self, batches: tuple[str, str]) -> None:
        assert _found(_line("r", "invalid", batches[0]), _line("r", "succeeded", batches[1])).repairable() == {}

    def test_an_unanswered_try_does_not_prevent_a_repair(self) -> None:
        found = _found(_line("r", "errored", "b-1"), _line("r", "invalid", "b-2"), _line("r", "expired", "b-3"))
        assert found.repairable() == {"r": "b-2"}

    @pytest.mark.parametrize("batches", [("b-1", "b-2"), ("b-2", "b-1")])
    def test_the_choice_among_invalid_answers_does_not_depend_on_their_order(self, batches: tuple[str, str]) -> None:
        """A repair of another answer would be another request, and billed again."""
        assert _found(*(_line("r", "invalid", batch_id) for batch_id in batches)).repairable() == {"r": "b-1"}

    def test_a_repairable_answer_is_chosen_among_invalid_ones(self) -> None:
        found = _found(_line("r", "invalid", "b-1", "refusal"), _line("r", "invalid", "b-2"))
        assert found.repairable() == {"r": "b-2"}


def test_batches_are_distinct_and_sorted() -> None:
    found = _found(_line("r-1", "expired", "b-2"), _line("r-1", "errored", "b-1"), _line("r-2", "invalid", "b-2"))
    assert found.batches == ["b-1", "b-2"]


def test_the_sum_of_two_results_holds_both() -> None:
    first, second = _found(_line("r-1", "invalid", "b-1")), _found(_line("r-2", "expired", "b-2"))
    assert first.paid == {"r-1"}
    both = first + second
    assert both.paid == {"r-1"}
    assert both.failed_in({"r-1", "r-2"}) == {"r-2": {"b-2"}}
    assert both.batches == ["b-1", "b-2"]
    assert (first.batches, second.batches) == (["b-1"], ["b-2"])
    assert (both + _found(_line("r-1", "succeeded", "b-3"))).repairable() == {}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", ""),
        ("a", ""),
        ("z", ""),
        ("ce", ""),
        ("d", "dd"),
        ("f", "f"),
        ("abz", "b"),
        ("abcdefg", "dbfd"),
        ("bdf", "dbfd"),
        ("aabbccddeeffgg", "dbfd"),
    ],
)
def test_wanted_outcomes_keep_their_order(wanted: str, found: str) -> None:
    lines = pa.table({"request_id": ["d", "b", "f", "d"], "x": [1, 2, 3, 4]})
    assert select_outcomes(lines, pa.array(sorted(wanted), pa.string()))["request_id"].to_pylist() == list(found)
    assert select_outcomes(lines.slice(0, 0), pa.array(["d"])).num_rows == 0


def test_no_outcomes_give_empty_results() -> None:
    for found in (_found(), _found() + _found(), PriorResults(COMPACT_SCHEMA.empty_table())):
        assert found.batches == []
        assert found.paid == found.failed == set()
        assert found.failed_in({"r"}) == {}
        assert found.repairable() == {}


def test_only_batches_with_usable_answers_to_the_requests_are_named() -> None:
    lines = [
        ("r-1", "succeeded", "b-2"),
        ("r-1", "errored", "b-1"),
        ("r-2", "invalid", "b-3"),
        ("r-3", "succeeded", "b-4"),
    ]
    found = _found(*(_line(*line) for line in lines))
    assert found.usable == {"r-1", "r-3"}
    assert found.usable_in(["r-1", "r-2"]) == ["b-2"]
