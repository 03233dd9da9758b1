"""Decides which working files on the lake no run needs any more. steps/clean.py deletes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Set
from datetime import datetime, timedelta

from include.enrichment.batches.ledger import UNSETTLED, Entry, OpenChunk
from include.enrichment.batches.pass_plan import is_closed
from include.enrichment.errors import SpecError

#: A run may wait this long for a batch without writing anything.
LEAST_DAYS = 2
#: A hundred years: more is a typing error, and would soon leave the range of Python dates.
MOST_DAYS = 36_500


def check_days(days: int) -> None:
    """Check an age limit. Raises SpecError if files of a running run may be that old, or if nothing can be."""
    if days > MOST_DAYS:
        raise SpecError(f"DAYS is {days} and must be at most {MOST_DAYS}. Nothing was deleted.")
    if days < LEAST_DAYS:
        raise SpecError(
            f"DAYS is {days} and must be at least {LEAST_DAYS}: a run may wait for more than a day without writing"
            " anything. Nothing was deleted."
        )


def awaited_chunks(
    opened: Mapping[str, OpenChunk],
    entries: Mapping[str, Entry | None],
    loaded: Mapping[str, datetime],
    *,
    now: datetime,
    days: int,
) -> dict[str, OpenChunk]:
    """
    Return the open chunks that a run waits for: they may still land, or have landed within ``days``.

    :param entries: the ledger entry of each chunk
    :param loaded: the write time of each batch in the result store
    """
    recent = loaded.keys() - _before(loaded, now, days)
    return {
        chunk_id: chunk
        for chunk_id, chunk in opened.items()
        if not is_closed(chunk, entry := entries[chunk_id], loaded.keys(), now=now)
        or (entry is not None and entry.batch_id in recent)
    }


def old_runs(
    last_written: Mapping[str, datetime], in_flight: Collection[OpenChunk], *, now: datetime, days: int
) -> Set[str]:
    """
    Return the folders of the runs that ended more than ``days`` ago.

    A run that has written nothing for so long may still wait for a chunk that it or another run has planned. It has
    then written its plan after that chunk was planned.

    :param last_written: the last write time of each run folder
    :param in_flight: the pipeline's open chunks, from awaited_chunks()
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
    Return the chunks whose files are no longer needed: their batch was loaded long ago, or they will never be sent.

    :param written: the write time of each chunk file
    :param entries: the ledger entry of each chunk
    :param in_flight: the open chunks, from awaited_chunks()
    :param loaded: the write time of each batch in the result store
    """
    old, long_loaded = _before(written, now, days), _before(loaded, now, days)
    return {chunk_id for chunk_id in old.difference(in_flight) if _done(entries[chunk_id], long_loaded)}


def _done(entry: Entry | None, loaded: Set[str]) -> bool:
    if entry is None:
        return True
    if entry.batch_id is not None:  # in any state, its results may be paid for and not loaded yet
        return entry.batch_id in loaded
    return entry.state not in UNSETTLED


def old_parts(
    written: Mapping[str, datetime],
    entries: Mapping[str, Entry | None],
    loaded: Mapping[str, datetime],
    *,
    now: datetime,
    days: int,
) -> Set[str]:
    """
    Return the synchronous chunks whose parts are left over: their answers were loaded long ago.

    :param written: the write time of each chunk's last part
    :param entries: the ledger entry of each of these chunks
    :param loaded: the write time of each batch in the result store
    """
    old, long_loaded = _before(written, now, days), _before(loaded, now, days)
    return {chunk_id for chunk_id in old if (entry := entries[chunk_id]) and entry.batch_id in long_loaded}


def old_raw(written: Mapping[str, datetime], loaded: Set[str], *, now: datetime, days: int) -> Set[str]:
    """
    Return the batches whose raw copy is old, and whose outcomes are in the result store.

    :param written: the write time of each copy, by batch id
    """
    return _before(written, now, days) & loaded


def old_transcripts(last_written: Mapping[str, datetime], *, now: datetime, days: int) -> Set[str]:
    """
    Return the rows whose transcripts are old. The caller keeps those of rows that have no paid answer yet, which would
    be asked, and would act, again.

    :param last_written: the last write time of each transcript, by the id of its request
    """
    return _before(last_written, now, days)


def _before(written: Mapping[str, datetime], now: datetime, days: int) -> set[str]:
    """Return the names that were written more than ``days`` ago."""
    return {name for name, written_at in written.items() if written_at < now - timedelta(days=days)}
