from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anthropic
import msgspec

from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from tests.fixtures.emulator import Emulator

T = TypeVar("T")
PARAMS = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


def in_a_loop(emulator: Emulator, call: Callable[[Messages], Awaitable[T]]) -> T:
    async def run() -> T:
        client = anthropic.AsyncAnthropic(api_key=emulator.api_key, base_url=emulator.url)
        async with Messages(limited_client(client), name="my_conn") as messages:
            return await call(messages)

    return asyncio.run(run())


def answer(emulator: Emulator, **params: Any) -> dict[str, Any]:
    body = msgspec.json.encode({**PARAMS, **params})
    result: dict[str, Any] = msgspec.json.decode(in_a_loop(emulator, lambda messages: messages.answer("r1", body)))
    return result


def asked(emulator: Emulator) -> list[Mapping[str, Any]]:
    return [call for call in emulator.log()["calls"] if call["path"].startswith("/v1/messages")]


def test_an_answer_is_a_result_of_a_batch(emulator: Emulator) -> None:
    result = answer(emulator)
    assert (result["type"], result["message"]["type"]) == ("succeeded", "message")
    assert result["message"]["usage"]["service_tier"] == "standard"


def test_a_rejected_request_has_an_errored_result(emulator: Emulator) -> None:
    result = answer(emulator, temperature=3)
    assert (result["type"], result["error"]["type"]) == ("errored", "error")
    assert result["error"]["error"]["type"] == "invalid_request_error"
    assert result["error"]["request_id"].startswith("req_")
    assert len(asked(emulator)) == 1
