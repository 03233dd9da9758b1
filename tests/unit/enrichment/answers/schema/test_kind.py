"""kind.py: the common properties of the values of a schema, especially of a union."""

from __future__ import annotations

import json

import pytest

from include.enrichment.answers.schema.json_schema import Schema
from include.enrichment.answers.schema.kind import kind_of
from tests.fixtures.schemas import object_schema

_DEFS: dict[str, Schema] = {"word": {"type": "string"}, "count": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, "string"),
        ({"anyOf": [{"enum": ["a"]}, {"type": "string"}, {"type": "string", "format": "date"}]}, "string"),
        ({"anyOf": [{"anyOf": [{"const": "a"}, {"type": "null"}]}, {"$ref": "#/$defs/word"}]}, "string"),
        ({"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, "string"),
        ({"allOf": [{"type": "string"}, {"enum": ["a", "b"]}]}, "string"),
        ({"allOf": [{"type": ["string", "null"]}, {"description": "x"}]}, "string"),
        ({"$ref": "#/$defs/count", "description": "x"}, "integer"),
        ({"type": ["string", "integer"], "enum": ["a", "b"]}, "string"),
        ({"type": ["integer", "number"]}, "number"),
        ({"anyOf": [{"$ref": "#/$defs/count"}, {"type": "number"}, {"type": "null"}]}, "number"),
        ({"anyOf": [{"const": 1}, {"const": 2.5}]}, "number"),
        ({"enum": [1.0, 2]}, "number"),
        ({"type": "integer", "enum": [1.0, 2]}, "integer"),
        ({"allOf": [{"type": "number"}, {"type": "integer"}]}, "integer"),
        ({"anyOf": [{"const": True}, {"type": "boolean"}]}, "boolean"),
        ({"anyOf": [{"type": "null"}, {"const": None}]}, "null"),
        ({"anyOf": [{"type": "boolean"}, {"type": "integer"}]}, None),
        ({"enum": [True, 1]}, None),
        ({"enum": ["1", 1]}, None),
        ({"anyOf": [{"type": "string"}, {}]}, None),
        ({"anyOf": [{"type": "array", "items": {}}, {"type": "string"}]}, None),
        ({"properties": {"a": {}}}, None),
        ({}, None),
    ],
    ids=json.dumps,
)
def test_a_union_has_a_type_if_all_alternatives_have_it(schema: Schema, name: str | None) -> None:
    assert kind_of(schema, {"$defs": _DEFS}).type == name


def test_a_format_is_kept_if_all_strings_have_it() -> None:
    day, moment = {"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}
    assert kind_of({"anyOf": [day, {"type": "null"}, day]}, {}).format == "date"
    assert kind_of({"anyOf": [day, moment]}, {}).format is None
    assert kind_of({"anyOf": [day, {"const": "unknown"}]}, {}).format is None
    assert kind_of({"allOf": [{"type": "string"}, {"format": "date"}]}, {}).format == "date"


def test_named_strings_are_complete_unless_any_text_is_allowed() -> None:
    closed = kind_of({"anyOf": [{"const": "a"}, {"enum": ["b", 1, None]}, {"type": "string", "format": "date"}]}, {})
    assert (list(closed.named), closed.free) == (["a", "b", 1], False)
    assert kind_of({"anyOf": [{"const": "a"}, {"type": "string"}]}, {}).free
    assert kind_of({"anyOf": [{"const": "a"}, {"type": "string", "pattern": "^a"}]}, {}).free
    narrowed = kind_of({"type": "string", "allOf": [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}]}, {})
    assert (list(narrowed.named), narrowed.free) == (["b"], False)


def test_the_items_of_arrays_are_merged() -> None:
    ints, numbers = ({"type": "array", "items": {"type": name}} for name in ("integer", "number"))
    items = kind_of({"anyOf": [ints, numbers, {"type": "null"}]}, {}).items
    assert items is not None
    assert items.type == "number"
    assert kind_of({"anyOf": [ints, {"type": "array"}]}, {}).items is None


def test_the_properties_of_objects_are_merged() -> None:
    cat = object_schema(kind={"const": "cat"}, lives={"type": "integer"})
    dog = object_schema(kind={"const": "dog"}, lives={"type": "number"}, breed={"type": "string"})
    kind = kind_of({"anyOf": [cat, dog]}, {})
    assert {name: prop.type for name, prop in kind.properties.items()} == {
        "kind": "string",
        "lives": "number",
        "breed": "string",
    }
    assert list(kind.properties["kind"].named) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("schema", "keys"),
    [
        ({"type": "string"}, 0),
        ({"type": "array", "items": {"type": ["string", "null"]}}, 0),
        (object_schema(a={"type": "string"}, b=object_schema(c={"type": "integer"})), 3),
        (object_schema(a={"type": "string"}, required=[]), None),
        (object_schema(a={"anyOf": [object_schema(b={"type": "string"}), {"type": "null"}]}), None),
        ({"anyOf": [object_schema(a={"type": "string"}), object_schema(b={"type": "integer"})]}, 1),
        ({"type": "array", "items": object_schema(a={"type": "string"})}, None),
        (object_schema(a={}), None),
    ],
    ids=json.dumps,
)
def test_keys_are_counted_if_all_values_have_the_same_number(schema: Schema, keys: int | None) -> None:
    assert kind_of(schema, {}).keys == keys
