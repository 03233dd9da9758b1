"""The rate limits of messages: what the headers show, and what a 429 says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from include.emulator.engine.batches import SECOND
from include.emulator.faults.message_kinds import RateLimit
from include.emulator.http.rate_limits import RateLimits
from tests.emulator.conftest import request
from tests.fixtures.emulator import Emulator

USAGE = {"input_tokens": 60, "cache_creation_input_tokens": 40, "cache_read_input_tokens": 9_000, "output_tokens": 30}
Buckets = dict[Any, Any]


def _limits(buckets: Buckets, at_seconds: float, **limit: Any) -> RateLimits:
    armed = [RateLimit(**limit)] if limit else []
    return RateLimits("claude-haiku-5-5", armed, buckets, "workspace", round(at_seconds * SECOND))


def _wait(limits: RateLimits, usage: dict[str, int] | None = USAGE) -> str | None:
    found = limits.exceeded(usage)
    return None if found is None else found[1].headers["retry-after"]


def test_a_bucket_fills_continuously() -> None:
    buckets: Buckets = {}
    for _ in range(2):
        limits = _limits(buckets, 0, requests=2)
        assert _wait(limits) is None
        limits.take(USAGE)
    assert _wait(_limits(buckets, 0, requests=2)) == "30"
    assert _wait(_limits(buckets, 20.5, requests=2), None) == "10"
    assert _wait(_limits(buckets, 30, requests=2)) is None


def test_a_bucket_holds_what_flows_in_within_the_burst() -> None:
    buckets: Buckets = {}
    limit = {"requests": 60, "burst_seconds": 2}
    for _ in range(2):
        _limits(buckets, 100, **limit).take(USAGE)
    assert _wait(_limits(buckets, 100, **limit)) == "1"


def test_input_read_from_the_cache_does_not_count() -> None:
    buckets: Buckets = {}
    for _ in range(2):
        assert _wait(_limits(buckets, 0, input_tokens=200)) is None
        _limits(buckets, 0, input_tokens=200).take(USAGE)
    assert _wait(_limits(buckets, 0, input_tokens=200)) == "30"


def test_a_message_begins_as_long_as_any_output_is_left() -> None:
    buckets: Buckets = {}
    _limits(buckets, 0, output_tokens=20).take(USAGE)
    assert _wait(_limits(buckets, 0, output_tokens=20)) == "33"


def test_a_message_larger_than_the_limit_never_passes() -> None:
    assert _wait(_limits({}, 0, input_tokens=99)) == "60"


def test_a_limit_of_another_model_does_not_count() -> None:
    assert _wait(_limits({}, 0, requests=0, model="claude-sonnet-5")) is None
    assert _wait(_limits({}, 0, requests=0, model="claude-haiku-5-5")) == "60"


def test_the_headers_show_all_limits_even_if_none_is_armed(client: Anthropic) -> None:
    headers = client.messages.with_raw_response.create(**request()).headers
    shown = {name: headers[f"anthropic-ratelimit-{name}"] for name in ("requests-limit", "requests-remaining")}
    assert shown == {"requests-limit": "4000", "requests-remaining": "3999"}
    assert [headers[f"anthropic-ratelimit-{name}-limit"] for name in ("input-tokens", "output-tokens", "tokens")] == [
        "4000000",
        "800000",
        "4800000",
    ]
    assert int(headers["anthropic-ratelimit-input-tokens-remaining"]) % 1000 == 0
    assert datetime.fromisoformat(headers["anthropic-ratelimit-tokens-reset"]).tzinfo is not None


def test_a_429_names_the_limit_and_the_wait_and_is_not_billed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "rate_limit", "requests": 2}])
    for text in "ab":
        client.messages.create(**request(text))
    with pytest.raises(anthropic.RateLimitError, match="rate limit of 2 requests per minute") as caught:
        client.messages.create(**request("c"))
    headers = caught.value.response.headers
    assert 1 <= int(headers["retry-after"]) <= 30
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert emulator.bills()["requests"] == 2
    emulator.advance_clock(30)
    client.messages.create(**request("c"))
