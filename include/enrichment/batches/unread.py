"""
Decides which batches are paid, or may be, and nobody reads: those of a run that was killed and not gone on with, or
that has changed what it asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from include.enrichment.batches.ledger import UNSETTLED, Entry, OpenChunk

#: A batch ends within a day, and its run loads it soon after.
OVERDUE = timedelta(hours=25)


def is_overdue(entry: Entry, *, now: datetime) -> bool:
    """Whether a batch was made of the chunk, or may have been, and should have been loaded by now."""
    return entry.state in ("submitted", *UNSETTLED) and entry.changed_at < now - OVERDUE


def find_unread(
    opened: Mapping[str, OpenChunk],
    entries: Mapping[str, Entry | None],
    *,
    read: Collection[str],
    day: str,
    now: datetime,
) -> Iterator[Entry]:
    """
    Of the open chunks those that were sent and that it is time to tell of: of the partition that is planned, whose
    other runs are seldom under way at the same moment, and overdue ones of any.

    :param entries: what the ledger knows of each
    :param read: the chunks that the run reads, and those that have landed
    :param day: the folder of the partition's runs
    """
    for chunk_id, chunk in opened.items():
        entry = entries[chunk_id]
        if entry is None or chunk_id in read or entry.state not in ("submitted", *UNSETTLED):
            continue
        if chunk.folder.startswith(day) or is_overdue(entry, now=now):
            yield entry


def describe_unread(entry: Entry, *, run_id: str) -> str:
    """
    What to tell of such a chunk.

    :param run_id: of the run that is planned
    """
    at = f"{entry.changed_at:%Y-%m-%d %H:%M} UTC"
    if entry.batch_id is None:
        fact = (
            f"Of chunk {entry.chunk_id} ({entry.requests:,} requests) run {entry.run_id} was making a batch at {at},"
            " and has not recorded how that ended: it may be paid. This run asks for other requests."
        )
    else:
        fact = (
            f"Batch {entry.batch_id} ({entry.requests:,} requests, sent by run {entry.run_id} at {at}) is paid and not"
            " loaded, and this run asks for other requests."
        )
    if entry.run_id == run_id:
        return (
            f"{fact} Prompt, model or schema have changed since: a run that asks the same as before finds its answers."
        )
    return (
        f"{fact} If run {entry.run_id} is not under way any more, it can still be loaded for 29 days: clear that run's"
        " `submit` with downstream; where `make run` began it, give the same command again."
    )
