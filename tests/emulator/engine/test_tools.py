"""A conversation with tools, by the SDK's tool runner and by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool

from tests.emulator.conftest import MODEL, request
from tests.fixtures.emulator import Emulator

ORDERS = '{"orders": [{"id": "A-17", "amount": 12.5}]}'
ASKED: Any = [{"role": "user", "content": '<ticket customer="c-9">Where is my money?</ticket>'}]
LOOK_UP = {
    "name": "look_up",
    "input_schema": {"type": "object", "properties": {"customer": {"type": "string"}}, "required": ["customer"]},
}
VERDICT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"refunded": {"type": "boolean"}, "reply": {"type": "string"}},
    "required": ["refunded", "reply"],
}
FORMAT = {"format": {"type": "json_schema", "schema": VERDICT}}


def _run(emulator: Emulator, **params: Any) -> tuple[Any, list[Any]]:
    """Return the last message of the SDK's tool runner, and the inputs of the tools."""
    ran: list[Any] = []

    @beta_async_tool
    async def look_up(customer: str) -> str:
        """Return the orders of a customer."""
        ran.append(("look_up", customer))
        return ORDERS

    @beta_async_tool
    async def refund(order_id: str, amount: float) -> str:
        """Refund an order."""
        ran.append(("refund", order_id, amount))
        return '{"status": "filed"}'

    async def loop() -> Any:
        async with AsyncAnthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0) as client:
            runner = client.beta.messages.tool_runner(
                model=MODEL, max_tokens=500, messages=ASKED, tools=[look_up, refund], thread=False, **params
            )
            return await runner.until_done()

    return asyncio.run(loop()), ran


def test_the_sdks_tool_runner_ends_with_an_answer_that_fits_the_schema(emulator: Emulator) -> None:
    message, ran = _run(emulator, output_config=FORMAT)
    assert message.stop_reason == "end_turn"
    assert set(json.loads(message.content[-1].text)) == {"refunded", "reply"}
    assert ran[0] == ("look_up", "c-9")
    assert ran[1:] in ([], [("refund", "A-17", 12.5)])
    assert emulator.bills()["synchronous"] == len(ran) + 1
    assert emulator.bills()["billed_twice"] == 0


def test_a_turn_that_was_paused_is_continued(emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "pause_turn", "times": 1}])
    message, ran = _run(emulator)
    assert message.stop_reason == "end_turn"
    assert emulator.bills()["synchronous"] == len(ran) + 2


def test_a_runaway_calls_the_same_tool_with_the_same_input_for_ever(emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "runaway"}])
    message, ran = _run(emulator, max_iterations=6)
    assert message.stop_reason == "tool_use"
    assert ran == [("look_up", "c-9")] * len(ran)
    assert len(ran) >= 5


def test_the_same_conversation_gets_the_same_calls(client: Anthropic) -> None:
    params: Any = request(tools=[LOOK_UP], messages=ASKED)
    first, second = (client.messages.create(**params) for _ in range(2))
    assert first == second
    assert first.stop_reason == "tool_use"
    call: Any = first.content[-1]
    assert (call.type, call.name, call.input) == ("tool_use", "look_up", {"customer": "c-9"})
    assert call.id.startswith("toolu_simulated_")


def _with_results(*results: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"customer": "c-9"}}
    return [*ASKED, {"role": "assistant", "content": [call]}, {"role": "user", "content": list(results)}]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"type": "text", "text": "Go on"}], "ids were found without `tool_result` blocks immediately after: toolu_1"),
        (
            [{"type": "tool_result", "tool_use_id": name, "content": ""} for name in ("toolu_1", "toolu_2")],
            "unexpected `tool_use_id` found in `tool_result` blocks: toolu_2",
        ),
    ],
    ids=["a call without result", "a result without call"],
)
def test_calls_and_results_must_match(client: Anthropic, results: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=message):
        client.messages.create(**request(tools=[LOOK_UP], messages=_with_results(*results)))


def test_no_tool_is_called_if_the_choice_is_none(client: Anthropic) -> None:
    params: Any = request(tools=[LOOK_UP], messages=ASKED, tool_choice={"type": "none"})
    assert client.messages.create(**params).stop_reason == "end_turn"


def test_a_call_without_room_is_cut_off(client: Anthropic) -> None:
    message = client.messages.create(**request(tools=[LOOK_UP], messages=ASKED, max_tokens=2))
    assert (message.stop_reason, message.content, message.usage.output_tokens) == ("max_tokens", [], 2)
