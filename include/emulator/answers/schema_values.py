"""
Values that fit a schema, for simulated structured outputs.

A schema is compiled once into a maker, and each request then draws its value from it. Texts follow the instructions of
their description, and begin with "simulated" wherever the schema allows it, so that nobody mistakes them for Claude's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from include.emulator.answers.instructions import NONE, read_instructions
from include.emulator.answers.patterns import PatternError, compile_pattern
from include.emulator.answers.source import Source
from include.emulator.answers.structured_outputs import Schema, resolve, types_of
from include.emulator.documents.known_values import names_code
from include.emulator.draws import Draws

MAX_DEPTH = 24  # for the schemas of tools, which may be recursive; below it every value is null
_NULL_PERCENT = 10
_OPTIONAL_PERCENT = 80
_DAY_ZERO = datetime(2026, 1, 1, tzinfo=UTC)

Maker = Callable[[Draws, Source], Any]


def compile_schema(schema: Schema) -> Maker:
    """Compile a maker of values that fit ``schema``; keywords outside the supported subset are ignored."""
    return _compile(schema, schema, 0)


def _compile(node: Schema, root: Schema, depth: int) -> Maker:
    if depth > MAX_DEPTH:
        return _null
    node = flatten(node, root)
    if "const" in node:
        return _choice([node["const"]])
    if "enum" in node:
        return _choice([value for value in node["enum"] if _is_of(value, types_of(node))] or node["enum"])
    if "anyOf" in node:
        base = {key: value for key, value in node.items() if key != "anyOf"}
        # The keywords next to anyOf narrow each alternative.
        return _one_of([_compile(_merge(base, flatten(part, root)), root, depth + 1) for part in node["anyOf"]])
    makers = [_of_type(name, node, root, depth) for name in types_of(node) or (_guess_type(node),)]
    return makers[0] if len(makers) == 1 else _one_of(makers)


def flatten(node: Schema, root: Schema) -> Schema:
    """Return the schema with its reference and its allOf merged into it."""
    if "$ref" in node:
        siblings = {key: value for key, value in node.items() if key != "$ref"}
        return flatten(_merge(resolve(str(node["$ref"]), root), siblings), root)
    if "allOf" in node:
        merged: Schema = {key: value for key, value in node.items() if key != "allOf"}
        for part in node["allOf"]:
            merged = _merge(merged, flatten(part, root))
        return flatten(merged, root)
    return node


def _merge(one: Schema, other: Schema) -> Schema:
    """Return a schema whose values fit both."""
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = _merge_properties(one, other)
    elif "properties" in one or "properties" in other:
        merged["properties"] = (one if "properties" in one else other)["properties"]
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    if "enum" in one and "enum" in other:
        merged["enum"] = [value for value in one["enum"] if value in other["enum"]]
    if "type" in one and "type" in other:
        merged["type"] = _common_types(types_of(one), types_of(other))
    if "anyOf" in one and "anyOf" in other:
        merged["anyOf"] = [{"allOf": [left, right]} for left in one["anyOf"] for right in other["anyOf"]]
    if "items" in one and "items" in other:
        merged["items"] = {"allOf": [one["items"], other["items"]]}
    return merged


def _merge_properties(one: Schema, other: Schema) -> dict[str, Schema]:
    mine, theirs = one["properties"], other["properties"]
    names = list(dict.fromkeys([*mine, *theirs]))
    # An object without additionalProperties has only its own properties, whatever the other half adds.
    for side in (one, other):
        if side.get("additionalProperties") is False:
            names = [name for name in names if name in side["properties"]]
    return {
        name: {"allOf": [mine[name], theirs[name]]} if name in mine and name in theirs else {**mine, **theirs}[name]
        for name in names
    }


def _common_types(one: tuple[str, ...], other: tuple[str, ...]) -> list[str]:
    common = [name for name in one if name in other]
    if not common and "integer" in {*one, *other} and "number" in {*one, *other}:
        return ["integer"]
    return common or list(other)


def _is_of(value: object, types: tuple[str, ...]) -> bool:
    if not types:
        return True
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int):
        return "integer" in types or "number" in types
    named = {str: "string", float: "number", type(None): "null"}.get(type(value), "")
    return named in types


def _guess_type(node: Schema) -> str:
    if "properties" in node:
        return "object"
    return "array" if "items" in node or "minItems" in node else "string"


def _of_type(name: str, node: Schema, root: Schema, depth: int) -> Maker:
    if name == "object":
        return _object(node, root, depth)
    if name == "array":
        return _array(node, root, depth)
    if name == "string":
        return _string(node)
    return {"integer": _integer, "number": _number, "boolean": _boolean}.get(name, _null)


def _object(node: Schema, root: Schema, depth: int) -> Maker:
    required = set(node.get("required", ()))
    makers = {name: _compile(inner, root, depth + 1) for name, inner in node.get("properties", {}).items()}
    # The API writes the required properties first, each group in the schema's order.
    always = [(name, maker) for name, maker in makers.items() if name in required]
    sometimes = [(name, maker) for name, maker in makers.items() if name not in required]

    codes = {
        name for name, inner in node.get("properties", {}).items() if names_code(name) and "string" in types_of(inner)
    }

    def make(draws: Draws, source: Source) -> dict[str, Any]:
        # An answer after calls of tools is about what they were called with.
        named = {name: source.tool_inputs[name] for name in codes if isinstance(source.tool_inputs.get(name), str)}
        value = {name: named[name] if name in named else maker(draws, source) for name, maker in always}
        for name, maker in sometimes:
            if draws.chance(_OPTIONAL_PERCENT):
                value[name] = maker(draws, source)
        return value

    return make


def _array(node: Schema, root: Schema, depth: int) -> Maker:
    description = node.get("description", "")
    item: Maker = _phrase
    if isinstance(node.get("items"), Mapping):
        # The description of a list also speaks of its items, if they have none of their own.
        item = _compile({"description": description, **flatten(node["items"], root)}, root, depth + 1)
    least, bounds = int(node.get("minItems", 0)), read_instructions(description).items

    def make(draws: Draws, source: Source) -> list[Any]:
        count = draws.below(4) if bounds is None else bounds[0] + draws.below(bounds[1] - bounds[0] + 1)
        return [item(draws, source) for _ in range(max(least, count))]

    return make


def _string(node: Schema) -> Maker:
    if "pattern" in node:
        try:
            pattern = compile_pattern(str(node["pattern"]))
        except PatternError:  # possible only in tools, whose values need not match
            return _phrase
        return lambda draws, source: pattern(draws)
    if "format" in node:
        return _FORMATS.get(str(node["format"]), _phrase)
    asked = read_instructions(node.get("description", ""))
    return lambda draws, source: source.write(asked, draws)


def _choice(options: list[Any]) -> Maker:
    """Draw an enum value, preferably one whose words occur in the request. Raises ValueError if there is none."""
    if not options:
        raise ValueError("The enum has no values.")
    words_of = {value: re.findall(r"\w{3,}", value.lower()) for value in options if isinstance(value, str)}

    def make(draws: Draws, source: Source) -> Any:
        agreeing = source.agreeing(options)
        keyed = [(value, words_of[value]) for value in agreeing if isinstance(value, str)]
        overlaps = [sum(word in source.lower for word in words) for _, words in keyed]
        best = max(overlaps, default=0)
        close = [value for (value, _), overlap in zip(keyed, overlaps, strict=True) if overlap == best]
        value = draws.pick(close if best else agreeing)
        return value.swapcase() if source.wrong_case and isinstance(value, str) else value

    return make


def _one_of(makers: list[Maker]) -> Maker:
    if _null not in makers or len(makers) == 1:
        return lambda draws, source: draws.pick(makers)(draws, source)
    others = [maker for maker in makers if maker is not _null] or [_null]

    def make(draws: Draws, source: Source) -> Any:
        return None if draws.chance(_NULL_PERCENT) else draws.pick(others)(draws, source)

    return make


def _null(draws: Draws, source: Source) -> None:
    return None


def _integer(draws: Draws, source: Source) -> int:
    return draws.below(101)


def _number(draws: Draws, source: Source) -> float:
    return draws.below(10_001) / 100


def _boolean(draws: Draws, source: Source) -> bool:
    return draws.chance(50)


def _phrase(draws: Draws, source: Source) -> str:
    return source.write(NONE, draws)


def _moment(draws: Draws) -> datetime:
    return _DAY_ZERO + timedelta(seconds=draws.below(365 * 86_400))


def _date_time(draws: Draws, source: Source) -> str:
    """Draw a time in any format of RFC 3339: some in lower case, some as a leap second."""
    moment = _moment(draws)
    if moment.second == 59:
        return f"{moment:%Y-%m-%dT}23:59:60Z"
    text = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return text.lower() if moment.second % 10 == 0 else text


def _uuid(draws: Draws) -> str:
    digits = f"{draws.below(1 << 62):016x}{draws.below(1 << 62):016x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


# Names and addresses from the ranges reserved for documentation.
_FORMATS: dict[str, Maker] = {
    "date-time": _date_time,
    "date": lambda draws, source: f"{_moment(draws):%Y-%m-%d}",
    "time": lambda draws, source: f"{_moment(draws):%H:%M:%SZ}",
    "duration": lambda draws, source: f"PT{1 + draws.below(59)}M",
    "email": lambda draws, source: f"simulated-{draws.below(1000)}@example.com",
    "hostname": lambda draws, source: f"simulated-{draws.below(1000)}.example.com",
    "uri": lambda draws, source: f"https://simulated.example.com/{draws.below(1000)}",
    "ipv4": lambda draws, source: f"192.0.2.{draws.below(256)}",
    "ipv6": lambda draws, source: f"2001:db8::{draws.below(65_536):x}",
    "uuid": lambda draws, source: _uuid(draws),
}
