"""
Finds batches that are or may be paid for and that nobody loads: their run was killed and not resumed, or its requests
have changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

from include.enrichment.batches.ledger import UNSETTLED, Entry, OpenChunk

#: In these states a chunk is or may be paid for and is not loaded.
_NOT_LOADED = ("submitted", "asking", *UNSETTLED)
#: A batch ends within 24 hours, and its run loads it soon after.
OVERDUE = timedelta(hours=25)


def is_overdue(entry: Entry, *, now: datetime) -> bool:
    """Return whether the chunk has or may have a batch that should have been loaded by now."""
    return entry.state in _NOT_LOADED and entry.changed_at < now - OVERDUE


def find_unread(
    opened: Mapping[str, OpenChunk],
    entries: Mapping[str, Entry | None],
    *,
    read: Collection[str],
    day: str,
    now: datetime,
) -> Iterator[Entry]:
    """
    Return the entries of sent chunks that nobody loads: all in the planned partition, and overdue ones in any.

    :param entries: the ledger entry of each chunk
    :param read: the chunks that the run reads, and those that have landed
    :param day: the folder of the partition's runs
    """
    for chunk_id, chunk in opened.items():
        entry = entries[chunk_id]
        if entry is None or chunk_id in read or entry.state not in _NOT_LOADED:
            continue
        if chunk.folder.startswith(day) or is_overdue(entry, now=now):
            yield entry


def describe_unread(entry: Entry, *, run_id: str) -> str:
    """
    Return the message about such a chunk.

    :param run_id: of the run that is planned
    """
    task, for_days = "submit", " for 29 days"
    at = f"{entry.changed_at:%Y-%m-%d %H:%M} UTC"
    if entry.batch_id is None:
        fact = (
            f"Run {entry.run_id} was submitting chunk {entry.chunk_id} ({entry.requests:,} requests) at {at} and has"
            " not recorded the result: it may be paid for. This run needs other requests."
        )
    elif entry.state == "asking":
        task, for_days = "ask", ""
        fact = (
            f"Chunk {entry.chunk_id} ({entry.requests:,} requests) was being asked by run {entry.run_id} at {at}. Its"
            " answers so far are paid for but not loaded, and this run needs other requests."
        )
    else:
        fact = (
            f"Batch {entry.batch_id} ({entry.requests:,} requests, sent by run {entry.run_id} at {at}) is paid for but"
            " not loaded, and this run needs other requests."
        )
    if entry.run_id == run_id:
        return f"{fact} The prompt, model or schema has changed since: a run with the earlier files finds the answers."
    return (
        f"{fact} If run {entry.run_id} has ended, its results can be loaded{for_days}: clear that run's `{task}` with"
        " downstream, or repeat the `make run` command that started it."
    )
