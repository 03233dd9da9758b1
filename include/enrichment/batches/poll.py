"""
Decides what a wait does after each look at its batch. It neither sleeps nor calls: trigger and sensor act on what it
says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from include.enrichment.errors import ApiError, BatchError, BatchNotFound, SetupError

#: The API ends every batch so long after its creation (docs of batch processing, 2026-10-08).
WINDOW = timedelta(hours=24)
#: How long after that a wait goes on before it calls the batch overdue.
GRACE = timedelta(minutes=30)
#: An id may be unknown for a moment after the create, to a look and to the list alike (how long is not documented); so
#: many looks in a row mean another workspace.
NOT_FOUND_LOOKS = 10


@dataclass(frozen=True, kw_only=True)
class BatchStatus:
    """
    A batch as the API describes it. ``counts`` say nothing about progress: all is ``processing`` until the batch has
    ended. ``retry_after_seconds`` is how long the API asked to be left alone, None if it asked for nothing.
    """

    batch_id: str
    ended: bool
    counts: dict[str, int]
    created_at: datetime
    expires_at: datetime
    retry_after_seconds: float | None = field(default=None, compare=False)

    @property
    def requests(self) -> int:
        """How many requests the batch holds."""
        return sum(self.counts.values())


#: What a look at a batch gave: the batch, or the error that came instead.
Look: TypeAlias = BatchStatus | ApiError | SetupError


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The batch has ended: its results can be loaded."""

    status: BatchStatus


@dataclass(frozen=True, kw_only=True)
class LookAgain:
    """
    The batch may still be running: look again after ``seconds``. ``trouble`` is the passing error, if this look met
    one.
    """

    seconds: float
    trouble: str | None = None


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """Waiting is of no use without a person."""

    error: BatchError


class BatchPoll:
    """
    One wait for one batch, look by look.

    A passing API error never ends a wait while the batch may still be running. The wait gives up when the API refuses
    the key, when the id stays unknown, to the API's list as well, for NOT_FOUND_LOOKS looks in a row, or GRACE after
    the batch had to end by itself.

    :param deadline: when the batch has to have ended, as far as the caller knows; replaced by the API's own word at the
        first look that succeeds
    :param interval_seconds: the longest pause between two looks, unless the API asks for a longer one. A young batch is
        looked at more often: after a tenth of its age
    """

    def __init__(self, batch_id: str, *, deadline: datetime, interval_seconds: float) -> None:
        self.batch_id = batch_id
        self.deadline = deadline
        self.interval_seconds = interval_seconds
        self._not_found_in_a_row = 0

    @property
    def created_at(self) -> datetime:
        """When the batch was made, as far as its deadline tells."""
        return self.deadline - WINDOW

    def decide(self, look: Look, *, now: datetime) -> Ended | LookAgain | GiveUp:
        """What to do after ``look``."""
        if isinstance(look, BatchStatus):
            return self._after_status(look, now)
        return self._after_error(look, now)

    def _after_status(self, status: BatchStatus, now: datetime) -> Ended | LookAgain | GiveUp:
        self._not_found_in_a_row = 0
        self.deadline = status.expires_at
        if status.ended:
            return Ended(status=status)
        if now >= self.deadline + GRACE:
            return self._overdue(now, f"it is still not ended, with {status.requests:,} requests in processing")
        age_seconds = (now - status.created_at).total_seconds()
        pause_seconds = min(self.interval_seconds, max(1.0, age_seconds / 10))
        return LookAgain(seconds=max(pause_seconds, status.retry_after_seconds or 0))

    def _after_error(self, error: ApiError | SetupError, now: datetime) -> LookAgain | GiveUp:
        self._not_found_in_a_row = self._not_found_in_a_row + 1 if isinstance(error, BatchNotFound) else 0
        if self._not_found_in_a_row >= NOT_FOUND_LOOKS:
            return self._give_up(
                f"the API has not known it for {NOT_FOUND_LOOKS} looks in a row, and its list has not had it. Most"
                " likely the connection's key belongs to another workspace than the key it was submitted with. Put the"
                " right key into the connection and clear this task"
            )
        if not error.retryable and not isinstance(error, BatchNotFound):
            return self._give_up(f"waiting cannot go on: {error} Then clear this task")
        if now >= self.deadline + GRACE:
            return self._overdue(now, f"the last look failed: {error}")
        asked_seconds = error.retry_after_seconds if isinstance(error, ApiError) else None
        return LookAgain(seconds=max(self.interval_seconds, asked_seconds or 0), trouble=str(error))

    def _overdue(self, now: datetime, fact: str) -> GiveUp:
        late = now - self.deadline
        return self._give_up(
            f"it had to end by {self.deadline:%Y-%m-%d %H:%M} UTC, 24 hours after its creation, and {_spell(late)}"
            f" later {fact}. Clear this task to wait on;"
            " or cancel the batch in the Claude console: it then ends, unstarted requests cost nothing, and what had"
            " finished is loaded when `load` is cleared"
        )

    def _give_up(self, why: str) -> GiveUp:
        return GiveUp(
            error=BatchError(
                f"Batch {self.batch_id}: {why}. The batch was not touched, what it finished stays paid and can be"
                " loaded for 29 days; nothing is sent again.",
                batch_ids=[self.batch_id],
            )
        )


def _spell(late: timedelta) -> str:
    minutes = int(late.total_seconds() // 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
