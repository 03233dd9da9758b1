"""found.py: what the batches said of a run's requests, and what follows for the next pass."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.enrichment.batches.prior_results import FOUND_SCHEMA, PriorResults, lines_for

BILLED = ["succeeded", "invalid"]
UNBILLED = ["errored", "expired", "canceled", "missing"]
#: A line each: request, outcome, error type, stop reason, batch.
Line = tuple[str, str, str | None, str | None, str]


def _found(*lines: Line) -> PriorResults:
    return PriorResults(
        pa.Table.from_pylist([dict(zip(FOUND_SCHEMA.names, line, strict=True)) for line in lines], FOUND_SCHEMA)
    )


def _line(request_id: str, outcome: str, batch_id: str = "b-1", stop_reason: str | None = "end_turn") -> Line:
    errored = outcome == "errored"
    return request_id, outcome, "api_error" if errored else None, stop_reason if outcome in BILLED else None, batch_id


EVERY = _found(*(_line(outcome, outcome) for outcome in [*BILLED, *UNBILLED]))


def test_a_request_is_asked_that_has_any_outcome() -> None:
    assert EVERY.asked == {*BILLED, *UNBILLED}


def test_a_request_has_succeeded_that_has_a_usable_answer() -> None:
    assert EVERY.succeeded == {"succeeded"}


def test_a_request_is_settled_that_was_paid_for() -> None:
    assert EVERY.settled == {*BILLED}


@pytest.mark.parametrize("outcome", BILLED)
@pytest.mark.parametrize("other", UNBILLED)
@pytest.mark.parametrize("paid_first", [True, False])
def test_what_was_paid_for_once_stays_settled_whatever_another_batch_said(
    outcome: str, other: str, paid_first: bool
) -> None:
    batches = ("b-1", "b-2") if paid_first else ("b-2", "b-1")
    found = _found(_line("r", outcome, batches[0]), _line("r", other, batches[1]))
    assert found.settled == {"r"}


@pytest.mark.parametrize(
    ("outcome", "error_type", "may"),
    [
        ("expired", None, True),
        ("canceled", None, True),
        ("missing", None, True),
        ("errored", "overloaded_error", True),
        ("errored", None, True),
        ("errored", "invalid_request_error", False),
        ("invalid", None, False),
        ("succeeded", None, False),
    ],
)
def test_only_what_failed_for_a_passing_reason_may_end_better(outcome: str, error_type: str | None, may: bool) -> None:
    assert _found(("r", outcome, error_type, "end_turn", "b-1")).may_end_better == ({"r"} if may else set())


def test_one_passing_failure_is_enough_to_hope() -> None:
    found = _found(("r", "errored", "invalid_request_error", None, "b-1"), _line("r", "expired", "b-2"))
    assert found.may_end_better == {"r"}


class TestFailedIn:
    def test_it_names_every_batch_that_left_a_request_unanswered(self) -> None:
        found = _found(
            _line("r-1", "expired", "b-1"),
            _line("r-1", "errored", "b-2"),
            _line("r-1", "succeeded", "b-3"),
            _line("r-2", "canceled", "b-2"),
            _line("r-3", "missing", "b-1"),
            _line("r-3", "missing", "b-1"),
        )
        assert found.failed_in({"r-1", "r-2", "r-3"}) == {"r-1": {"b-1", "b-2"}, "r-2": {"b-2"}, "r-3": {"b-1"}}

    def test_it_names_only_requests_that_are_asked_for_and_have_failed(self) -> None:
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
    def test_an_invalid_answer_is_repaired_where_another_may_fit(
        self, stop_reason: str | None, repairable: bool
    ) -> None:
        found = _found(_line("r", "invalid", "b-1", stop_reason))
        assert found.repairable() == ({"r": "b-1"} if repairable else {})

    @pytest.mark.parametrize("outcome", ["succeeded", *UNBILLED])
    def test_what_has_no_invalid_answer_needs_no_repair(self, outcome: str) -> None:
        assert _found(_line("r", outcome)).repairable() == {}

    @pytest.mark.parametrize("batches", [("b-1", "b-2"), ("b-2", "b-1")])
    def test_what_has_a_usable_answer_in_any_batch_needs_no_repair(self, batches: tuple[str, str]) -> None:
        assert _found(_line("r", "invalid", batches[0]), _line("r", "succeeded", batches[1])).repairable() == {}

    def test_an_unanswered_try_beside_the_invalid_answer_changes_nothing(self) -> None:
        found = _found(_line("r", "errored", "b-1"), _line("r", "invalid", "b-2"), _line("r", "expired", "b-3"))
        assert found.repairable() == {"r": "b-2"}

    @pytest.mark.parametrize("batches", [("b-1", "b-2"), ("b-2", "b-1")])
    def test_of_several_invalid_answers_the_same_is_repaired_however_they_are_listed(
        self, batches: tuple[str, str]
    ) -> None:
        """Another answer would be another request, and paid again."""
        assert _found(*(_line("r", "invalid", batch_id) for batch_id in batches)).repairable() == {"r": "b-1"}

    def test_of_several_invalid_answers_one_that_may_be_mended_is_chosen(self) -> None:
        found = _found(_line("r", "invalid", "b-1", "refusal"), _line("r", "invalid", "b-2"))
        assert found.repairable() == {"r": "b-2"}


def test_batches_are_those_that_say_something_each_once_and_sorted() -> None:
    found = _found(_line("r-1", "expired", "b-2"), _line("r-1", "errored", "b-1"), _line("r-2", "invalid", "b-2"))
    assert found.batches == ["b-1", "b-2"]


def test_two_finds_together_say_what_both_say() -> None:
    first, second = _found(_line("r-1", "invalid", "b-1")), _found(_line("r-2", "expired", "b-2"))
    assert first.settled == {"r-1"}
    both = first + second
    assert (both.asked, both.settled, both.may_end_better) == ({"r-1", "r-2"}, {"r-1"}, {"r-2"})
    assert both.batches == ["b-1", "b-2"]
    assert (first.asked, second.asked) == ({"r-1"}, {"r-2"})
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
def test_the_wanted_lines_are_found_in_their_order_however_many_are_wanted(wanted: str, found: str) -> None:
    lines = pa.table({"request_id": ["d", "b", "f", "d"], "x": [1, 2, 3, 4]})
    assert lines_for(lines, pa.array(sorted(wanted), pa.string()))["request_id"].to_pylist() == list(found)
    assert lines_for(lines.slice(0, 0), pa.array(["d"])).num_rows == 0


def test_where_no_batch_was_asked_nothing_is_found() -> None:
    for found in (_found(), _found() + _found(), PriorResults(FOUND_SCHEMA.empty_table())):
        assert found.batches == []
        assert found.asked == found.succeeded == found.settled == found.may_end_better == set()
        assert found.failed_in({"r"}) == {}
        assert found.repairable() == {}
