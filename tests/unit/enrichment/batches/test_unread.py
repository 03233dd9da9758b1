"""unread.py: batches that are or may be paid for and that nobody loads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.enrichment.batches.ledger import Entry, OpenChunk, State
from include.enrichment.batches.unread import describe_unread, find_unread, is_overdue

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = "runs/tickets/2026-11-01/"


def entry(state: State = "submitted", *, hours_ago: float = 1) -> Entry:
    return Entry(
        chunk_id="c",
        pipeline="tickets",
        chunk="chunks/tickets/c.parquet",
        requests=1_183,
        run_id="manual__1",
        state=state,
        changed_at=NOW - timedelta(hours=hours_ago),
        batch_id="msgbatch_1" if state in ("submitted", "asking", "landed") else None,
    )


def found(known: Entry | None, *, folder: str = f"{DAY}other/", read: frozenset[str] = frozenset()) -> list[Entry]:
    opened = {"c": OpenChunk(folder=folder, planned_at=NOW)}
    return list(find_unread(opened, {"c": known}, read=read, day=DAY, now=NOW))


@pytest.mark.parametrize("state", ["submitted", "asking", "submitting", "unclear"])
def test_an_unread_batch_of_the_same_day_is_reported_at_once(state: State) -> None:
    assert found(entry(state))


@pytest.mark.parametrize("state", ["submitted", "asking", "submitting", "unclear"])
def test_an_unread_batch_of_another_day_is_reported_once_overdue(state: State) -> None:
    another = "runs/tickets/2026-11-02/other/"
    assert found(entry(state, hours_ago=24), folder=another) == []
    assert found(entry(state, hours_ago=26), folder=another)
    assert found(entry(state, hours_ago=26), folder="warm-ups/tickets/p/")


@pytest.mark.parametrize("state", ["planned", "withdrawn", "landed"])
def test_an_unsent_or_landed_chunk_is_not_reported(state: State) -> None:
    assert found(entry(state, hours_ago=1_000)) == []
    assert not is_overdue(entry(state, hours_ago=1_000), now=NOW)


def test_chunks_that_the_run_reads_or_that_have_no_entry_are_not_reported() -> None:
    assert found(entry(), read=frozenset({"c"})) == []
    assert found(None) == []


def test_the_message_names_the_paid_batch_and_how_to_load_it() -> None:
    message = describe_unread(entry(), run_id="manual__2")
    assert message.startswith(
        "Batch msgbatch_1 (1,183 requests, sent by run manual__1 at 2026-11-29 11:00 UTC) is paid for but not loaded"
    )
    assert "clear that run's `submit` with downstream, or repeat the `make run` command that started it" in message


def test_the_message_about_a_chunk_that_was_being_asked_names_its_task_and_no_limit_of_time() -> None:
    message = describe_unread(entry("asking"), run_id="manual__2")
    assert "Chunk c (1,183 requests) was being asked by run manual__1 at 2026-11-29 11:00 UTC" in message
    assert "its results can be loaded: clear that run's `ask` with downstream" in message


def test_the_message_about_an_unrecorded_create_says_that_it_may_be_paid_for() -> None:
    assert "(1,183 requests) at 2026-11-29 11:00 UTC and has not recorded the result: it may be paid for" in (
        describe_unread(entry("submitting"), run_id="manual__2")
    )


def test_the_message_about_the_runs_own_batch_gives_the_reason() -> None:
    assert "The prompt, model or schema has changed since" in describe_unread(entry(), run_id="manual__1")
