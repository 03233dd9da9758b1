from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import anthropic
import httpx2
import msgspec
import pytest

from include.enrichment.answers.outcome import decode_line
from include.enrichment.errors import ApiError, SetupError
from include.gateways.synchronous import messages as module
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from tests.fixtures.emulator import Emulator
from tests.gateways.claude_api import FOREIGN_RESPONSES, responding, served_by

T = TypeVar("T")
SHORT = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
LONG = {**SHORT, "max_tokens": 8_000}
BOTH = pytest.mark.parametrize("params", [SHORT, LONG], ids=["whole", "streamed"])


def in_a_loop(url: str, key: str, call: Callable[[Messages], Awaitable[T]]) -> T:
    async def run() -> T:
        client = anthropic.AsyncAnthropic(api_key=key, base_url=url)
        async with Messages(limited_client(client), name="my_conn") as messages:
            return await call(messages)

    return asyncio.run(run())


def answer(emulator: Emulator, params: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The result of a request, read as a result line."""
    body = msgspec.json.encode({**params, **more})
    result = in_a_loop(emulator.url, emulator.api_key, lambda messages: messages.answer("r1", body))
    line = b'{"custom_id":"r1","result":%b}' % result
    assert b"\n" not in line
    assert decode_line(line).result.type in ("succeeded", "errored")
    decoded: dict[str, Any] = msgspec.json.decode(result)
    return decoded


def asked(emulator: Emulator) -> list[Mapping[str, Any]]:
    return [call for call in emulator.log()["calls"] if call["path"].startswith("/v1/messages")]


@BOTH
def test_an_answer_is_the_message_of_the_api(emulator: Emulator, params: dict[str, Any]) -> None:
    result = answer(emulator, params)
    direct = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url).messages.create(**params)
    assert result["type"] == "succeeded"
    assert result["message"]["content"] == direct.to_dict()["content"]
    assert result["message"]["usage"] == direct.to_dict()["usage"]
    assert result["message"]["usage"]["service_tier"] == "standard"
    assert result["message"]["stop_reason"] == direct.stop_reason


@BOTH
def test_a_rejected_request_has_the_error_of_the_api_as_its_result(emulator: Emulator, params: dict[str, Any]) -> None:
    error = answer(emulator, params, temperature=3)["error"]
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert error["request_id"].startswith("req_")
    assert len(asked(emulator)) == 1


@BOTH
@pytest.mark.parametrize("fault", [{}, {"midway": True}], ids=["nothing came", "half of it came"])
def test_a_lost_answer_is_asked_for_again_and_counted(
    emulator: Emulator, params: dict[str, Any], fault: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    emulator.set_faults([{"kind": "lost_answer", "times": 2, **fault}])
    with caplog.at_level(logging.WARNING):
        assert answer(emulator, params)["type"] == "succeeded"
    assert len(asked(emulator)) == 3
    assert emulator.bills()["billed_twice"] == 2
    assert "2 calls ended without an answer and were repeated. Each may be billed" in caplog.text


@BOTH
def test_an_answer_that_is_lost_again_and_again_is_an_errored_result(
    emulator: Emulator, params: dict[str, Any]
) -> None:
    emulator.set_faults([{"kind": "lost_answer"}])
    error = answer(emulator, params)["error"]["error"]
    assert error["type"] == "timeout_error"
    assert error["message"].startswith("3 calls ended without an answer")
    assert len(asked(emulator)) == 3


@pytest.mark.parametrize(("params", "timeout"), [(SHORT, "_TIMEOUT"), (LONG, "_STREAM_TIMEOUT")])
def test_an_answer_that_does_not_come_in_time_may_have_been_billed(
    emulator: Emulator, params: dict[str, Any], timeout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, timeout, httpx2.Timeout(0.5))
    emulator.set_faults([{"kind": "slow", "on": "messages", "seconds": 1, "times": 1}])
    assert answer(emulator, params)["type"] == "succeeded"
    assert emulator.bills()["billed_twice"] == 1


def test_an_error_within_a_stream_counts_as_a_lost_answer(emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stream_error", "times": 1}])
    assert answer(emulator, LONG)["type"] == "succeeded"
    assert len(asked(emulator)) == 2


@pytest.mark.parametrize("status", [408, 504])
def test_a_proxy_that_gives_up_loses_the_answer_too(emulator: Emulator, status: int) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": status, "created": True, "times": 1}])
    assert answer(emulator, SHORT)["type"] == "succeeded"
    assert emulator.bills()["billed_twice"] == 1


def test_without_credentials_nothing_is_asked(emulator: Emulator) -> None:
    def token(**_: Any) -> anthropic.AccessToken:
        raise anthropic.CredentialsError("no token file")

    async def run() -> None:
        client = anthropic.AsyncAnthropic(credentials=token, base_url=emulator.url)
        async with Messages(limited_client(client), name="my_conn") as messages:
            await messages.answer("r1", msgspec.json.encode(SHORT))

    with pytest.raises(SetupError, match="'my_conn' provides no credentials"):
        asyncio.run(run())
    assert asked(emulator) == []


def test_a_rejected_account_stops_everything_at_once(emulator: Emulator) -> None:
    code = "enforced_spend_limit_reached"
    emulator.set_faults([{"kind": "http_error", "on": "messages", "status": 429, "error_code": code}])
    with pytest.raises(SetupError, match="spend limit"):
        answer(emulator, SHORT)
    assert len(asked(emulator)) == 1


@pytest.mark.parametrize(("kind", "response"), FOREIGN_RESPONSES)
def test_a_response_that_is_not_the_api_s_is_an_error(kind: str, response: bytes) -> None:
    body = msgspec.json.encode(SHORT)
    with served_by(responding(response, kind=kind)) as behind:
        url = str(behind._client.base_url)
        with pytest.raises(ApiError, match="did not come from the API") as caught:
            in_a_loop(url, "k", lambda messages: messages.answer("r1", body))
    assert caught.value.retryable


def test_an_answer_on_several_lines_becomes_one_line(emulator: Emulator) -> None:
    message = b'{\n  "type": "message",\n  "content": [{"type": "text", "text": "a\\nb"}]\n}'
    body = msgspec.json.encode(SHORT)
    with served_by(responding(message)) as behind:
        result = in_a_loop(str(behind._client.base_url), "k", lambda messages: messages.answer("r1", body))
    assert result == b'{"type":"succeeded","message":{"type":"message","content":[{"type":"text","text":"a\\nb"}]}}'
