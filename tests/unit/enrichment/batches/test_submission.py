"""submission.py: a chunk is attached to its batch, sent, or left for later, and never sent on a guess."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import UNSETTLED, Entry, Fence, State
from include.enrichment.batches.poll import BatchStatus
from include.enrichment.batches.submission import (
    CLOCK_SKEW,
    CREATE_WINDOW,
    LATE,
    LISTING_LAG,
    SOON,
    Attach,
    Send,
    Settle,
    Withdrawn,
    check_again_at,
    find_candidates,
    may_never_fit,
    next_action,
    refusal_ends_at,
    settled_at,
)

AT = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
WINDOWS: dict[State, timedelta] = {"submitting": CREATE_WINDOW, "unclear": LISTING_LAG}
unsettled = pytest.mark.parametrize("state", WINDOWS)


def _entry(state: State, batch_id: str | None = None, *, requests: int = 3) -> Entry:
    return Entry(
        chunk_id="c" * 22,
        pipeline="catalogue",
        chunk="chunks/catalogue/ccc.parquet",
        requests=requests,
        run_id="run-1",
        run_ids=["run-1"],
        state=state,
        changed_at=AT,
        batch_id=batch_id,
        fence=Fence(newest_batch=None, at=AT),
    )


def _batch(
    batch_id: str = "msgbatch_1", *, created_at: datetime = AT, processing: int = 0, succeeded: int = 0
) -> BatchStatus:
    return BatchStatus(
        batch_id=batch_id,
        ended=not processing,
        counts={"processing": processing, "succeeded": succeeded},
        created_at=created_at,
        expires_at=created_at + timedelta(hours=24),
    )


class TestFirstLook:
    @pytest.mark.parametrize(
        ("entry", "decision"),
        [
            (None, Send()),
            (_entry("planned"), Send()),
            (_entry("submitting"), Settle()),
            (_entry("unclear"), Settle()),
            (_entry("submitted", "msgbatch_1"), Attach(batch_id="msgbatch_1")),
            (_entry("landed", "msgbatch_1"), Attach(batch_id="msgbatch_1")),
            (_entry("withdrawn"), Withdrawn()),
        ],
        ids=lambda value: getattr(value, "state", ""),
    )
    def test_the_ledger_decides_the_next_action(self, entry: Entry | None, decision: object) -> None:
        assert next_action(entry) == decision

    @pytest.mark.parametrize("state", get_args(State))
    def test_a_chunk_with_a_batch_is_attached_to_it_in_any_state(self, state: State) -> None:
        assert next_action(_entry(state, "msgbatch_1")) == Attach(batch_id="msgbatch_1")


def test_every_unsettled_state_has_its_time_window() -> None:
    assert set(WINDOWS) == set(UNSETTLED)


def test_a_dead_process_gets_longer_than_a_create_may_take() -> None:
    assert timedelta(minutes=20) + LISTING_LAG < CREATE_WINDOW


@unsettled
def test_a_create_is_settled_once_its_batch_must_be_listed(state: State) -> None:
    assert settled_at(_entry(state)) == AT + WINDOWS[state]


class TestCandidates:
    @unsettled
    def test_an_unclaimed_batch_of_the_same_size_may_be_ours(self, state: State) -> None:
        listed = [_batch("ended", succeeded=2, processing=0), _batch("a", succeeded=3), _batch("b", processing=3)]
        assert find_candidates(_entry(state), listed, set()) == listed[1:]

    def test_the_size_is_the_sum_of_all_counts(self) -> None:
        batch = _batch(processing=1, succeeded=2)
        assert find_candidates(_entry("unclear"), [batch], []) == [batch]

    @pytest.mark.parametrize("requests", [2, 4])
    def test_a_batch_of_another_size_is_not_ours(self, requests: int) -> None:
        assert find_candidates(_entry("unclear", requests=requests), [_batch(succeeded=3)], []) == []

    def test_a_batch_that_another_chunk_has_recorded_is_not_ours(self) -> None:
        listed = [_batch("a", succeeded=3), _batch("b", succeeded=3)]
        assert find_candidates(_entry("unclear"), listed, {"a", "c"}) == listed[1:]

    @unsettled
    def test_a_batch_created_too_late_is_not_ours(self, state: State) -> None:
        last = AT + WINDOWS[state] + CLOCK_SKEW
        in_time, late = (_batch(created_at=created_at, succeeded=3) for created_at in (last, last + MOMENT))
        assert find_candidates(_entry(state), [late, in_time], []) == [in_time]

    def test_an_empty_list_has_no_candidates(self) -> None:
        assert find_candidates(_entry("unclear"), [], []) == []


class TestLookAgainAt:
    @pytest.mark.parametrize(
        ("age", "pause"),
        [
            (timedelta(minutes=-5), SOON),
            (timedelta(0), SOON),
            (timedelta(minutes=5), SOON),
            (timedelta(minutes=30), timedelta(minutes=3)),
            (timedelta(minutes=100), LATE),
            (timedelta(hours=24), LATE),
        ],
    )
    @unsettled
    def test_a_running_candidate_is_checked_after_a_tenth_of_its_age(
        self, state: State, age: timedelta, pause: timedelta
    ) -> None:
        now = AT + timedelta(hours=24)
        running = [_batch(created_at=now - age, processing=3)]
        assert check_again_at(_entry(state), running, now=now) == now + pause

    def test_the_oldest_of_several_candidates_counts(self) -> None:
        now = AT + timedelta(hours=1)
        running = [_batch(created_at=now - timedelta(minutes=minutes), processing=3) for minutes in (1, 50, 20)]
        assert check_again_at(_entry("unclear"), running, now=now) == now + timedelta(minutes=5)

    @unsettled
    def test_a_running_candidate_delays_the_decision(self, state: State) -> None:
        now = AT + timedelta(days=2)
        assert check_again_at(_entry(state), [_batch(processing=3)], now=now) is not None
        assert check_again_at(_entry(state), [], now=now) is None

    @unsettled
    def test_no_batch_was_made_once_the_create_is_settled(self, state: State) -> None:
        settled = AT + WINDOWS[state]
        assert check_again_at(_entry(state), [], now=settled - MOMENT) == settled
        assert check_again_at(_entry(state), [], now=settled) is None

    @unsettled
    def test_before_that_the_list_is_checked_every_ten_minutes_and_at_the_end(self, state: State) -> None:
        entry, now, looks = _entry(state), AT, 0
        while again := check_again_at(entry, [], now=now):
            assert now < again <= now + LATE
            now, looks = again, looks + 1
        assert (now, looks) == (AT + WINDOWS[state], -(-WINDOWS[state] // LATE))


class TestRefusedUntil:
    @pytest.mark.parametrize(("refusals", "minutes"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (5_000, 10)])
    def test_each_consecutive_refusal_doubles_the_pause_up_to_ten_minutes(self, refusals: int, minutes: int) -> None:
        assert refusal_ends_at(refusals, None, now=AT) == AT + timedelta(minutes=minutes)

    @pytest.mark.parametrize("refusals", [1, 7])
    @pytest.mark.parametrize("asked_seconds", [0, 0.5, 60, 7_200])
    def test_the_retry_after_of_the_api_comes_first(self, refusals: int, asked_seconds: float) -> None:
        assert refusal_ends_at(refusals, asked_seconds, now=AT) == AT + timedelta(seconds=asked_seconds)


@pytest.mark.parametrize(
    ("ours", "strangers", "requests", "verdict"),
    [
        (3, 0, 3, "ours"),
        (1, 0, 3, "ours"),
        (3, 1, 3, "ours"),
        (0, 3, 3, "theirs"),
        (0, 4, 3, "theirs"),
        (0, 0, 3, None),
        (0, 2, 3, None),
        (0, 200, 100_000, None),
        (2, 1, 3, None),
        (1, 200, 100_000, None),
    ],
)
def test_only_conclusive_lines_show_whose_a_batch_is(
    ours: int, strangers: int, requests: int, verdict: str | None
) -> None:
    assert submission.classify_ownership(ours, strangers, requests=requests) == verdict


@pytest.mark.parametrize(
    ("minutes", "requests", "advised"), [(59, 3, False), (60, 3, True), (60 * 24, 100_000, True), (60 * 24, 1, False)]
)
def test_a_chunk_rejected_for_an_hour_may_be_too_large(minutes: int, requests: int, advised: bool) -> None:
    since = AT - timedelta(minutes=minutes)
    found = may_never_fit(since, now=AT, requests=requests, size_bytes=2_000_000)
    assert bool(found) == advised
    assert ("limits.batch_requests" in found) == advised
    assert (f"Its {requests:,} requests may exceed the API's queue, or its 2,000,000 bytes" in found) == advised
