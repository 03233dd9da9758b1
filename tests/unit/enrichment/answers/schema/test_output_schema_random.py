"""output_schema.py: random schemas and answers never raise, and what is accepted is stored."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.answers.schema.json_schema import Schema
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.answers.schema.supported_schema import find_problems
from tests.fixtures.schemas import VALUES, object_schema, random_schema


class TestAnyAnswer:
    """Random schemas and answers: what problems() lets pass can be made, and what check() lets pass can be stored."""

    @pytest.mark.parametrize("seed", range(4))
    def test_check_never_raises_and_accepted_answers_are_stored(self, seed: int) -> None:
        luck = random.Random(seed)
        accepted = seen_quickly = 0
        for _ in range(60):
            schema = _random_root(luck)
            assert list(find_problems(schema)) == []
            output_schema = OutputSchema(schema)
            for _ in range(25):
                text = _random_text(luck, schema)
                output, reason = output_schema.check(text)
                assert (output is None) is (reason is not None), text
                if output_schema.surely_fits(text.encode(errors="surrogatepass")):
                    seen_quickly += 1
                    assert output == text
                if output is not None:
                    accepted += 1
                    assert output_schema.check(output) == (output, None)
                    columns = output_schema.columns([output, output])
                    pa.Table.from_arrays(columns, schema=pa.schema(output_schema.fields)).validate(full=True)
        assert accepted > 100
        assert seen_quickly > 20

    def test_check_never_raises_on_any_text(self) -> None:
        luck = random.Random(5)
        schema = OutputSchema(object_schema(a={"type": ["integer", "null"]}, b={}, c={"type": "array", "items": {}}))
        pieces = [
            *'{}[],:"\\',
            '"a"',
            '"b"',
            '"c"',
            "1",
            "-",
            "e9",
            ".5",
            "null",
            "true",
            "\0",
            "\ud800",
            "é",
            " ",
            "\\u00",
        ]
        for _ in range(5_000):
            output, reason = schema.check("".join(luck.choices(pieces, k=luck.randrange(12))))
            assert (output is None) is (reason is not None)


@st.composite
def _schemas(draw: st.DrawFn, depth: int = 3) -> Schema:
    """A schema of the subset, without limits on how many unions there are."""
    kind = draw(st.sampled_from(["object", "array", "anyOf", "ref", *["leaf"] * 4] if depth else ["leaf"]))
    if kind == "object":
        names = draw(st.lists(st.sampled_from("pqr"), min_size=1, unique=True))
        inner = {name: draw(_schemas(depth=depth - 1)) for name in names}
        return object_schema(required=draw(st.lists(st.sampled_from(names), unique=True)), **inner)
    if kind == "array":
        return {"type": "array", "items": draw(_schemas(depth=depth - 1))}
    if kind == "anyOf":
        return {"anyOf": draw(st.lists(_schemas(depth=depth - 1), min_size=1, max_size=3))}
    if kind == "ref":
        return {"$ref": f"#/$defs/{draw(st.sampled_from(sorted(_LINKED)))}"}
    return draw(st.sampled_from(_LEAVES))


_LINKED: dict[str, Schema] = {"Größe": {"type": "number"}, "a b": {"anyOf": [{"const": "A"}, {"const": "B"}]}}
_LEAVES: list[Schema] = [
    *({"type": name} for name in ("string", "integer", "number", "boolean", "null")),
    *({"type": "string", "format": name} for name in ("date", "date-time", "uuid")),
    *({"type": [*some, "null"]} for some in (["string"], ["integer", "number"], ["boolean", "string"])),
    *({"enum": some} for some in (["a", "b"], ["B", None], [1, 2], [1, 2.5], [True], [2**63, "x"])),
    *({"const": some} for some in ("c", 3, 0.5)),
    {"allOf": [{"type": "string"}, {"enum": ["a", "z"]}]},
]
_MOMENTS = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
_FITTING_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=5),
    "integer": st.integers(-(2**63), 2**63 - 1) | st.integers(-100, 100).map(float),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "boolean": st.booleans(),
    "null": st.none(),
    "date": st.dates().map(date.isoformat),
    "date-time": _MOMENTS | _MOMENTS.map(lambda text: text.replace("+00:00", "z").lower()),
    "uuid": st.uuids().map(str),
}


def _resolved(schema: Schema) -> Schema:
    return _LINKED[schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


def _fitting(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that fit the schema."""
    schema = _resolved(schema)
    if "anyOf" in schema:
        return st.one_of(*map(_fitting, schema["anyOf"]))
    if "allOf" in schema:
        return _fitting(schema["allOf"][-1])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if schema["type"] == "array":
        return st.lists(_fitting(schema["items"]), max_size=3)
    if schema["type"] == "object":
        props = {name: _fitting(prop) for name, prop in schema["properties"].items()}
        always = {name: props.pop(name) for name in schema["required"]}
        return st.fixed_dictionaries(always, optional=props)
    if isinstance(schema["type"], list):
        return st.one_of(*(_FITTING_VALUES[name] for name in schema["type"]))
    return _FITTING_VALUES[str(schema.get("format", schema["type"]))]


def _alternatives(schema: Schema) -> list[Schema]:
    """The schema without unions and nulls, each alternative with its type."""
    schema = _resolved(schema)
    if "anyOf" in schema:
        return [found for option in schema["anyOf"] for found in _alternatives(option)]
    if "allOf" in schema:
        return _alternatives(schema["allOf"][-1])
    if "enum" in schema or "const" in schema:
        named = schema.get("enum", [schema.get("const")])
        names = {str: "string", bool: "boolean", int: "integer", float: "number"}
        return [{"type": names[type(value)]} for value in named if value is not None]
    names_of = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return [{**schema, "type": name} for name in names_of if name != "null"]


def _published(value: Any, schema: Schema) -> Any:
    """What the documentation says that the column holds for the value."""
    options = _alternatives(schema)
    types = {option["type"] for option in options}
    if value is None:
        return None
    if types == {"array"}:
        return [_published(item, {"anyOf": [option["items"] for option in options]}) for item in value]
    if types == {"object"}:
        names = dict.fromkeys(name for option in options for name in option["properties"])
        props = {name: [option["properties"].get(name) for option in options] for name in names}
        return {name: _published(value.get(name), {"anyOf": [prop for prop in props[name] if prop]}) for name in names}
    if types == {"string"}:
        formats = {option.get("format") for option in options}
        if formats == {"date"}:
            return date.fromisoformat(value)
        return datetime.fromisoformat(value.upper()) if formats == {"date-time"} else value
    if types <= {"integer", "number"}:
        return int(value) if types == {"integer"} else float(value)
    return value if types == {"boolean"} else _Json(value)


class _Json:
    """Equal to any JSON text of a value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and json.loads(other) == self.value

    def __repr__(self) -> str:
        return f"JSON of {self.value!r}"


@settings(deadline=None, derandomize=True, max_examples=150)
@given(data=st.data())
def test_every_fitting_value_is_stored_unchanged(data: st.DataObject) -> None:
    prop = data.draw(_schemas(), label="schema")
    schema = {**object_schema(a=prop, required=[]), "$defs": _LINKED}
    assert [fact for _, fact in find_problems(schema) if "optional properties" not in fact] == []
    output_schema = OutputSchema(schema)
    values = data.draw(st.lists(_fitting(prop), max_size=3), label="values")
    outputs = []
    for value in values:
        text = json.dumps({"a": value}, ensure_ascii=False)
        assert output_schema.check(text) == (text, None)
        outputs.append(text)
    (column,) = output_schema.columns(outputs)
    assert column.to_pylist() == [_published(value, prop) for value in values]


_DEFS = {
    "day": {"type": "string", "format": "date"},
    "pair": object_schema(l={"type": "integer"}, r={"type": "string"}),
}
_FITTING: dict[str, list[Any]] = {
    "integer": [0, 1.0, -5],
    "number": [1, 2.5],
    "boolean": [True],
    "null": [None],
    "string": ["x", "abc"],
    "date": ["2026-11-21"],
    "date-time": ["2026-11-21T01:02:03Z"],
}


def _random_root(luck: random.Random) -> Schema:
    names = luck.sample("abcdef", luck.randrange(1, 5))
    properties = {name: random_schema(luck, 2) for name in names}
    return {**object_schema(required=luck.sample(names, luck.randrange(len(names))), **properties), "$defs": _DEFS}


def _random_text(luck: random.Random, schema: Schema) -> str:
    text = json.dumps({name: _random_value(luck, prop, schema) for name, prop in schema["properties"].items()})
    if luck.random() < 0.1:
        cut = luck.randrange(len(text))
        return text[:cut] + luck.choice(["", "}", '"', "\0", "9" * 50]) + text[cut + 1 :]
    return text


def _random_value(luck: random.Random, schema: Schema, root: Schema) -> Any:
    """Return mostly a value that fits."""
    if luck.random() < 0.1:
        return luck.choice(VALUES)
    if "$ref" in schema:
        return _random_value(luck, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for keyword in ("anyOf", "allOf"):
        if keyword in schema:
            return _random_value(luck, luck.choice(schema[keyword]), root)
    if "enum" in schema:
        return luck.choice(schema["enum"])
    if schema.get("type") == "array":
        return [_random_value(luck, schema["items"], root) for _ in range(luck.randrange(3))]
    if schema.get("type") == "object":
        return {name: _random_value(luck, prop, root) for name, prop in schema["properties"].items()}
    return luck.choice(_FITTING.get(str(schema.get("format") or schema.get("type")), VALUES))
