"""
The rate limits of synchronous messages: token buckets of a workspace and a model, and the headers that show them.

A bucket fills continuously, by its limit in a minute. Input read from the cache does not count. A message takes all its
tokens when it is answered. Without the fault ``rate_limit`` nothing is enforced, and the headers show the limits of a
large customer. A restart fills all buckets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from include.emulator.api_errors import ApiError
from include.emulator.engine import models
from include.emulator.engine.batches import SECOND, timestamp
from include.emulator.faults.message_kinds import RateLimit

Kind = Literal["requests", "input_tokens", "output_tokens"]

ORGANIZATION = "00000000-0000-4000-8000-000000000000"
_LARGE: dict[Kind, int] = {"requests": 4_000, "input_tokens": 4_000_000, "output_tokens": 800_000}
_MINUTE = 60 * SECOND
# As documented, the headers round what remains of the tokens.
_ROUNDED = 1_000


@dataclass
class Bucket:
    """
    What may still be used of one limit. The level is negative after more was used than there was.

    :param limit: what flows in within a minute
    :param capacity: the most that it holds
    :param at: when it had this level, in microseconds
    """

    limit: int
    capacity: float
    level: float
    at: int

    def refill(self, now: int) -> None:
        """Let flow in what is due by now."""
        self.level = min(self.capacity, self.level + (now - self.at) * self.limit / _MINUTE)
        self.at = now

    def seconds_until(self, level: float) -> float:
        """Return when it holds this much: 0 if it does, and infinity if it never will."""
        if self.level >= level:
            return 0.0
        return (level - self.level) * 60 / self.limit if level <= self.capacity and self.limit else math.inf


class RateLimits:
    """
    The buckets of one workspace and one model.

    :param armed: the armed limits, those that win first
    :param buckets: those that there are, changed in place: a bucket whose limit has changed is replaced by a full one
    """

    def __init__(
        self, model: str, armed: list[RateLimit], buckets: dict[tuple[str, str, Kind], Bucket], workspace: str, now: int
    ) -> None:
        self._model = model
        self._buckets: dict[Kind, Bucket] = {}
        self.enforced: dict[Kind, RateLimit] = {}
        for kind in get_args(Kind):
            fault = next((one for one in armed if getattr(one, kind) is not None and _concerns(one, model)), None)
            limit, burst = (_LARGE[kind], 60.0) if fault is None else (getattr(fault, kind), fault.burst_seconds)
            capacity = max(limit * burst / 60, min(limit, 1))
            bucket = buckets.get((workspace, model, kind))
            if bucket is None or (bucket.limit, bucket.capacity) != (limit, capacity):
                bucket = buckets[workspace, model, kind] = Bucket(limit, capacity, capacity, now)
            bucket.refill(now)
            self._buckets[kind] = bucket
            if fault is not None:
                self.enforced[kind] = fault

    def exceeded(self, usage: Mapping[str, Any] | None = None) -> tuple[RateLimit, ApiError] | None:
        """Return the limit that a message with this usage exceeds, and its 429; without a usage, of requests only."""
        for kind, needed in _needs(usage).items():
            # Output is not known before it is written, so a message begins as long as there is any left.
            wait = self._buckets[kind].seconds_until(1 if kind == "output_tokens" else needed)
            if kind in self.enforced and wait:
                return self.enforced[kind], self._error(kind, 60 if math.isinf(wait) else math.ceil(wait))
        return None

    def take(self, usage: Mapping[str, Any]) -> None:
        """Take what a message uses, whether or not there is enough."""
        for kind, needed in _needs(usage).items():
            self._buckets[kind].level -= needed

    def headers(self) -> dict[str, str]:
        """Return the response headers."""
        tokens = [self._buckets["input_tokens"], self._buckets["output_tokens"]]
        shown = {
            **{kind.replace("_", "-"): _shown([bucket]) for kind, bucket in self._buckets.items()},
            "tokens": _shown(tokens),
        }
        return {
            f"anthropic-ratelimit-{kind}-{name}": value
            for kind, (limit, remaining, reset) in shown.items()
            for name, value in (
                ("limit", str(limit)),
                ("remaining", str(remaining if kind == "requests" else round(remaining / _ROUNDED) * _ROUNDED)),
                ("reset", reset),
            )
        }

    def _error(self, kind: Kind, seconds: int) -> ApiError:
        limit = f"{self._buckets[kind].limit:,} {kind.replace('_', ' ')} per minute"
        message = (
            f"This request would exceed your organization's rate limit of {limit} (org: {ORGANIZATION}, model: "
            f"{self._model}). For details, refer to: https://docs.claude.com/en/api/rate-limits. You can see the "
            "response headers for current usage."
        )
        return ApiError(429, message, headers={**self.headers(), "retry-after": str(seconds)})


def _concerns(limit: RateLimit, model: str) -> bool:
    found = None if limit.model is None else models.find(limit.model)
    return limit.model is None or (found is not None and found.id == model)


def _needs(usage: Mapping[str, Any] | None) -> dict[Kind, int]:
    if usage is None:
        return {"requests": 1}
    return {
        "requests": 1,
        "input_tokens": usage["input_tokens"] + usage["cache_creation_input_tokens"],
        "output_tokens": usage["output_tokens"],
    }


def _shown(buckets: list[Bucket]) -> tuple[int, int, str]:
    """Return the limit of some buckets, what remains, and when all are full again."""
    full = max(bucket.at + round(bucket.seconds_until(bucket.capacity) * SECOND) for bucket in buckets)
    remaining = sum(max(math.floor(bucket.level), 0) for bucket in buckets)
    # To the second, as the API gives it.
    reset = f"{timestamp(-(-full // SECOND) * SECOND)}".replace(".000000", "")
    return sum(bucket.limit for bucket in buckets), remaining, reset
