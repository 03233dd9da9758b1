"""Which tools a simulated answer calls, and with what."""

from __future__ import annotations

from typing import Any

from include.emulator.answers.schema_values import compile_schema
from include.emulator.answers.source import Source
from include.emulator.answers.tool_calls import Call, Dialogue, PastCall, Tool, choose_calls, make_input
from include.emulator.draws import Draws

QUESTION = '<ticket customer="c-9">Where is my money?</ticket>'
ORDERS = '{"orders": [{"id": "A-17", "amount": 12.5}]}'


def _tool(name: str, **properties: str) -> Tool:
    schema = {
        "type": "object",
        "properties": {key: {"type": type} for key, type in properties.items()},
        "required": list(properties),
    }
    return Tool(name, schema, compile_schema(schema))


LOOK_UP, REFUND = _tool("look_up", customer="string"), _tool("refund", order_id="string", amount="number")


def _calls(
    texts: list[str], past: list[PastCall] | None = None, *, number: int = 0, must: bool = False, tools: Any = None
) -> list[Call]:
    question = f"{QUESTION}{number}"
    dialogue = Dialogue(question=question, texts=[*texts, question], past=past or [])
    draws, source = Draws(number), Source(question)
    return choose_calls(tools or (LOOK_UP, REFUND), dialogue, draws, source, must=must, parallel=True)


LOOKED_UP = PastCall("look_up", {"customer": "c-9"}, failed=False)


def test_the_first_tool_is_called_with_what_the_question_says() -> None:
    assert _calls([]) == [Call("look_up", {"customer": "c-9"})]


def test_the_next_tool_is_called_with_what_the_first_one_found_for_most_requests() -> None:
    calls = [_calls([ORDERS], [LOOKED_UP], number=number) for number in range(200)]
    assert {len(one) for one in calls} == {0, 1}
    assert all(one in ([], [Call("refund", {"order_id": "A-17", "amount": 12.5})]) for one in calls)
    assert 0.6 < sum(map(len, calls)) / 200 < 0.8


def test_a_tool_whose_number_nobody_named_is_not_called() -> None:
    assert not any(_calls(['{"orders": []}'], [LOOKED_UP], number=number) for number in range(20))


def test_a_tool_whose_code_nobody_named_is_not_called() -> None:
    close = _tool("close", order_id="string", reason="string")
    past = [LOOKED_UP]
    assert not any(_calls(["{}"], past, number=number, tools=(LOOK_UP, close)) for number in range(20))
    assert any(_calls([ORDERS], past, number=number, tools=(LOOK_UP, close)) for number in range(20))


def test_a_code_in_the_question_comes_before_those_that_a_tool_found() -> None:
    orders = _tool("orders", order_id="string")
    dialogue = Dialogue(question="Where is order B-2?", texts=[ORDERS])
    assert make_input(orders, dialogue, Draws(0), Source("")) == {"order_id": "B-2"}


def test_a_tool_with_a_value_that_nobody_named_is_never_called_with_another_one() -> None:
    tools = (LOOK_UP, _tool("close", customer="string", reason="string"))
    assert {len(_calls([], number=number, tools=tools)) for number in range(50)} == {1}


def test_each_tool_is_called_once() -> None:
    past = [LOOKED_UP, PastCall("refund", {}, failed=False)]
    assert not any(_calls([ORDERS], past, number=number) for number in range(20))


def test_a_call_that_failed_is_repeated_once() -> None:
    failed = PastCall("look_up", {"customer": "c-9"}, failed=True)
    assert _calls(["no database"], [failed]) == [Call("look_up", {"customer": "c-9"})]
    assert _calls(["no database"], [failed, failed]) == []


def test_tools_that_are_ready_at_once_are_sometimes_called_at_once() -> None:
    tools = (LOOK_UP, _tool("profile", customer="string"))
    counts = {len(_calls([], number=number, tools=tools)) for number in range(50)}
    assert counts == {1, 2}


def test_a_forced_answer_always_calls_a_tool() -> None:
    past = [LOOKED_UP, PastCall("refund", {}, failed=False)]
    assert [call.name for call in _calls([ORDERS], past, must=True)] == ["look_up"]


def test_a_value_that_nobody_named_fits_the_schema_and_an_optional_one_is_left_out() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "tone": {"enum": ["kind"]}, "limit": {"type": "integer"}},
        "required": ["city", "tone"],
    }
    (call,) = _calls([], tools=(Tool("visit", schema, compile_schema(schema)),))
    assert set(call.inputs) == {"city", "tone"}
    assert call.inputs["city"].startswith("simulated")
