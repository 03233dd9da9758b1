"""ledger.py: the changes of state of a chunk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from include.enrichment.batches.ledger import UNSETTLED, Entry, Fence, OpenChunk, OpenChunks, State
from include.enrichment.errors import BatchError

SENT_AT = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
LATER = SENT_AT + timedelta(minutes=5)
STATES: tuple[State, ...] = get_args(State)
WITH_A_BATCH = ("submitted", "asking", "landed")
#: A chunk is planned, claimed, sent and loaded. An unclear create is settled by the batch that is found or by another
#: claim. A chunk is planned again only if its create certainly made no batch. A batch may be recorded late, by a
#: process that was believed dead.
MAY_FOLLOW = {
    ("planned", "submitting"),
    ("planned", "submitted"),
    ("planned", "withdrawn"),
    ("submitting", "submitting"),
    ("submitting", "submitted"),
    ("submitting", "planned"),
    ("submitting", "unclear"),
    ("unclear", "submitting"),
    ("unclear", "submitted"),
    ("unclear", "planned"),
    ("submitted", "landed"),
    ("planned", "asking"),
    ("asking", "asking"),
    ("asking", "planned"),
    ("asking", "landed"),
    ("landed", "landed"),
    ("withdrawn", "submitted"),
}


def _entry(state: State, **fields: Any) -> Entry:
    """Return an entry in that state, with a batch if the state has one."""
    known: dict[str, Any] = {
        "chunk_id": "c" * 22,
        "pipeline": "catalogue",
        "chunk": "chunks/catalogue/ccc.parquet",
        "requests": 3,
        "run_id": "run-1",
        "run_ids": ["run-1"],
        "batch_id": "msgbatch_1" if state in WITH_A_BATCH else None,
    }
    return Entry(state=state, changed_at=SENT_AT, **known | fields)


def _batch_of(state: State) -> dict[str, str]:
    return {"batch_id": "msgbatch_1"} if state in WITH_A_BATCH else {}


@pytest.mark.parametrize("after", STATES)
@pytest.mark.parametrize("before", STATES)
def test_only_the_listed_changes_of_state_are_possible(before: State, after: State) -> None:
    entry = _entry(before)
    if (before, after) in MAY_FOLLOW:
        changed = entry.becomes(after, at=LATER, **_batch_of(after))
        assert (changed.state, changed.changed_at) == (after, LATER)
    else:
        with pytest.raises(BatchError, match=f"is {before} in the ledger and cannot become {after}. Nothing was"):
            entry.becomes(after, at=LATER, **_batch_of(after))


@pytest.mark.parametrize(("before", "after"), sorted(MAY_FOLLOW))
def test_only_what_was_sent_or_asked_has_a_batch(before: State, after: State) -> None:
    entry = _entry(before, batch_id=None)
    wrong = None if after in WITH_A_BATCH else "msgbatch_1"
    with pytest.raises(BatchError, match="cannot become"):
        entry.becomes(after, at=LATER, batch_id=wrong)


@pytest.mark.parametrize("before", WITH_A_BATCH)
@pytest.mark.parametrize("other", ["msgbatch_2", "", None])
def test_the_batch_of_an_entry_never_changes(before: State, other: str | None) -> None:
    with pytest.raises(BatchError, match="cannot become landed"):
        _entry(before).becomes("landed", at=LATER, batch_id=other)


def test_a_recorded_batch_is_kept() -> None:
    submitted = _entry("submitting").becomes("submitted", at=LATER, batch_id="msgbatch_1")
    assert submitted.batch_id == "msgbatch_1"
    assert submitted.becomes("landed", at=LATER).batch_id == "msgbatch_1"
    assert submitted.becomes("landed", at=LATER, batch_id="msgbatch_1").batch_id == "msgbatch_1"


@pytest.mark.parametrize("state", UNSETTLED)
def test_an_unsettled_entry_may_get_a_batch(state: State) -> None:
    assert state not in WITH_A_BATCH
    assert (state, "submitted") in MAY_FOLLOW


@pytest.mark.parametrize(
    ("before", "asked", "batch_ids"),
    [
        ("submitted", None, ("msgbatch_1",)),
        ("landed", "msgbatch_2", ("msgbatch_1", "msgbatch_2")),
        ("unclear", "msgbatch_2", ("msgbatch_2",)),
        ("withdrawn", None, ()),
    ],
)
def test_a_forbidden_change_names_the_batches_at_risk(
    before: State, asked: str | None, batch_ids: tuple[str, ...]
) -> None:
    with pytest.raises(BatchError) as raised:
        _entry(before).becomes("planned", at=LATER, **({"batch_id": asked} if asked else {}))
    assert raised.value.batch_ids == batch_ids
    assert not raised.value.retryable


def test_a_change_does_not_modify_the_earlier_entry() -> None:
    entry = _entry("submitting")
    entry.becomes("submitted", at=LATER, batch_id="msgbatch_1")
    assert entry == _entry("submitting")


def test_given_fields_change_with_the_state_and_the_others_stay() -> None:
    fence = Fence(newest_batch="msgbatch_0", at=SENT_AT)
    claim = _entry("planned").becomes(
        "submitting", at=LATER, run_id="run-2", run_ids=["run-1", "run-2"], fence=fence, refusals=3
    )
    assert claim == _entry(
        "submitting", run_id="run-2", run_ids=["run-1", "run-2"], fence=fence, refusals=3
    ).model_copy(update={"changed_at": LATER})


def test_a_run_that_waits_for_the_batch_is_added() -> None:
    entry = _entry("submitted")
    assert entry.with_run("run-2") == _entry("submitted", run_ids=["run-1", "run-2"])
    assert entry.run_ids == ["run-1"]


@pytest.mark.parametrize(
    "record",
    [
        *map(_entry, STATES),
        _entry("submitting", fence=Fence(newest_batch=None, at=SENT_AT), refusals=2),
        OpenChunks(),
        OpenChunks(chunks={"c" * 22: OpenChunk(folder="run-1", planned_at=SENT_AT)}),
    ],
    ids=lambda record: getattr(record, "state", type(record).__name__),
)
def test_an_entry_is_read_back_unchanged(record: BaseModel) -> None:
    assert type(record).model_validate_json(record.model_dump_json()) == record


@pytest.mark.parametrize(
    "change",
    [
        {"state": "done"},
        {"version": 0},
        {"cost_usd": 1},
        {"requests": "many"},
        {"changed_at": "yesterday"},
        {"fence": "msgbatch_0"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_invalid_entry_is_rejected(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Entry.model_validate({**_entry("planned").model_dump(), **change})


@pytest.mark.parametrize("change", [{"version": 0}, {"closed": {}}, {"chunks": {"c": {}}}, {"chunks": ["c"]}])
def test_an_invalid_list_of_open_chunks_is_rejected(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OpenChunks.model_validate({**OpenChunks().model_dump(), **change})
