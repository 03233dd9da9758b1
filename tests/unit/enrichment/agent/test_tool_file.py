"""tools.py is read without running it: what each function is for the model, and what is wrong with the file."""

from __future__ import annotations

import pytest

from include.enrichment.agent.tool_file import read_tools

SOURCE = '''
raise RuntimeError("reading runs nothing")

def look_up(
    customer: str, states: list[Literal["open", "paid"]], *, most: int = 10, since: str | None = None
) -> list[dict[str, str]]:
    """
    Look up the orders
    of a customer.

    :param customer: the number of the
        customer
    :param most: rows
    """

def refund(order: str, cents: int, *, idempotency_key: str) -> str:
    """Refund an order."""
'''


def test_a_function_becomes_a_strict_tool() -> None:
    (look_up, refund), mistakes = read_tools(SOURCE, ask_first={"look_up": False, "refund": True})
    assert not mistakes
    assert look_up.definition == {
        "name": "look_up",
        "description": "Look up the orders of a customer.",
        "strict": True,
        "input_schema": {
            "type": "object",
            "properties": {
                "customer": {"type": "string", "description": "the number of the customer"},
                "states": {"type": "array", "items": {"enum": ["open", "paid"]}},
                "most": {"type": "integer", "description": "rows"},
                "since": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["customer", "states"],
            "additionalProperties": False,
        },
    }
    assert (look_up.writes, look_up.ask_first) == (False, False)
    assert (refund.writes, refund.ask_first) == (True, True)


def test_the_model_does_not_see_the_idempotency_key() -> None:
    (refund,), _ = read_tools(SOURCE, ask_first={"refund": False})
    assert list(refund.input_schema["properties"]) == ["order", "cents"]


@pytest.mark.parametrize(
    ("function", "line", "fact"),
    [
        ("def f(:\n", 1, "is not Python: "),
        ("def other() -> str:\n    'x'\n", 1, "there is no function 'f'. There are: other"),
        ("\nasync def f() -> str:\n    'x'\n", 2, "f: is async: write a plain function"),
        ("def f(a: str) -> str: ...\n", 1, "f: has no docstring: Claude knows a tool by its description"),
        (
            "def f(\n    a: dict[str, str]\n) -> str:\n    'x'\n",
            2,
            "f: 'dict[str, str]' is not a JSON type. Use str",
        ),
        ("def f(a) -> str:\n    'x'\n", 1, "f: the type of a is missing. Use str"),
        ("def f(*a: str) -> str:\n    'x'\n", 1, "f: a cannot be a property of JSON"),
        ("def f(grösse: int) -> str:\n    'x'\n", 1, "f: grösse: the API takes names of up to 64 ASCII letters"),
        ("def f(a: Literal[()]) -> str:\n    'x'\n", 1, "f: 'Literal[()]' is not a JSON type"),
        ("def f(*, idempotency_key: int) -> str:\n    'x'\n", 1, "f: idempotency_key must be a str"),
        ("def f(idempotency_key: str) -> str:\n    'x'\n", 1, "f: idempotency_key must be a keyword without a default"),
    ],
)
def test_a_mistake_is_told_with_its_line(function: str, line: int, fact: str) -> None:
    _, ((found_line, found),) = read_tools(function, ask_first={"f": False})
    assert found_line == line
    assert found.startswith(fact)
