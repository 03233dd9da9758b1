"""Decides what of the lake is only in the way: working files that no run will miss. steps/clean.py deletes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from datetime import datetime, timedelta

from include.enrichment.batches.ledger import UNSETTLED, Entry, OpenChunk
from include.enrichment.batches.pass_plan import is_closed
from include.enrichment.errors import SpecError

#: For so long a run may wait for a batch, and write nothing.
LEAST_DAYS = 2
#: A hundred years: more is a slip of the hand, and soon before the first day that Python knows.
MOST_DAYS = 36_500


def check_days(days: int) -> None:
    """Raises SpecError for an age that a run's files may have while it is still going, or that nothing can have."""
    if days > MOST_DAYS:
        raise SpecError(f"DAYS is {days}, and nothing is older than {MOST_DAYS} days. Nothing was deleted.")
    if days < LEAST_DAYS:
        raise SpecError(
            f"DAYS is {days}: a run may wait for more than a day without writing anything, so what is younger than"
            f" {LEAST_DAYS} days stays. Nothing was deleted."
        )


def waited_for(
    opened: Mapping[str, OpenChunk],
    entries: Mapping[str, Entry | None],
    loaded: Mapping[str, datetime],
    *,
    now: datetime,
    days: int,
) -> dict[str, OpenChunk]:
    """
    The open chunks that some run waits for: they may still land, or have landed so lately that it is about to go on.

    :param entries: what the ledger knows of each
    :param loaded: when the outcomes were written, by batch, of all that are in the result store
    """
    lately = loaded.keys() - _before(loaded, now, days)
    return {
        chunk_id: chunk
        for chunk_id, chunk in opened.items()
        if not is_closed(chunk, entry := entries[chunk_id], loaded.keys(), now=now)
        or (entry is not None and entry.batch_id in lately)
    }


def old_runs(
    last_written: Mapping[str, datetime], in_flight: Collection[OpenChunk], *, now: datetime, days: int
) -> Set[str]:
    """
    The folders of the runs that have ended long ago.

    A run that has written nothing for so long may still wait for a chunk: for its own, or for one that another has
    planned; but it has written down that it waits after that chunk was planned.

    :param last_written: when a file of it was written last, by the run's folder
    :param in_flight: the pipeline's open chunks, as waited_for() gives them
    """
    before = min([now - timedelta(days=days), *(chunk.planned_at for chunk in in_flight)])
    waiting = {folder for chunk in in_flight for folder in chunk.planned_by}
    return {folder for folder, written_at in last_written.items() if written_at < before and folder not in waiting}


def old_chunks(
    written: Mapping[str, datetime],
    entries: Mapping[str, Entry | None],
    in_flight: Iterable[str],
    loaded: Mapping[str, datetime],
    *,
    now: datetime,
    days: int,
) -> Set[str]:
    """
    The chunks whose file nobody needs: their batches were loaded long ago, or they were never sent and never will be.

    :param written: when its file was written, by chunk id
    :param entries: what the ledger knows of each
    :param in_flight: the open chunks, as waited_for() gives them
    :param loaded: when the outcomes were written, by batch, of all that are in the result store
    """
    old, long_loaded = _before(written, now, days), _before(loaded, now, days)
    return {chunk_id for chunk_id in old.difference(in_flight) if _done(entries[chunk_id], long_loaded)}


def _done(entry: Entry | None, loaded: Set[str]) -> bool:
    if entry is None:
        return True
    if entry.batch_id is not None:  # its results may be paid for and not loaded yet, whatever the ledger says
        return entry.batch_id in loaded
    return entry.state not in UNSETTLED


def old_raw(written: Mapping[str, datetime], loaded: Set[str], *, now: datetime, days: int) -> Set[str]:
    """
    The batches whose raw copy is old, and whose outcomes are in the result store.

    :param written: when the copy was written, by batch id
    """
    return _before(written, now, days) & loaded


def _before(written: Mapping[str, datetime], now: datetime, days: int) -> set[str]:
    """What was written longer than so many days ago."""
    return {name for name, written_at in written.items() if written_at < now - timedelta(days=days)}
