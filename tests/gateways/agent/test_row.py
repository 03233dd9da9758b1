"""One row: the runner's calls find their place in the transcript."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from include.enrichment.agent.transcript import idempotency_key
from tests.fixtures.agents import REQUEST_ID, Script, World, agent_params, answer, call, text


def test_equal_calls_of_one_answer_are_two_steps_with_keys_of_their_own(world: World) -> None:
    twice = answer(call("refund", 1, order="A-1", cents=5), call("refund", 2, order="A-1", cents=5))
    asyncio.run(world.agent(Script(twice, answer(text("{}")))).answer(REQUEST_ID, agent_params()))
    assert list(world.acts) == [idempotency_key(REQUEST_ID, step) for step in ("001.01", "001.02")]


@pytest.mark.filterwarnings("ignore:Tool 'no_tool' not found")
def test_a_call_of_a_tool_that_does_not_exist_keeps_the_positions_of_the_others(world: World) -> None:
    both = answer(call("no_tool", 1), call("refund", 2, order="A-1", cents=5))
    script = Script(both, answer(text("{}")))
    asyncio.run(world.agent(script).answer(REQUEST_ID, agent_params()))
    assert list(world.acts) == [idempotency_key(REQUEST_ID, "001.02")]
    unknown, refunded = script.bodies[1]["messages"][-1]["content"]
    assert (unknown["is_error"], refunded["content"]) == (True, "refunded")


def test_a_result_line_has_the_form_of_the_batch_api(world: World) -> None:
    line = asyncio.run(world.agent(Script(answer(text("{}")))).answer(REQUEST_ID, agent_params()))
    assert line is not None
    assert json.loads(line)["type"] == "succeeded"
    assert msgspec.json.decode(line)["message"]["stop_reason"] == "end_turn"
