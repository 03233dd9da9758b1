"""
Decides what may be done about a chunk: attach to its batch, send it, or come back later. It neither calls nor waits:
steps/submit.py acts on what it says.

Create has no idempotency key, so a create whose answer was lost is settled by what the API lists: a batch newer than
the fence, of the same size, that nobody has recorded and whose results hold our request ids is ours. If there is none
when all such batches have ended and the list has had time to catch up, none was made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from include.enrichment.batches.ledger import UNSETTLED, Entry
from include.enrichment.batches.poll import BatchStatus

#: Nobody knows when a process died within its create. So long after the claim its create is surely over and its batch
#: is listed: the 20 minutes that one create may take at most, and some for listing and for clocks that differ.
CREATE_WINDOW = timedelta(minutes=25)
#: After a create that has ended without an answer, how long its batch may take to be listed (not documented; minutes
#: are prudent), which is also how long to leave an overloaded API alone.
LISTING_LAG = timedelta(minutes=2)
#: Clocks of ours and of the API may differ by so much. What a larger slack costs is a look at more batches.
CLOCK_SKEW = timedelta(hours=1)
#: So many lines without one of ours are a stranger's, however many there are: they come in no order.
TELLING_LINES = 100
#: So long after its creation the results of a batch may be unreadable: the day that the API may take for it, and one
#: more.
UNREAD_FOR = timedelta(days=2)
#: After so long without room in the API's queue there may never be enough.
PATIENCE = timedelta(hours=1)
#: How soon to look again, at the earliest and at the latest.
SOON, LATE = timedelta(seconds=30), timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True)
class Attach:
    """The chunk has its batch."""

    batch_id: str


@dataclass(frozen=True, kw_only=True)
class Send:
    """Surely no batch was made: the chunk may be sent."""


@dataclass(frozen=True, kw_only=True)
class Settle:
    """A batch may have been made: look at what the API lists."""


@dataclass(frozen=True, kw_only=True)
class Withdrawn:
    """Another plan has taken requests of the chunk over: it must not be sent."""


def next_action(entry: Entry | None) -> Attach | Send | Settle | Withdrawn:
    """What the ledger alone says. None: the chunk was planned and nothing else."""
    if entry is None:
        return Send()
    if entry.batch_id:
        return Attach(batch_id=entry.batch_id)
    if entry.state == "withdrawn":
        return Withdrawn()
    return Settle() if entry.state in UNSETTLED else Send()


def settled_at(entry: Entry) -> datetime:
    """From when on a batch that is not listed was never made."""
    return entry.changed_at + (CREATE_WINDOW if entry.state == "submitting" else LISTING_LAG)


def is_being_sent(entry: Entry, *, now: datetime) -> bool:
    """Whether a create is under way, as far as anybody can tell: soon it is known whether it has made a batch."""
    return entry.state == "submitting" and now < settled_at(entry)


def find_candidates(entry: Entry, listed: Iterable[BatchStatus], claimed: Collection[str]) -> list[BatchStatus]:
    """
    The batches that the chunk's unclear create may have made, by all that a list tells.

    :param listed: the batches that are newer than the entry's fence
    :param claimed: batches that other chunks have recorded as theirs
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
    Whose batch it is by its result lines; None if they do not tell, as after a download that broke off.

    One id of ours is proof, as ids are made of what is asked: it is ours also where lines are missing, or where all of
    ours are there among strangers'. It is theirs only if there is none of ours among all its lines.

    :param ours: lines with an id of the chunk's
    :param strangers: lines with another
    :param requests: how many requests the chunk and the batch hold
    """
    if ours and (not strangers or ours == requests):
        return "ours"
    return "theirs" if not ours and strangers >= requests else None


def check_again_at(entry: Entry, running: Collection[BatchStatus], *, now: datetime) -> datetime | None:
    """
    When to look again at an unsettled chunk of which no batch was found; None if surely none was made.

    :param running: candidates that have not ended: only their results can tell whose they are
    """
    if running:
        age = now - min(batch.created_at for batch in running)
        return now + max(SOON, min(LATE, age / 10))
    settled = settled_at(entry)
    return None if now >= settled else min(settled, now + LATE)


def read_again_at(batch: BatchStatus, *, now: datetime) -> datetime | None:
    """When to read results again that did not tell whose batch it is; None if they have had time enough."""
    age = now - batch.created_at
    return None if age > UNREAD_FOR else now + max(SOON, min(LATE, age / 10))


def may_never_fit(since: datetime, *, now: datetime, requests: int, size_bytes: int) -> str:
    """
    What to say of a chunk that has been refused for so long that it may be too large; empty before that, and for a
    single request, which cannot be cut.

    :param since: when it was refused first
    :param size_bytes: of the chunk as it is sent
    """
    if now - since < PATIENCE or requests == 1:
        return ""
    return (
        f" The chunk has been refused since {since:%Y-%m-%d %H:%M} UTC. Its {requests:,} requests never fit into a"
        f" queue that holds fewer, nor its {size_bytes:,} bytes through a proxy that takes fewer. If that is the"
        " reason, set limits.batch_requests (or limits.batch_bytes) in pipeline.yaml below that and start a new run,"
        " which cuts smaller batches."
    )


def refusal_ends_at(refusals: int, retry_after_seconds: float | None, *, now: datetime) -> datetime:
    """
    When to try again after a create that made nothing: when the API asks for it, else after 1, 2, 4, 8 minutes, and
    then every ten.

    :param refusals: in a row, this one included
    """
    if retry_after_seconds is not None:
        return now + timedelta(seconds=retry_after_seconds)
    return now + min(LATE, timedelta(minutes=2 ** min(refusals - 1, 10)))
