"""
The tools that a simulated answer calls: in their order, each once, with what the conversation says.

The first tool is always called, each other one for most requests. A tool waits until the conversation has its required
numbers and one of its other required values, so one that looks something up comes before one that acts on it. A call
that failed is repeated once. When no tool is left, the answer follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from include.emulator.answers.schema_values import Maker
from include.emulator.answers.source import Source
from include.emulator.answers.structured_outputs import Schema, types_of
from include.emulator.documents.known_values import find_value
from include.emulator.draws import Draws, digest

_WANTED_PERCENT = 70
_PARALLEL_PERCENT = 30


@dataclass(frozen=True)
class Tool:
    """A tool that a request offers, and the maker of its input."""

    name: str
    schema: Schema
    make: Maker


@dataclass(frozen=True)
class PastCall:
    """A call in the conversation. Failed: its result is an error."""

    name: str
    input: Any
    failed: bool


@dataclass(frozen=True)
class Call:
    """A call in an answer."""

    name: str
    input: Any


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """
    What the tools are chosen by.

    :param question: the user's text before the first answer, which decides which tools are wanted
    :param texts: all that is known, the newest first
    """

    question: str
    texts: Sequence[str] = ()
    past: Sequence[PastCall] = field(default=())


def choose_calls(
    tools: Sequence[Tool], dialogue: Dialogue, draws: Draws, source: Source, *, must: bool, parallel: bool
) -> list[Call]:
    """
    Return the calls of the next answer; none if it is time for an answer in words.

    :param must: whether the answer has to call a tool
    :param parallel: whether it may call two at once
    """
    if not tools:
        return []
    called = [call.name for call in dialogue.past]
    if failed := [call for call in dialogue.past if call.failed and called.count(call.name) == 1]:
        return [Call(call.name, call.input) for call in failed]
    luck = Draws(digest(0, "tools", dialogue.question))
    wanted = [tool for number, tool in enumerate(tools) if number == 0 or luck.chance(_WANTED_PERCENT)]
    ready = [tool for tool in wanted if tool.name not in called and _is_ready(tool.schema, dialogue.texts)]
    if not ready and (must or not called):
        ready = [next((tool for tool in tools if tool.name not in called), tools[0])]
    both = parallel and len(ready) > 1 and draws.chance(_PARALLEL_PERCENT)
    return [Call(tool.name, make_input(tool, dialogue.texts, draws, source)) for tool in ready[: 2 if both else 1]]


def make_input(tool: Tool, texts: Sequence[str], draws: Draws, source: Source) -> Any:
    """Return an input for a tool: the values that the texts have, and for other required ones what fits the schema."""
    made = tool.make(draws, source)
    if not isinstance(made, dict):
        return made
    known = {
        name: value for name in _properties(tool.schema) if (value := _known(tool.schema, name, texts)) is not None
    }
    required = tool.schema.get("required", ())
    return {
        name: known.get(name, value) for name, value in {**made, **known}.items() if name in required or name in known
    }


def _is_ready(schema: Schema, texts: Sequence[str]) -> bool:
    required = [name for name in schema.get("required", ()) if name in _properties(schema)]
    found = {name for name in required if _known(schema, name, texts) is not None}
    numbers = {name for name in required if {"number", "integer"} & set(types_of(_properties(schema)[name]))}
    return not required or (bool(found) and numbers <= found)


def _known(schema: Schema, name: str, texts: Sequence[str]) -> Any:
    node = _properties(schema)[name]
    if not isinstance(node, Mapping) or {"enum", "const", "pattern"} & set(node):
        return None
    types = types_of(node)
    found = find_value(name, types, texts)
    if found is None and "array" in types:
        return find_value(name.removesuffix("s"), types, texts)
    return found


def _properties(schema: Schema) -> Mapping[str, Any]:
    properties = schema.get("properties", {})
    return properties if isinstance(properties, Mapping) else {}
