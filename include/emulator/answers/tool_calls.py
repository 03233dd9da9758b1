"""
The tools that a simulated answer calls: in their order, each once, with what the conversation says.

The first tool is always called, each other one for most requests. A tool waits until the conversation has its required
numbers and codes, so one that looks something up comes before one that acts on it. A call that failed is repeated once.
When no tool is left, the answer follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.emulator.answers.schema_values import Maker
from include.emulator.answers.source import Source
from include.emulator.answers.structured_outputs import Schema, types_of
from include.emulator.documents.known_values import find_value, names_code
from include.emulator.draws import Draws, digest

_WANTED_PERCENT = 70
_PARALLEL_PERCENT = 30
_NUMBERS = {"number", "integer"}


@dataclass(frozen=True)
class Tool:
    """A tool that a request offers, and the maker of its input."""

    name: str
    schema: Schema
    make: Maker

    @property
    def properties(self) -> Mapping[str, Any]:
        """Return the schemas of the properties of its input."""
        properties = self.schema.get("properties", {})
        return properties if isinstance(properties, Mapping) else {}

    @property
    def required(self) -> list[str]:
        """Return the names of those that a call must have."""
        return [name for name in self.schema.get("required", ()) if name in self.properties]


@dataclass(frozen=True)
class PastCall:
    """A call in the conversation. Failed: its result is an error."""

    name: str
    inputs: Mapping[str, Any]
    failed: bool


@dataclass(frozen=True)
class Call:
    """A call in an answer."""

    name: str
    inputs: Any


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """
    What the tools are chosen by.

    :param question: the user's text before the first answer, which decides which tools are wanted
    :param texts: all that is known, the newest first
    """

    question: str
    texts: Sequence[str] = ()
    past: Sequence[PastCall] = ()

    def value_of(self, tool: Tool, name: str) -> Any:
        """Return the value that the conversation has for a property of a tool; None if it has none."""
        node = tool.properties[name]
        if not isinstance(node, Mapping) or {"enum", "const", "pattern"} & set(node):
            return None
        types = types_of(node)
        # The code that the question names is the one that it is about, whatever else the tools found.
        texts = [self.question, *self.texts] if names_code(name) else self.texts
        found = find_value(name, types, texts)
        if found is None and "array" in types:
            return find_value(name.removesuffix("s"), types, texts)
        return found


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
        return [Call(call.name, call.inputs) for call in failed]
    luck = Draws(digest(0, "tools", dialogue.question))
    wanted = [tool for number, tool in enumerate(tools) if number == 0 or luck.chance(_WANTED_PERCENT)]
    ready = [tool for tool in wanted if tool.name not in called and _needed(tool) <= _known(tool, dialogue)]
    if not ready and (must or not called):
        ready = [next((tool for tool in tools if tool.name not in called), tools[0])]
    # A tool that acts mostly has a value that nobody named, such as a reason, so it never comes with another one.
    at_once = [tool for tool in ready if set(tool.required) <= _known(tool, dialogue)]
    together = parallel and at_once[:1] == ready[:1] and draws.chance(_PARALLEL_PERCENT)
    chosen = at_once[:2] if together else ready[:1]
    return [Call(tool.name, make_input(tool, dialogue, draws, source)) for tool in chosen]


def make_input(tool: Tool, dialogue: Dialogue, draws: Draws, source: Source) -> Any:
    """Return an input: the values that the conversation has, and for other required ones what fits the schema."""
    made = tool.make(draws, source)
    if not isinstance(made, dict):
        return made
    known = {name: dialogue.value_of(tool, name) for name in _known(tool, dialogue)}
    names = [name for name in tool.properties if name in known or name in tool.required]
    return {name: known[name] if name in known else made[name] for name in names if name in known or name in made}


def _needed(tool: Tool) -> set[str]:
    """Return the required values that nobody could guess."""
    return {name for name in tool.required if names_code(name) or _NUMBERS & set(types_of(tool.properties[name]))}


def _known(tool: Tool, dialogue: Dialogue) -> set[str]:
    return {name for name in tool.properties if dialogue.value_of(tool, name) is not None}
