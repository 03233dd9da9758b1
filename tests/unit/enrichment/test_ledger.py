"""ledger.py: which state may follow which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from pydantic import ValidationError

from include.enrichment.errors import BatchError
from include.enrichment.ledger import Entry, State

SENT_AT = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
LATER = SENT_AT + timedelta(minutes=5)
STATES: tuple[State, ...] = get_args(State)
#: A chunk is planned, sent, known and loaded; only a create that surely made nothing goes back.
MAY_FOLLOW = {
    ("planned", "submitting"),
    ("submitting", "submitted"),
    ("submitting", "planned"),
    ("submitted", "landed"),
    ("landed", "landed"),
}


def _entry(state: State, batch_id: str | None = None) -> Entry:
    return Entry(
        chunk_id="c" * 22,
        pipeline="catalogue",
        chunk="runs/x/chunk-00000.parquet",
        requests=3,
        run_id="run-1",
        state=state,
        changed_at=SENT_AT,
        batch_id=batch_id,
    )


@pytest.mark.parametrize("after", STATES)
@pytest.mark.parametrize("before", STATES)
def test_only_the_drawn_changes_are_possible(before: State, after: State) -> None:
    entry = _entry(before, "msgbatch_1")
    if (before, after) in MAY_FOLLOW:
        changed = entry.becomes(after, at=LATER)
        assert (changed.state, changed.changed_at) == (after, LATER)
    else:
        with pytest.raises(BatchError, match=f"is {before} in the ledger and cannot become {after}. Nothing was"):
            entry.becomes(after, at=LATER)


def test_a_change_leaves_the_entry_before_it_as_it_was() -> None:
    entry = _entry("submitting")
    entry.becomes("submitted", at=LATER, batch_id="msgbatch_1")
    assert (entry.state, entry.batch_id, entry.changed_at) == ("submitting", None, SENT_AT)


@pytest.mark.parametrize(("before", "after"), [("submitting", "submitted"), ("submitted", "landed")])
def test_there_is_no_batch_without_its_id(before: State, after: State) -> None:
    with pytest.raises(BatchError, match="cannot become"):
        _entry(before).becomes(after, at=LATER)


def test_an_entry_names_the_run_that_changed_it_last() -> None:
    assert _entry("planned").becomes("submitting", at=LATER, run_id="run-2").run_id == "run-2"


def test_a_batch_id_once_known_stays() -> None:
    submitted = _entry("submitting").becomes("submitted", at=LATER, batch_id="msgbatch_1")
    assert submitted.batch_id == "msgbatch_1"
    assert submitted.becomes("landed", at=LATER).batch_id == "msgbatch_1"


def test_a_forbidden_change_names_the_batch_that_is_at_risk() -> None:
    with pytest.raises(BatchError) as raised:
        _entry("submitted", "msgbatch_1").becomes("submitting", at=LATER)
    assert raised.value.batch_ids == ("msgbatch_1",)
    assert not raised.value.retryable


@pytest.mark.parametrize("state", STATES)
def test_an_entry_is_read_back_as_it_was_written(state: State) -> None:
    entry = _entry(state, "msgbatch_1")
    assert Entry.model_validate_json(entry.model_dump_json()) == entry


@pytest.mark.parametrize(
    "change",
    [{"state": "done"}, {"version": 2}, {"cost_usd": 1}, {"requests": "many"}, {"changed_at": "yesterday"}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_not_an_entry_is_not_read_as_one(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Entry.model_validate({**_entry("planned").model_dump(), **change})
