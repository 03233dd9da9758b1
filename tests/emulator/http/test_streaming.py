"""Streamed messages: the SDK's accumulation is the message that comes without a stream."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import asked, document_block, request
from tests.fixtures.emulator import Emulator

TOOL = {"name": "refund", "input_schema": {"type": "object", "properties": {"order": {"type": "string"}}}}
REQUESTS = {
    "text": request(),
    "thinking": request(model="claude-sonnet-5"),
    "tool": request(tools=[TOOL], tool_choice={"type": "any"}),
    "citations": request(messages=asked(document_block("Total 12.50", citations={"enabled": True}))),
    "truncated": request(max_tokens=3),
}


def _streamed(client: Anthropic, params: dict[str, Any]) -> anthropic.types.Message:
    with client.messages.stream(**params) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("name", REQUESTS)
def test_a_stream_adds_up_to_the_message(client: Anthropic, name: str) -> None:
    whole = client.messages.create(**REQUESTS[name]).to_dict()
    streamed = _streamed(client, REQUESTS[name]).to_dict(exclude_none=False)
    assert {key: value for key, value in streamed.items() if key in whole} == whole


def test_the_events_come_in_the_order_of_the_api(client: Anthropic) -> None:
    with client.messages.with_streaming_response.create(**request(), stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["anthropic-ratelimit-requests-limit"] == "4000"
        names = [line.removeprefix("event: ") for line in response.iter_lines() if line.startswith("event: ")]
    inner = [name for name in names if name != "content_block_delta"]
    assert inner == [
        *("message_start", "ping", "content_block_start", "content_block_stop", "message_delta", "message_stop")
    ]


def test_a_slow_stream_begins_at_once(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "slow", "seconds": 0.5, "on": "messages"}])
    impatient = client.with_options(timeout=httpx2.Timeout(5, read=2))
    with impatient.messages.stream(**request()) as stream:
        first = next(iter(stream))
        assert first.type == "message_start"
        assert stream.get_final_message().stop_reason == "end_turn"


def test_a_stream_may_end_with_an_error_event(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "stream_error", "times": 1}])
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        _streamed(client, request())
    assert _streamed(client, request()).stop_reason == "end_turn"
    assert emulator.bills()["billed_twice"] == 1


def test_a_stream_may_break_off(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "lost_answer", "midway": True, "times": 1}])
    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
        _streamed(client, request())
    assert emulator.bills()["synchronous"] == 1


def test_a_streamed_request_is_the_same_as_one_that_is_not(emulator: Emulator, client: Anthropic) -> None:
    client.messages.create(**request())
    _streamed(client, request())
    assert emulator.bills()["billed_twice"] == 1
