"""
Decides how to submit a chunk: attach to its batch, send it, or come back later. steps/submit.py acts on it.

Create has no idempotency key, so the API's list settles a create whose response was lost. A batch is ours if it is
newer than the fence, has the same size, is not recorded, and its results hold our request ids. If there is none after
all such batches have ended and the list has had time to catch up, no batch was made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from include.enrichment.batches.ledger import UNSETTLED, Entry
from include.enrichment.batches.poll import BatchStatus

#: The time of death of a process during its create is unknown. This long after the claim, the create has ended and its
#: batch is listed: one create takes at most 20 minutes, plus a margin for the list and for clock skew.
CREATE_WINDOW = timedelta(minutes=25)
#: A batch may take this long to be listed (not documented; minutes are prudent). An overloaded API is left alone for as
#: long.
LISTING_LAG = timedelta(minutes=2)
#: The largest difference between our clock and the API's. A larger value only means more batches to check.
CLOCK_SKEW = timedelta(hours=1)
#: Results come in random order, so a batch is not ours if this many lines hold none of our ids.
TELLING_LINES = 100
#: The results of a batch may be unreadable this long after its creation: one day for the API to end it, and one more.
UNREAD_FOR = timedelta(days=2)
#: After this long without room in the API's queue, the chunk may be too large for it.
PATIENCE = timedelta(hours=1)
#: The shortest and the longest pause between two checks.
SOON, LATE = timedelta(seconds=30), timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Attach:
    """The chunk has its batch."""

    batch_id: str


@dataclass(frozen=True, kw_only=True)
class Send:
    """No batch was made: the chunk may be sent."""


@dataclass(frozen=True, kw_only=True)
class Settle:
    """A batch may have been made: check the API's list."""


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """Another plan has taken over requests of the chunk: it must not be sent."""


def next_action(entry: Entry | None) -> Attach | Send | Settle | Withdrawn:
    """Return the next action by the ledger alone. A chunk without an entry was only planned."""
    if entry is None:
        return Send()
    if entry.batch_id:
        return Attach(batch_id=entry.batch_id)
    if entry.state == "withdrawn":
        return Withdrawn()
    return Settle() if entry.state in UNSETTLED else Send()


def settled_at(entry: Entry) -> datetime:
    """Return the time after which a batch that is not listed was never made."""
    return entry.changed_at + (CREATE_WINDOW if entry.state == "submitting" else LISTING_LAG)


def is_being_sent(entry: Entry, *, now: datetime) -> bool:
    """Return whether a create may still be running, or whether asking has just begun. Its outcome is known soon."""
    if entry.state == "asking":
        return entry.asked_since is not None and now < entry.asked_since + SOON
    return entry.state == "submitting" and now < settled_at(entry)


def find_candidates(entry: Entry, listed: Iterable[BatchStatus], claimed: Collection[str]) -> list[BatchStatus]:
    """
    Return the listed batches that the chunk's unclear create may have made.

    :param listed: the batches that are newer than the entry's fence
    :param claimed: the recorded batches of other chunks
    """
    return [
        batch
        for batch in listed
        if batch.requests == entry.requests
        and batch.batch_id not in claimed
        and batch.batch_id not in entry.strangers
        and batch.created_at <= settled_at(entry) + CLOCK_SKEW
    ]


def classify_ownership(ours: int, strangers: int, *, requests: int) -> Literal["ours", "theirs"] | None:
    """
    Return whose batch it is by its result lines; None if they do not show it, for example after a partial download.

    One id of ours is proof, as ids are hashes of the request. The batch is ours even if lines are missing, or if all of
    ours are there among strangers'. It is theirs only if none of its lines is ours.

    :param ours: the number of lines with an id of the chunk
    :param strangers: the number of other lines
    :param requests: the number of requests in the chunk and in the batch
    """
    if ours and (not strangers or ours == requests):
        return "ours"
    return "theirs" if not ours and strangers >= requests else None


def check_again_at(entry: Entry, running: Collection[BatchStatus], *, now: datetime) -> datetime | None:
    """
    Return when to check an unsettled chunk without a batch again; None if no batch was made.

    :param running: candidates that have not ended: only their results show whose they are
    """
    if running:
        age = now - min(batch.created_at for batch in running)
        return now + max(SOON, min(LATE, age / 10))
    settled = settled_at(entry)
    return None if now >= settled else min(settled, now + LATE)


def read_again_at(batch: BatchStatus, *, now: datetime) -> datetime | None:
    """Return when to read inconclusive results again; None if they have had enough time."""
    age = now - batch.created_at
    return None if age > UNREAD_FOR else now + max(SOON, min(LATE, age / 10))


def may_never_fit(since: datetime, *, now: datetime, requests: int, size_bytes: int) -> str:
    """
    Return the message about a chunk that has been rejected for so long that it may be too large.

    It is empty before that, and for a single request, which cannot be split.

    :param since: when it was first rejected
    :param size_bytes: of the chunk as it is sent
    """
    if now - since < PATIENCE or requests == 1:
        return ""
    return (
        f" The chunk has been rejected since {since:%Y-%m-%d %H:%M} UTC. Its {requests:,} requests may exceed the API's"
        f" queue, or its {size_bytes:,} bytes the limit of a proxy. In that case lower limits.batch_requests (or"
        " limits.batch_bytes) in pipeline.yaml and start a new run, which makes smaller batches."
    )


def refusal_ends_at(refusals: int, retry_after_seconds: float | None, *, now: datetime) -> datetime:
    """
    Return when to send again after a create that made no batch: when the API asks for it, else after 1, 2, 4, 8 and
    then every 10 minutes.

    :param refusals: consecutive ones, including this one
    """
    if retry_after_seconds is not None:
        return now + timedelta(seconds=retry_after_seconds)
    return now + min(LATE, timedelta(minutes=2 ** min(refusals - 1, 10)))
