from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anthropic
import pytest

from include.enrichment.errors import NotYet
from include.enrichment.synchronous.patience import MOST_REFUSALS, TRIES
from include.gateways.synchronous import limited_client as module
from include.gateways.synchronous.limited_client import limited_client
from tests.fixtures.emulator import Emulator

T = TypeVar("T")


def in_a_loop(url: str, key: str, call: Callable[[anthropic.AsyncAnthropic], Awaitable[T]]) -> T:
    async def run() -> T:
        async with limited_client(anthropic.AsyncAnthropic(api_key=key, base_url=url)) as client:
            return await call(client)

    return asyncio.run(run())


async def ask(client: anthropic.AsyncAnthropic, text: str = "hi") -> Any:
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": text}]
    return await client.messages.create(model="claude-haiku-5-5", max_tokens=50, messages=messages)


def ask_many(emulator: Emulator, count: int) -> None:
    async def all_of_them(client: anthropic.AsyncAnthropic) -> None:
        await ask(client, "the first")
        await asyncio.gather(*(ask(client, str(number)) for number in range(1, count)))

    in_a_loop(emulator.url, emulator.api_key, all_of_them)


def statuses(emulator: Emulator) -> list[int]:
    return [call["status"] for call in emulator.log()["calls"] if call["path"].startswith("/v1/messages")]


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The waits between two tries take no time; the list has what they were asked for."""
    asked: list[int] = []

    def wait_seconds(failures: int, retry_after_seconds: float | None = None) -> float:
        asked.append(failures)
        return retry_after_seconds or 0

    monkeypatch.setattr(module, "wait_seconds", wait_seconds)
    return asked


@pytest.mark.parametrize("limit", [{"requests": 1_200}, {"input_tokens": 30_000}, {"output_tokens": 60_000}])
def test_calls_keep_to_the_limits_that_the_headers_tell(emulator: Emulator, limit: dict[str, int]) -> None:
    emulator.set_faults([{"kind": "rate_limit", "burst_seconds": 1, **limit}])
    ask_many(emulator, 40)
    assert statuses(emulator).count(200) == 40
    assert statuses(emulator).count(429) <= 15


def test_a_refusal_stops_all_calls_until_the_api_accepts_them_again(emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": 429, "retry_after": 1, "times": 1}])
    began = datetime.now(UTC)
    in_a_loop(emulator.url, emulator.api_key, ask)
    assert datetime.now(UTC) - began >= timedelta(seconds=1)
    assert statuses(emulator) == [429, 200]


def test_a_call_that_is_always_refused_gives_up(emulator: Emulator, no_waits: list[int]) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": 429}])
    with pytest.raises(anthropic.RateLimitError):
        in_a_loop(emulator.url, emulator.api_key, ask)
    assert statuses(emulator) == [429] * MOST_REFUSALS


def test_a_long_wait_is_left_to_the_scheduler_by_every_call(emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": 429, "retry_after": 600, "times": 1}])

    async def two(client: anthropic.AsyncAnthropic) -> list[Any]:
        return [(await asyncio.gather(ask(client), return_exceptions=True))[0] for _ in range(2)]

    errors = in_a_loop(emulator.url, emulator.api_key, two)
    assert all(isinstance(error, NotYet) for error in errors)
    assert errors[0].again_at - datetime.now(UTC) == pytest.approx(timedelta(seconds=600), abs=timedelta(seconds=5))
    assert statuses(emulator) == [429]


@pytest.mark.parametrize("status", [500, 503])
def test_an_error_of_the_api_is_tried_again_and_then_told(emulator: Emulator, no_waits: list[int], status: int) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": status, "times": 2}])
    in_a_loop(emulator.url, emulator.api_key, ask)
    assert (statuses(emulator), no_waits) == ([status, status, 200], [1, 2])
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": status}])
    with pytest.raises(anthropic.InternalServerError):
        in_a_loop(emulator.url, emulator.api_key, ask)
    assert statuses(emulator)[3:] == [status] * TRIES


def test_an_overloaded_api_is_left_alone_for_a_while(emulator: Emulator, no_waits: list[int]) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": 529}])
    with pytest.raises(NotYet, match="overloaded"):
        in_a_loop(emulator.url, emulator.api_key, ask)
    assert statuses(emulator) == [529] * TRIES


def test_an_unreachable_api_is_tried_again_later(no_waits: list[int]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(NotYet, match="could not be reached"):
            in_a_loop(url, "k", ask)
    assert len(no_waits) == TRIES - 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "lost_answer"}, anthropic.APIConnectionError),
        ({"kind": "http_error", "on": "messages", "status": 504, "created": True}, anthropic.APIStatusError),
        ({"kind": "http_error", "on": "messages", "status": 400}, anthropic.BadRequestError),
    ],
)
def test_a_call_that_may_have_been_billed_or_is_rejected_is_not_repeated(
    emulator: Emulator, fault: dict[str, Any], error: type[Exception]
) -> None:
    emulator.set_faults([fault])
    with pytest.raises(error):
        in_a_loop(emulator.url, emulator.api_key, ask)
    assert len(statuses(emulator)) == 1


def test_other_calls_of_the_client_are_not_limited(emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "models", "status": 500}])
    with pytest.raises(anthropic.InternalServerError):
        in_a_loop(emulator.url, emulator.api_key, lambda client: client.models.retrieve("claude-haiku-5-5"))
    assert len(emulator.log()["calls"]) == 1
