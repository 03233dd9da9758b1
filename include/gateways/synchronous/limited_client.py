"""A client that keeps to the API's rate limits and repeats only calls that cost nothing."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import anthropic
import httpx2
import msgspec

from include.enrichment.errors import NotYet
from include.enrichment.synchronous.patience import (
    LONGEST_WAIT_SECONDS,
    MOST_REFUSALS,
    PAUSE_SECONDS,
    TRIES,
    failure_of,
    wait_seconds,
)
from include.enrichment.synchronous.rate_limits import RateLimits
from include.gateways.claude_errors import SPEND_LIMITS, retry_after_seconds

MESSAGES = "/v1/messages"
_OVERLOADED = 529
#: The API received nothing.
_UNREACHABLE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def limited_client(client: anthropic.AsyncAnthropic) -> anthropic.AsyncAnthropic:
    """
    Return a client whose calls of the Messages API wait for the rate limits.

    All calls of a model wait in one line. The limits are learned from the headers of the responses. A refusal (429)
    stops all calls of the model for as long as the API requests; a call gives up after MOST_REFUSALS. Errors of the API
    and failed connects, which cost nothing, are tried TRIES times. The SDK's own retries are off: they also repeat
    calls that may have been billed.

    Its calls raise NotYet if the API cannot be reached, is overloaded, or requests a wait of more than
    LONGEST_WAIT_SECONDS. Calls in flight are not affected.
    """
    return client.with_options(max_retries=0).with_middleware(_RateLimiter())


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    cache_creation_input_tokens: int | None = 0
    output_tokens: int = 0


class _Answer(msgspec.Struct):
    usage: _Usage | None = None


class _Model(msgspec.Struct):
    model: str = ""


class _Details(msgspec.Struct):
    error_code: str | None = None


class _Error(msgspec.Struct):
    details: _Details | None = None


class _ErrorResponse(msgspec.Struct):
    error: _Error | None = None


class _Line:
    """The calls of one model, which are sent one after the other, in the order in which they came."""

    def __init__(self) -> None:
        self.limits = RateLimits()
        self._first = asyncio.Lock()

    async def wait(self) -> None:
        """Return when a call may be sent. Raises NotYet if that takes longer than LONGEST_WAIT_SECONDS."""
        async with self._first:
            while (seconds := self.limits.wait_seconds(_now())) > 0:
                if self.limits.closed_until - _now() > LONGEST_WAIT_SECONDS:
                    raise _not_yet(f"The API accepts no call for {seconds:,.0f} s (rate limit)", seconds)
                # A response that comes in the meantime may shorten the wait.
                await asyncio.sleep(min(seconds, 1))
            self.limits.sent()


class _RateLimiter(anthropic.Middleware):
    def __init__(self) -> None:
        self._lines: dict[str, _Line] = defaultdict(_Line)

    async def handle_async(
        self, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
    ) -> anthropic.AsyncAPIResponse[Any]:
        if request.url.partition("?")[0] != MESSAGES:
            return await call_next(request)
        line = self._lines[_model(request)]
        refusals = failures = 0
        while True:
            await line.wait()
            response = await _send(line.limits, request, call_next)
            if isinstance(response, httpx2.TransportError):
                failures += 1
                if failures >= TRIES:
                    raise _not_yet(f"The API could not be reached ({response})", PAUSE_SECONDS) from response
                await asyncio.sleep(wait_seconds(failures))
                continue
            failure = failure_of(response.status_code)
            asked_for = retry_after_seconds(response.http_response.headers)
            refusals += failure == "refused"
            failures += failure == "failed"
            if failure == "refused" and refusals < MOST_REFUSALS and not await _is_spend_limit(response):
                line.limits.refused(until=_now() + wait_seconds(refusals, asked_for))
            elif failure == "failed" and failures < TRIES:
                await asyncio.sleep(max(wait_seconds(failures), asked_for or 0))
            elif response.status_code == _OVERLOADED:
                raise _not_yet(f"The API is overloaded (HTTP {_OVERLOADED}, {failures} times)", PAUSE_SECONDS)
            else:
                return response
            await response.http_response.aclose()


async def _send(
    limits: RateLimits, request: anthropic.APIRequest, call_next: anthropic.AsyncCallNext
) -> anthropic.AsyncAPIResponse[Any] | httpx2.TransportError:
    """Send the call once, and note what its response says of the limits. Return the error if nothing was received."""
    headers = httpx2.Headers()
    try:
        response = await call_next(request)
        headers = response.http_response.headers
        _note_usage(limits, request, response)
        return response
    except anthropic.APIConnectionError as error:
        if isinstance(error.__cause__, _UNREACHABLE):
            return error.__cause__
        raise
    finally:
        limits.ended(headers, _now())


def _model(request: anthropic.APIRequest) -> str:
    if isinstance(request.json, dict):
        return str(request.json.get("model"))
    content = request.options.content
    return msgspec.json.decode(content, type=_Model).model if isinstance(content, bytes) else ""


def _note_usage(limits: RateLimits, request: anthropic.APIRequest, response: anthropic.AsyncAPIResponse[Any]) -> None:
    """Note what a call used. A stream reports it only at its end, when the API has counted it."""
    if request.stream or response.status_code != 200:
        return
    try:
        usage = msgspec.json.decode(response.http_response.content, type=_Answer).usage
    except msgspec.DecodeError:
        return  # no answer of the API, which is the caller's error
    if usage:
        written = usage.cache_creation_input_tokens or 0
        limits.used(input_tokens=usage.input_tokens + written, output_tokens=usage.output_tokens)


async def _is_spend_limit(response: anthropic.AsyncAPIResponse[Any]) -> bool:
    try:
        found = msgspec.json.decode(await response.http_response.aread(), type=_ErrorResponse)
    except msgspec.DecodeError:
        return False  # of a proxy
    details = found.error.details if found.error else None
    return bool(details and details.error_code in SPEND_LIMITS)


def _not_yet(fact: str, seconds: float) -> NotYet:
    again_at = datetime.now(UTC) + timedelta(seconds=seconds)
    return NotYet(
        f"{fact}. The answers received so far are kept. The rest is asked again at {again_at:%H:%M:%S} UTC.",
        again_at=again_at,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
