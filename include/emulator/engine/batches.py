"""
The life of a batch, derived from its record and the time.

    in_progress ──(duration passed, or 24 h)──► ended
        └── cancel ──► canceling ──(drain passed)──► ended ──(29 days after creation)──► archived

A batch that is due stays ``in_progress`` (or ``canceling``) until its results are written, so an ``ended`` batch
always has results to give. Times are whole microseconds since 1970, UTC, by the workspace's clock.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta

import msgspec

from include.emulator.faults.fault import Fault
from include.emulator.faults.kinds import Duration, LeakyCounters, Stuck, Unfinished

SECOND = 1_000_000
EXPIRY = 24 * 3600 * SECOND
RETENTION = 29 * 24 * 3600 * SECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class End(enum.Enum):
    """Why a batch ended."""

    PROCESSED = "processed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of a batch by status; the sum is always the size of the batch."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a batch; the API shows what follows from it and the time."""

    id: str
    workspace: str
    created_at: int
    size: int
    #: The anthropic-version and betas of its create; each of its requests is checked against them.
    version: str
    betas: frozenset[str]
    #: How long the batch takes and how long a cancel takes, in microseconds, as configured when it was made.
    duration: int
    drain: int
    faults: tuple[Fault, ...] = ()
    #: How long the results are kept after its creation.
    retention: int = RETENTION
    cancel_initiated_at: int | None = None
    ended_at: int | None = None
    counts: Counts | None = None

    @property
    def expires_at(self) -> int:
        """Return when its unfinished requests expire."""
        return self.created_at + EXPIRY

    @property
    def unfinished_share(self) -> float:
        """Return the share of requests that have not begun when it is canceled or expires."""
        return next((fault.share for fault in self.faults if isinstance(fault, Unfinished)), 1.0)

    def due(self) -> tuple[int, End] | None:
        """Return when and why this batch will end; None if it never will."""
        if self.cancel_initiated_at is not None:
            return self.cancel_initiated_at + self.drain, End.CANCELED
        if any(isinstance(fault, Stuck) for fault in self.faults):
            return None
        duration = self.duration
        for fault in self.faults:
            if isinstance(fault, Duration):
                duration = round(fault.seconds * SECOND)
        if duration > EXPIRY:
            return self.expires_at, End.EXPIRED
        return self.created_at + duration, End.PROCESSED

    def archived_at(self, now: int) -> int | None:
        """Return when the results became unavailable; None while they are available."""
        if self.ended_at is None:
            return None
        archived = max(self.created_at + self.retention, self.ended_at)
        return archived if now >= archived else None

    def has_results(self, now: int) -> bool:
        """Return whether the results can be downloaded."""
        return self.ended_at is not None and self.archived_at(now) is None

    def describe(self, now: int, base_url: str) -> dict[str, object]:
        """Return the batch as the API's JSON object, with all ten keys."""
        if self.ended_at is not None:
            status = "ended"
        else:
            status = "in_progress" if self.cancel_initiated_at is None else "canceling"
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": self.counts or self._running_counts(now),
            "created_at": timestamp(self.created_at),
            "expires_at": timestamp(self.expires_at),
            "ended_at": timestamp(self.ended_at),
            "cancel_initiated_at": timestamp(self.cancel_initiated_at),
            "archived_at": timestamp(self.archived_at(now)),
            "results_url": f"{base_url}/v1/messages/batches/{self.id}/results" if self.has_results(now) else None,
        }

    def _running_counts(self, now: int) -> Counts:
        due = self.due()
        if due is None or not any(isinstance(fault, LeakyCounters) for fault in self.faults):
            return Counts(processing=self.size)
        elapsed = (now - self.created_at) / max(due[0] - self.created_at, 1)
        done = int(self.size * min(max(elapsed, 0.0), 0.99))
        return Counts(processing=self.size - done, succeeded=done)


def timestamp(at: int | None) -> str | None:
    """Format a time as RFC 3339 with six digits of microseconds and a Z; None stays None."""
    if at is None:
        return None
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds").replace("+00:00", "Z")
