"""The kinds of faults that strike synchronous messages."""

from __future__ import annotations

from typing import Annotated

import msgspec

from include.emulator.faults.fault import Count, Fault
from include.emulator.faults.row_kinds import LineErrorType


class RateLimit(Fault, frozen=True):
    """
    A 429 for a message that would exceed a limit on the workspace's messages of one model in a minute.

    Each is a token bucket that holds at most what flows in within ``burst_seconds``. ``retry-after`` is the whole
    seconds until there is enough.

    :param input_tokens: without those read from the cache
    :param output_tokens: a message begins as long as any are left
    :param model: only messages of this model; null means each model, with buckets of its own
    """

    requests: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    model: str | None = None
    burst_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0

    def __post_init__(self) -> None:
        if (self.requests, self.input_tokens, self.output_tokens) == (None, None, None):
            raise ValueError("set `requests`, `input_tokens` or `output_tokens`")


class LostAnswer(Fault, frozen=True):
    """
    A message is answered and billed, and the connection breaks before its response is complete.

    ``midway``: half of the response has arrived by then; else nothing has. A chance is a message that is answered.
    """

    midway: bool = False


class StreamError(Fault, frozen=True):
    """A streamed message is answered and billed, and its stream ends halfway with an ``error`` event."""

    error_type: LineErrorType = "overloaded_error"
    message: str = "Overloaded"
