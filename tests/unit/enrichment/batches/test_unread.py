"""unread.py: what is paid, or may be, and nobody reads."""

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
        batch_id="msgbatch_1" if state in ("submitted", "landed") else None,
    )


def found(known: Entry | None, *, folder: str = f"{DAY}other/", read: frozenset[str] = frozenset()) -> list[Entry]:
    opened = {"c": OpenChunk(folder=folder, planned_at=NOW)}
    return list(find_unread(opened, {"c": known}, read=read, day=DAY, now=NOW))


@pytest.mark.parametrize("state", ["submitted", "submitting", "unclear"])
def test_what_was_sent_for_the_same_day_and_is_not_read_is_told_at_once(state: State) -> None:
    assert found(entry(state))


@pytest.mark.parametrize("state", ["submitted", "submitting", "unclear"])
def test_what_was_sent_for_another_day_is_told_when_its_run_should_have_loaded_it(state: State) -> None:
    another = "runs/tickets/2026-11-02/other/"
    assert found(entry(state, hours_ago=24), folder=another) == []
    assert found(entry(state, hours_ago=26), folder=another)
    assert found(entry(state, hours_ago=26), folder="warm-ups/tickets/p/")


@pytest.mark.parametrize("state", ["planned", "withdrawn", "landed"])
def test_what_was_never_sent_or_has_landed_is_not_told(state: State) -> None:
    assert found(entry(state, hours_ago=1_000)) == []
    assert not is_overdue(entry(state, hours_ago=1_000), now=NOW)


def test_what_the_run_reads_and_what_the_ledger_does_not_know_is_not_told() -> None:
    assert found(entry(), read=frozenset({"c"})) == []
    assert found(None) == []


def test_the_message_says_what_is_paid_and_how_it_is_loaded() -> None:
    told = describe_unread(entry(), run_id="manual__2")
    assert told.startswith(
        "Batch msgbatch_1 (1,183 requests, sent by run manual__1 at 2026-11-29 11:00 UTC) is paid and not loaded"
    )
    assert "clear that run's `submit` with downstream; where `make run` began it, give the same command again" in told


def test_of_a_create_that_nobody_has_recorded_the_message_says_that_it_may_be_paid() -> None:
    assert "was making a batch at 2026-11-29 11:00 UTC, and has not recorded how that ended: it may be paid" in (
        describe_unread(entry("submitting"), run_id="manual__2")
    )


def test_of_its_own_batch_the_run_says_why_it_does_not_read_it() -> None:
    assert "Prompt, model or schema have changed since" in describe_unread(entry(), run_id="manual__1")
