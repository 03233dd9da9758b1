"""Decides what a wait does after each look at its batch. Trigger and sensor do the sleeping and calling."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from include.enrichment.errors import ApiError, BatchError, BatchNotFound, SetupError

#: The API ends every batch this long after its creation (docs of batch processing, 2026-10-08).
WINDOW = timedelta(hours=24)
#: A batch is overdue this long after its deadline.
GRACE = timedelta(minutes=30)
#: An id may be unknown for a moment after the create, also in the list (for how long is not documented). After this
#: many consecutive looks it belongs to another workspace.
NOT_FOUND_LOOKS = 10


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """
    A batch as the API describes it.

    :param counts: requests by state. They show no progress: all are ``processing`` until the batch has ended
    :param canceling: it was canceled, and its last requests are still processing
    :param ended_at: None if it has not ended, or the API does not say
    :param retry_after_seconds: the pause that the API asked for, if any
    """

    batch_id: str
    ended: bool
    counts: dict[str, int]
    created_at: datetime
    expires_at: datetime
    canceling: bool = False
    ended_at: datetime | None = None
    retry_after_seconds: float | None = field(default=None, compare=False)

    @property
    def stopped(self) -> bool:
        """Whether it processes no further request: it has ended, or was canceled."""
        return self.ended or self.canceling

    @property
    def requests(self) -> int:
        """The number of requests in the batch."""
        return sum(self.counts.values())


#: The result of a look at a batch: the batch, or an error.
Look: TypeAlias = BatchStatus | ApiError | SetupError


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The batch has ended: its results can be loaded."""

    status: BatchStatus


@dataclass(frozen=True, kw_only=True)
class LookAgain:
    """
    The batch may still be running: look again after ``seconds``.

    :param canceling: the batch was canceled, and its last requests are still processing
    :param trouble: the transient error of this look, if any
    """

    seconds: float
    canceling: bool = False
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """The wait needs a person."""

    error: BatchError


class BatchPoll:
    """
    One wait for one batch, look by look.

    A transient API error never ends a wait while the batch may still be running. The wait gives up in three cases: the
    API rejects the key, neither a look nor the list knows the id for NOT_FOUND_LOOKS consecutive looks, or the batch
    has not ended GRACE after its deadline.

    :param deadline: when the batch must have ended, as far as the caller knows. The first successful look replaces it
        with the API's value
    :param interval_seconds: the longest pause between two looks, unless the API asks for a longer one. A young batch is
        polled more often: after a tenth of its age
    """

    def __init__(self, batch_id: str, *, deadline: datetime, interval_seconds: float) -> None:
        self.batch_id = batch_id
        self.deadline = deadline
        self.interval_seconds = interval_seconds
        self._not_found_in_a_row = 0

    @property
    def created_at(self) -> datetime:
        """The creation time of the batch, computed from its deadline."""
        return self.deadline - WINDOW

    def decide(self, look: Look, *, now: datetime) -> Ended | LookAgain | GiveUp:
        """Decide what to do after ``look``."""
        if isinstance(look, BatchStatus):
            return self._after_status(look, now)
        return self._after_error(look, now)

    def _after_status(self, status: BatchStatus, now: datetime) -> Ended | LookAgain | GiveUp:
        self._not_found_in_a_row = 0
        self.deadline = status.expires_at
        if status.ended:
            return Ended(status=status)
        if now >= self.deadline + GRACE:
            return self._overdue(now, f"{status.requests:,} requests are still processing")
        age_seconds = (now - status.created_at).total_seconds()
        pause_seconds = min(self.interval_seconds, max(1.0, age_seconds / 10))
        return LookAgain(seconds=max(pause_seconds, status.retry_after_seconds or 0), canceling=status.canceling)

    def _after_error(self, error: ApiError | SetupError, now: datetime) -> LookAgain | GiveUp:
        self._not_found_in_a_row = self._not_found_in_a_row + 1 if isinstance(error, BatchNotFound) else 0
        if self._not_found_in_a_row >= NOT_FOUND_LOOKS:
            return self._give_up(
                f"the API did not find it in {NOT_FOUND_LOOKS} consecutive requests, nor in its list of batches. Most"
                " likely it was submitted with the key of another workspace. Put that key into the connection and clear"
                " this task"
            )
        if not error.retryable and not isinstance(error, BatchNotFound):
            return self._give_up(f"polling failed: {error} Then clear this task")
        if now >= self.deadline + GRACE:
            return self._overdue(now, f"the last request failed: {error}")
        requested_seconds = error.retry_after_seconds if isinstance(error, ApiError) else None
        return LookAgain(seconds=max(self.interval_seconds, requested_seconds or 0), trouble=str(error))

    def _overdue(self, now: datetime, fact: str) -> GiveUp:
        late = now - self.deadline
        return self._give_up(
            f"it should have ended by {self.deadline:%Y-%m-%d %H:%M} UTC, 24 hours after its creation, but"
            f" {_format_duration(late)} later {fact}. Clear this task to keep waiting."
            " Or cancel the batch in the Claude console and clear `load`: unstarted requests cost nothing, and finished"
            " ones are loaded"
        )

    def _give_up(self, why: str) -> GiveUp:
        return GiveUp(
            error=BatchError(
                f"Batch {self.batch_id}: {why}. The batch is unchanged. Its finished requests can be loaded for 29"
                " days, and nothing is sent again.",
                batch_ids=[self.batch_id],
            )
        )


def _format_duration(duration: timedelta) -> str:
    minutes = int(duration.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
