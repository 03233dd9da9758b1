from __future__ import annotations

import pytest

from include.enrichment.synchronous.rate_limits import RateLimits


def headers(**limits: tuple[int, int]) -> dict[str, str]:
    """The headers of limits: how much a minute, and how much is left."""
    return {
        f"anthropic-ratelimit-{kind.replace('_', '-')}-{what}": str(number)
        for kind, numbers in limits.items()
        for what, number in zip(("limit", "remaining"), numbers, strict=True)
    }


def after_one(now: float = 0, **limits: tuple[int, int]) -> RateLimits:
    """The limits as the response to a single call tells them."""
    known = RateLimits()
    known.sent()
    known.ended(headers(**limits), now)
    return known


def sent_within(limits: RateLimits, seconds: float, *, step: float = 0.01) -> int:
    """Send whatever may be sent, without any response."""
    count = 0
    for tick in range(round(seconds / step)):
        while limits.wait_seconds(tick * step) == 0 and count < 100_000:
            limits.sent()
            count += 1
    return count


def test_no_call_waits_before_the_limits_are_known() -> None:
    limits = RateLimits()
    for _ in range(1_000):
        assert limits.wait_seconds(0) == 0
        limits.sent()


def test_what_is_left_is_sent_at_once_and_the_rest_as_the_bucket_refills() -> None:
    limits = after_one(requests=(600, 100))
    assert sent_within(limits, 0.01) == 100
    assert limits.wait_seconds(0) == pytest.approx(0.1)
    assert sent_within(after_one(requests=(600, 100)), 10) == pytest.approx(200, abs=2)


def test_a_bucket_never_holds_more_than_a_minute_brings() -> None:
    limits = after_one(now=-10_000, requests=(60, 0))
    assert sent_within(limits, 0.01) == 60


def test_calls_in_flight_are_not_in_the_number_that_is_left() -> None:
    limits = RateLimits()
    for _ in range(3):
        limits.sent()
    limits.ended(headers(requests=(60, 2)), 0)
    assert limits.wait_seconds(0) == pytest.approx(1)
    limits.ended(headers(requests=(60, 2)), 0)
    assert limits.wait_seconds(0) == 0


def test_calls_of_other_processes_are() -> None:
    limits = after_one(requests=(60, 60))
    limits.sent()
    limits.ended(headers(requests=(60, 0)), 0)
    assert limits.wait_seconds(0) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["input_tokens", "output_tokens"])
def test_a_call_takes_as_many_tokens_as_the_average_answer_used(kind: str) -> None:
    limits = RateLimits()
    limits.sent()
    limits.used(input_tokens=200, output_tokens=100)
    limits.sent()
    limits.used(input_tokens=400, output_tokens=500)
    limits.ended({}, 0)
    limits.ended(headers(**{kind: (60_000, 3_000)}), 0)
    assert sent_within(limits, 0.01) == 10


def test_a_call_of_more_tokens_than_the_limit_is_sent_when_the_bucket_is_full_and_leaves_a_debt() -> None:
    limits = after_one(input_tokens=(600, 600))
    limits.used(input_tokens=1_200, output_tokens=1)
    assert limits.wait_seconds(0) == 0
    limits.sent()
    assert limits.wait_seconds(0) == pytest.approx(120)


def test_a_refusal_stops_all_calls_for_the_time_that_the_api_requests() -> None:
    limits = after_one(requests=(60, 60))
    limits.refused(until=7)
    assert limits.wait_seconds(0) == 7
    limits.refused(until=3)
    assert limits.wait_seconds(0) == 7


def test_after_a_refusal_calls_are_spread_evenly() -> None:
    limits = after_one(requests=(600, 600))
    limits.refused(until=0)
    assert sent_within(limits, 0.01) == 10
    limits.sent()
    limits.ended(headers(requests=(600, 600)), 0)
    assert sent_within(limits, 0.01) <= 10


@pytest.mark.parametrize("bad", ["9" * 400, "9" * 5000, "", "-1", "many", "1.5", "٣"])
def test_headers_that_say_nothing_change_nothing(bad: str) -> None:
    limits = after_one(requests=(60, 10))
    limits.sent()
    limits.ended({name: bad for name in headers(requests=(0, 0))}, 0)
    assert sent_within(limits, 0.01) == 9
