"""poll.py: what a wait does after each look."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.enrichment.batches.poll import GRACE, NOT_FOUND_LOOKS, BatchPoll, BatchStatus, Ended, GiveUp, LookAgain
from include.enrichment.errors import ApiError, BatchNotFound, SetupError

CREATED = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
EXPIRES = CREATED + timedelta(hours=24)
INTERVAL = 60.0
OUTAGE = ApiError("Retrieving batch b failed: HTTP 529.", retryable=True)
UNKNOWN = BatchNotFound("Retrieving batch b failed: HTTP 404.", retryable=False)


def _status(*, ended: bool = False, expires_at: datetime = EXPIRES) -> BatchStatus:
    counts = {"processing": 0 if ended else 1_200, "succeeded": 1_200 if ended else 0}
    return BatchStatus(batch_id="b", ended=ended, counts=counts, created_at=CREATED, expires_at=expires_at)


def _poll(deadline: datetime = EXPIRES) -> BatchPoll:
    return BatchPoll("b", deadline=deadline, interval_seconds=INTERVAL)


def _gives_up(decision: object) -> str:
    assert isinstance(decision, GiveUp)
    assert decision.error.batch_ids == ("b",)
    assert not decision.error.retryable
    assert "Batch b: " in str(decision.error)
    assert "nothing is sent again" in str(decision.error)
    return str(decision.error)


@pytest.mark.parametrize("after", [timedelta(0), timedelta(hours=30)])
def test_an_ended_batch_ends_the_wait_at_any_time(after: timedelta) -> None:
    status = _status(ended=True)
    assert _poll().decide(status, now=CREATED + after) == Ended(status=status)


@pytest.mark.parametrize(
    ("age_seconds", "pause_seconds"), [(-300, 1), (0, 1), (5, 1), (100, 10), (599, 59.9), (600, 60), (86_400, 60)]
)
def test_a_young_batch_is_polled_more_often(age_seconds: float, pause_seconds: float) -> None:
    decision = _poll().decide(_status(), now=CREATED + timedelta(seconds=age_seconds))
    assert isinstance(decision, LookAgain)
    assert decision.seconds == pytest.approx(pause_seconds)
    assert decision.trouble is None


@pytest.mark.parametrize(("asked_seconds", "pause_seconds"), [(None, 1), (0, 1), (10, 10), (300, 300)])
def test_the_pause_that_the_api_asks_for_is_kept(asked_seconds: float | None, pause_seconds: float) -> None:
    decision = _poll().decide(replace(_status(), retry_after_seconds=asked_seconds), now=CREATED)
    assert decision == LookAgain(seconds=pause_seconds)


def test_a_batch_was_created_24_hours_before_its_deadline() -> None:
    poll = _poll(deadline=EXPIRES + timedelta(hours=3))
    assert poll.created_at == CREATED + timedelta(hours=3)
    poll.decide(_status(), now=CREATED)
    assert poll.created_at == CREATED


def test_a_running_batch_is_overdue_after_the_grace_period() -> None:
    last = EXPIRES + GRACE
    assert isinstance(_poll().decide(_status(), now=last - timedelta(microseconds=1)), LookAgain)
    message = _gives_up(_poll().decide(_status(), now=last))
    assert "it should have ended by 2026-11-22 02:00 UTC" in message
    assert "0 h 30 min later 1,200 requests are still processing" in message


def test_the_deadline_of_the_api_replaces_the_callers() -> None:
    now = EXPIRES + timedelta(days=2)
    poll = _poll(deadline=EXPIRES)
    assert isinstance(poll.decide(_status(expires_at=now + timedelta(hours=1)), now=now), LookAgain)
    assert isinstance(poll.decide(OUTAGE, now=now + timedelta(hours=1)), LookAgain)
    _gives_up(poll.decide(OUTAGE, now=now + timedelta(hours=1) + GRACE))


@pytest.mark.parametrize(
    ("error", "pause_seconds"),
    [
        (OUTAGE, INTERVAL),
        (ApiError("x", retryable=True, retry_after_seconds=5), INTERVAL),
        (ApiError("x", retryable=True, retry_after_seconds=300), 300),
        (SetupError("x", retryable=True), INTERVAL),
        (UNKNOWN, INTERVAL),
    ],
)
def test_the_wait_continues_after_a_transient_error(error: ApiError | SetupError, pause_seconds: float) -> None:
    decision = _poll().decide(error, now=CREATED)
    assert decision == LookAgain(seconds=pause_seconds, trouble=str(error))


def test_no_outage_ends_a_wait_while_the_batch_may_be_running() -> None:
    poll = _poll()
    moments = [CREATED + timedelta(minutes=minute) for minute in range(24 * 60)]
    assert all(isinstance(poll.decide(OUTAGE, now=now), LookAgain) for now in moments)
    message = _gives_up(poll.decide(OUTAGE, now=EXPIRES + timedelta(hours=2, minutes=5)))
    assert "2 h 05 min later the last request failed: Retrieving batch b failed: HTTP 529." in message


@pytest.mark.parametrize("error", [SetupError("The key was refused."), ApiError("HTTP 400.", retryable=False)])
def test_a_permanent_error_ends_the_wait_at_once(error: ApiError | SetupError) -> None:
    assert f"polling failed: {error} Then clear this task" in _gives_up(_poll().decide(error, now=CREATED))


def test_an_id_that_stays_unknown_ends_the_wait() -> None:
    poll = _poll()
    decisions = [poll.decide(UNKNOWN, now=CREATED) for _ in range(NOT_FOUND_LOOKS)]
    assert all(isinstance(decision, LookAgain) for decision in decisions[:-1])
    message = _gives_up(decisions[-1])
    assert "did not find it in 10 consecutive requests, nor in its list of batches" in message
    assert "another workspace" in message


@pytest.mark.parametrize("between", [_status(), OUTAGE], ids=["seen", "another error"])
def test_only_consecutive_looks_that_find_nothing_count(between: BatchStatus | ApiError) -> None:
    poll = _poll()
    looks = [UNKNOWN] * (NOT_FOUND_LOOKS - 1)
    for look in [*looks, between, *looks]:
        assert isinstance(poll.decide(look, now=CREATED), LookAgain)
    _gives_up(poll.decide(UNKNOWN, now=CREATED))


def test_the_requests_of_a_batch_are_the_sum_of_its_counts() -> None:
    counts = {"processing": 1, "succeeded": 2, "errored": 3, "canceled": 4, "expired": 5}
    status = BatchStatus(batch_id="b", ended=False, counts=counts, created_at=CREATED, expires_at=EXPIRES)
    assert status.requests == 15
