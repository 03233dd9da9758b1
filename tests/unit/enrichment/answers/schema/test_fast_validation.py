"""fast_validation.py: it accepts only answers that certainly fit, and leaves the others to check()."""

from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.answers.schema.fast_validation import compile_fast_check
from include.enrichment.answers.schema.json_schema import Schema
from include.enrichment.answers.schema.output_schema import OutputSchema
from tests.fixtures.schemas import object_schema

_ODD_NAMES: dict[str, Any] = {'"b"': {"type": "string"}, "": {"type": "string"}}
PLAIN: list[tuple[Schema, str]] = [
    ({"type": "string"}, '"ü \\u2028"'),
    ({"type": "string", "title": "a", "default": "b"}, '"c"'),
    ({"type": "integer"}, "9223372036854775807"),
    ({"type": ["integer", "null"]}, "null"),
    ({"anyOf": [{"type": "null"}, {"enum": ["a"]}]}, "null"),
    ({"type": "number"}, "1"),
    ({"type": "boolean"}, "true"),
    ({"enum": ["a", "b"]}, '"a"'),
    ({"const": "a"}, '"a"'),
    ({"type": "array", "items": {"type": "boolean"}}, "[true]"),
    ({"type": "array", "items": {"type": "string"}, "minItems": 1}, '["a"]'),
    (object_schema(b={"type": "string", "format": "email"}), '{"b":"a@b.org"}'),
    (object_schema(**_ODD_NAMES), '{"\\"b\\"":"c","":""}'),
    (object_schema(b={"type": "string"}, required=[]), "{}"),
    ({"type": "string", "pattern": "^a+$"}, '"aa"'),
    ({"enum": [1, 2]}, "1"),
    ({"anyOf": [{"const": "a"}, {"const": "b"}, {"type": "null"}]}, '"b"'),
    ({"type": ["integer", "number"]}, "1"),
    ({"anyOf": [object_schema(b={"type": "string"}), object_schema(c={"type": "integer"})]}, '{"c":1}'),
    ({"type": "array", "items": object_schema(b={"type": "string"}, required=[])}, '[{"b":"x"},{}]'),
    ({"type": "string"}, '"at 10:30: \\"a\\", b : c"'),
]
DOUBTFUL: list[tuple[Schema, str]] = [
    ({"type": "string"}, "1"),
    ({"type": "string"}, '"a"} '),
    ({"type": "string"}, '"a",'),
    ({"type": "string"}, '"\\ud800"'),
    ({"enum": ["a", "b"]}, '"A"'),
    ({"type": ["string", "null"], "enum": ["a"]}, "null"),
    ({"type": "boolean"}, "1"),
    ({"type": "integer"}, "true"),
    ({"type": "integer"}, "1.5"),
    ({"type": "integer"}, "9223372036854775808"),
    ({"type": ["integer", "null"]}, "9223372036854775808"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "-9223372036854775809"),
    ({"type": "array", "items": {"type": "integer"}}, "[1, 9223372036854775808]"),
    ({"type": "array", "items": {"type": "string"}, "minItems": 1}, "[]"),
    ({"type": "number"}, "1e300"),
    ({"type": "number"}, f"1{'0' * 400}"),
    ({"type": "string", "format": "email"}, '"nobody"'),
    ({"type": "string", "format": "date"}, '"2026-11-22"'),
    ({"type": "string", "pattern": "^a+$"}, '"b"'),
    (object_schema(b={"type": "string"}), "{}"),
    (object_schema(b={"type": "string"}), '{"b":"c","d":1}'),
    (object_schema(b={"type": "string"}, required=[]), '{"b":null}'),
    ({"type": "array"}, "[[[]]]"),
    ({"type": ["integer", "string"]}, "1"),
    ({"type": "string"}, '"a","a":"b"'),
    ({"type": "string"}, '"a","a" :"b"'),
    ({"type": "string", "pattern": "a"}, '"a: b","\\u0061":"a"'),
    (object_schema(b={"type": "string"}), '{"b":"c","b":"d"}'),
    ({"type": "array", "items": object_schema(b={"type": "string"}, required=[])}, '[{},{"b":"c","b":"d"}]'),
    ({"type": "string"}, "[" * 300 + "]" * 300),
]


@pytest.mark.parametrize(("prop", "value"), PLAIN)
def test_an_answer_that_certainly_fits_is_accepted_unchanged(prop: Schema, value: str) -> None:
    schema, text = object_schema(a=prop), f' {{"a": {value}}}'
    assert compile_fast_check(schema)(text.encode())
    assert OutputSchema(schema).check(text) == (text, None)


@pytest.mark.parametrize(("prop", "value"), DOUBTFUL)
def test_an_answer_that_may_not_fit_is_left_to_check(prop: Schema, value: str) -> None:
    assert not compile_fast_check(object_schema(a=prop))(f'{{"a":{value}}}'.encode())


def test_keywords_next_to_a_reference_count() -> None:
    schema = object_schema(a={"$ref": "#/$defs/word", "enum": ["a"]}) | {"$defs": {"word": {"type": "string"}}}
    assert compile_fast_check(schema)(b'{"a":"a"}') is (OutputSchema(schema).check('{"a":"a"}')[0] is not None)
    assert not compile_fast_check(schema)(b'{"a":"b"}')
