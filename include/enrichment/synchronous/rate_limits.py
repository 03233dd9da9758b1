"""
How much the API accepts per minute, by the headers of its responses, and when the next call fits.

The API counts requests, input tokens and output tokens, each in a bucket that refills evenly and that other processes
may share (docs of rate limits, 2026-10-08). Each response states the size of the buckets and what was left in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: The limits by their names in the headers.
REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = "requests", "input-tokens", "output-tokens"
#: A longer number is no limit of the API.
_MOST_DIGITS = 15
_KINDS = (REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS)


@dataclass(slots=True)
class _Bucket:
    per_second: float
    burst: float
    level: float
    at: float

    def refill(self, now: float) -> None:
        self.level = min(self.burst, self.level + (now - self.at) * self.per_second)
        self.at = now

    def wait_seconds(self, cost: float) -> float:
        # A call that costs more than the bucket holds goes when it is full, and leaves a debt.
        return max(0.0, min(cost, self.burst) - self.level) / self.per_second


class RateLimits:
    """
    The limits of one model, and what the calls in flight will use of them.

    Unknown until the first response; until then no call waits. Times are in seconds of a clock that never goes back. A
    call in flight costs one request, and as many tokens as calls cost on average so far; the next response corrects it.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self._in_flight = 0
        self._calls = 0
        self._used = dict.fromkeys(_KINDS, 0.0)
        self._is_paced = False
        self.closed_until = 0.0

    def wait_seconds(self, now: float) -> float:
        """Return how long the next call has to wait; 0: it may be sent now."""
        waits = [self.closed_until - now]
        for kind, bucket in self._buckets.items():
            bucket.refill(now)
            waits.append(bucket.wait_seconds(self._cost(kind)))
        return max(0.0, *waits)

    def sent(self) -> None:
        """Note that a call was sent. Every call ends with ended()."""
        self._in_flight += 1
        for kind, bucket in self._buckets.items():
            bucket.level -= self._cost(kind)

    def ended(self, headers: Mapping[str, str], now: float) -> None:
        """
        Note the end of a call, and what its response says about the limits.

        :param headers: of the response, with names in lower case; empty if there was none
        """
        self._in_flight -= 1
        for kind in _KINDS:
            limit, remaining = (_number(headers, f"{kind}-{what}") for what in ("limit", "remaining"))
            if limit and remaining is not None:
                per_second = limit / 60
                burst = self._paced(per_second) if self._is_paced else limit
                # The response cannot know of the calls that are still on their way.
                level = min(burst, remaining - self._in_flight * self._cost(kind))
                self._buckets[kind] = _Bucket(per_second=per_second, burst=burst, level=level, at=now)

    def used(self, *, input_tokens: int, output_tokens: int) -> None:
        """Note what an answer used. Tokens read from the cache do not count."""
        self._calls += 1
        self._used[INPUT_TOKENS] += input_tokens
        self._used[OUTPUT_TOKENS] += output_tokens

    def refused(self, *, until: float) -> None:
        """
        Note that the API refused a call (429): no call is sent before ``until``.

        The API may enforce a limit per minute as one per second. From the first refusal on, calls are therefore sent
        evenly: at most as many at once as a second allows.
        """
        self.closed_until = max(self.closed_until, until)
        self._is_paced = True
        for bucket in self._buckets.values():
            bucket.burst = self._paced(bucket.per_second)
            bucket.level = min(bucket.level, bucket.burst)

    def _cost(self, kind: str) -> float:
        if kind == REQUESTS:
            return 1
        return self._used[kind] / self._calls if self._calls else 0

    @staticmethod
    def _paced(per_second: float) -> float:
        return max(1.0, per_second)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(f"anthropic-ratelimit-{name}", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None
