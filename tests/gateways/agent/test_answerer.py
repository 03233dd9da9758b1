"""An agent's loop: stored step by step, replayed, and stopped at its limits."""

from __future__ import annotations

import asyncio
import json
import re
from decimal import Decimal
from typing import Any

import anthropic
import pytest

from include.enrichment.agent.settings import RowLimits, RunLimits
from include.enrichment.agent.transcript import Approval
from include.enrichment.errors import BudgetExceeded, LakeError, NotYet
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from tests.fixtures.agents import REQUEST_ID, Script, World, agent_params, answer, call, text
from tests.fixtures.emulator import Emulator

LOOP = (
    answer(text("I look."), call("look_up", order="A-1")),
    answer(call("look_up", 2, order="A-2"), call("refund", 3, order="A-1", cents=500)),
    answer(text('{"reply": "done"}')),
)


def ask(world: World, script: Script, **options: Any) -> dict[str, Any] | None:
    """Answer the request with a new process's agent; return the message."""
    line = asyncio.run(world.agent(script, **options).answer(REQUEST_ID, agent_params()))
    if line is None:
        return None
    result: dict[str, Any] = json.loads(line)
    message: dict[str, Any] = result.get("message", result)
    return message


def ask_over_http(world: World, emulator: Emulator, **options: Any) -> dict[str, Any]:
    """Answer the request with a model that the emulator plays; return the message."""

    async def answered() -> bytes | None:
        http_client = anthropic.DefaultAsyncHttpxClient(verify=False, trust_env=False)
        client = anthropic.AsyncAnthropic(api_key=emulator.api_key, base_url=emulator.url, http_client=http_client)
        async with Messages(limited_client(client), name="anthropic_default") as messages:
            return await world.agent(messages, **options).answer(REQUEST_ID, agent_params())

    line = asyncio.run(answered())
    assert line
    message: dict[str, Any] = json.loads(line)["message"]
    return message


class Killed(BaseException):
    """The process has ended here."""


def test_the_answer_is_the_last_turn_with_the_usage_of_all(world: World) -> None:
    message = ask(world, Script(*LOOP))
    assert message
    assert message["content"] == [text('{"reply": "done"}')]
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (300, 30)
    assert [one["input_tokens"] for one in message["usage"]["iterations"]] == [100, 100, 100]
    assert world.looked_up == ["A-1", "A-2"]
    assert list(world.acts.values()) == [("A-1", 500)]


def test_a_request_is_sent_without_a_thread_and_a_turn_sends_the_results_of_its_calls(world: World) -> None:
    script = Script(*LOOP)
    ask(world, script)
    assert all("thread" not in body for body in script.bodies)
    results = script.bodies[2]["messages"][-1]["content"]
    assert [one["tool_use_id"] for one in results] == ["toolu_2", "toolu_3"]
    assert script.bodies[0]["tools"] == json.loads(agent_params())["tools"]


def test_a_row_that_was_answered_is_replayed_without_a_call(world: World) -> None:
    first = ask(world, Script(*LOOP))
    again = Script(AssertionError("nothing is sent"))
    assert ask(world, again) == first
    assert not again.bodies
    assert world.looked_up == ["A-1", "A-2"]
    assert world.refunds_called == 1


WRITES = ["001", "001.01", "002", "002.01", "002.02", "003"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", WRITES)
def test_killed_at_every_write_nothing_acts_twice_and_the_transcript_is_whole(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    add = world.transcripts.add

    def dies(request_id: str, name: str, value: Any) -> None:
        if name != step or when == "after":
            add(request_id, name, value)
        if name == step:
            raise Killed

    script = Script(*LOOP)
    monkeypatch.setattr(world.transcripts, "add", dies)
    with pytest.raises(Killed):
        ask(world, script)
    monkeypatch.setattr(world.transcripts, "add", add)
    message = ask(world, script)
    assert message
    assert message["usage"]["input_tokens"] == 300
    assert list(world.acts.values()) == [("A-1", 500)]
    assert list(world.transcripts.steps(REQUEST_ID)) == WRITES
    paid_twice = len(script.bodies) - 3
    assert paid_twice == (1 if when == "before" and "." not in step else 0)


def test_a_tool_that_raises_tells_the_model_no_more_than_the_kind(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(order: str) -> object:
        raise ConnectionError(f"postgresql://reader:hunter2@warehouse/shop is away, order {order}")

    world.look_up = fails
    script = Script(*LOOP)
    ask(world, script)
    assert "hunter2" not in json.dumps(script.bodies)
    assert "warehouse" not in json.dumps(script.bodies)
    result = script.bodies[1]["messages"][-1]["content"][0]
    assert (result["content"], result["is_error"]) == ("The tool failed with ConnectionError.", True)
    assert "postgresql://***@warehouse/shop is away" in caplog.text
    assert "hunter2" not in caplog.text


def test_input_that_does_not_fit_goes_back_to_the_model(world: World) -> None:
    script = Script(answer(call("refund", order="A-1", cents="many")), LOOP[-1])
    ask(world, script)
    result = script.bodies[1]["messages"][-1]["content"][0]
    assert result["content"].startswith("The input does not fit: cents: Input should be a valid integer")
    assert not world.acts


def test_a_writing_tool_that_raises_is_called_again_with_its_key_and_then_the_row_stops(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.gateways.agent.functions._PAUSE_SECONDS", 0)
    keys: list[str] = []

    def refund(order: str, cents: int, *, idempotency_key: str) -> str:
        keys.append(idempotency_key)
        raise TimeoutError

    script = Script(*LOOP)
    message = ask(world, script, functions={"refund": refund})
    assert message
    assert message["stop_reason"] == "limit"
    assert message["stop_details"]["explanation"] == "refund raised TimeoutError 3 times, and may have acted"
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(script.bodies) == 2


@pytest.mark.parametrize(
    ("limits", "turns", "why"),
    [
        ({"turns": 5}, 5, r"it reached its limit of 5 turns"),
        ({"tool_calls": 2}, 3, r"it reached its limit of 2 tool calls"),
        ({"tokens": 400}, None, r"it reached its limit of 400 tokens \(\d+ used\)"),
        ({"usd": Decimal("0.0005")}, None, r"it reached its limit of \$0\.0005 \(\$0\.\d+ used\)"),
    ],
)
def test_a_runaway_loop_stops_at_each_limit(
    world: World, emulator: Emulator, limits: dict[str, Any], turns: int | None, why: str
) -> None:
    emulator.set_faults([{"kind": "runaway"}])
    message = ask_over_http(world, emulator, per_row=RowLimits(**limits))
    assert re.fullmatch(why, message["stop_details"]["explanation"])
    assert message["content"] == []
    asked = len(emulator.messages())
    assert asked == turns or (turns is None and 1 < asked < 20)
    (billed,) = emulator.bills()["bills"]
    assert message["usage"]["output_tokens"] == billed["output_tokens"]
    assert message["usage"]["input_tokens"] == billed["input_tokens"]


def test_three_equal_failures_stop_a_row(world: World) -> None:
    def fails(order: str) -> object:
        raise KeyError(order)

    world.look_up = fails
    script = Script(answer(call("look_up", order="A-1")))
    message = ask(world, script)
    assert message
    assert message["stop_details"]["explanation"] == "the same call of a tool failed 3 times in the same way"
    assert len(script.bodies) == 3


def test_a_run_that_reaches_its_limit_stops_and_keeps_its_transcripts(world: World) -> None:
    with pytest.raises(BudgetExceeded, match="limit of 2 turns, after 2 turns and 3 tool calls"):
        ask(world, Script(*LOOP), per_run=RunLimits(turns=2))
    assert list(world.transcripts.steps(REQUEST_ID)) == WRITES[:-1]
    again = Script(*LOOP)
    assert ask(world, again)
    assert len(again.bodies) == 1


def test_a_paused_turn_is_resumed(world: World, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "pause_turn"}])
    message = ask_over_http(world, emulator)
    assert message["stop_reason"] == "end_turn"
    turns = [step for name, step in world.transcripts.steps(REQUEST_ID).items() if "." not in name]
    assert "pause_turn" in str(turns[0])
    assert len(emulator.messages()) == len(turns) > 1
    assert emulator.bills()["billed_twice"] == 0


def test_a_row_never_mixes_the_two_prices_of_a_model(world: World) -> None:
    world.look_up = lambda order: "x" * 20_000
    script = Script(answer(call("look_up", order="A-1"), input_tokens=90_000), LOOP[-1])
    message = ask(world, script)
    assert message
    assert "the next prompt could exceed 100,000 tokens" in message["stop_details"]["explanation"]
    assert len(script.bodies) == 1


def test_a_transcript_of_another_conversation_is_not_used(world: World) -> None:
    ask(world, Script(*LOOP))
    other = agent_params().replace(b"A-1", b"B-1")
    with pytest.raises(LakeError, match="does not answer what is asked now"):
        asyncio.run(world.agent(Script(*LOOP)).answer(REQUEST_ID, other))


ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
REJECTED = {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long"}}


def test_an_error_before_the_first_answer_is_the_result_of_the_row(world: World) -> None:
    result = ask(world, Script(ERROR))
    assert result == {"type": "errored", "error": ERROR}


def test_an_error_in_the_middle_of_a_row_is_waited_out(world: World) -> None:
    with pytest.raises(NotYet, match="The API answered turn 2"):
        ask(world, Script(LOOP[0], ERROR))
    again = Script(*LOOP)
    assert ask(world, again)
    assert len(again.bodies) == 2


def test_a_rejected_turn_ends_a_row_whose_turns_are_paid(world: World) -> None:
    message = ask(world, Script(LOOP[0], REJECTED))
    assert message
    assert message["usage"]["input_tokens"] == 100
    assert "the API rejected turn 2: invalid_request_error: prompt is too long" in str(message["stop_details"])


def test_a_call_that_a_person_approves_waits_and_is_made_after_the_approval(world: World) -> None:
    script = Script(*LOOP)
    assert ask(world, script, ask_first=True) is None
    assert not world.acts
    approval = world.transcripts.steps(REQUEST_ID)["002.02-approval"]
    assert isinstance(approval, Approval)
    world.transcripts.put(REQUEST_ID, "002.02-approval", approval.model_copy(update={"approved": True}))
    message = ask(world, script, ask_first=True, asks_person=False)
    assert message
    assert list(world.acts.values()) == [("A-1", 500)]
    assert len(script.bodies) == 3
    assert world.looked_up == ["A-1", "A-2"]


def test_a_call_that_nobody_approved_is_not_made_and_the_row_ends_without_it(world: World) -> None:
    script = Script(*LOOP)
    assert ask(world, script, ask_first=True) is None
    message = ask(world, script, ask_first=True, asks_person=False)
    assert message
    assert not world.acts
    assert "This call was not approved." in script.bodies[2]["messages"][-1]["content"][1]["content"]
