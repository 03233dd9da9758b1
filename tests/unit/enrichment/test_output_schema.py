"""output_schema.py: what an answer must be, and which columns it gives."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.output_schema import OutputSchema, arrow_type
from include.enrichment.schema_reading import Schema
from include.enrichment.schema_subset import problems
from tests.fixtures.schemas import VALUES, object_schema, random_schema


def _check(prop: Schema, value: str) -> tuple[str | None, str | None]:
    """What check() says of ``{"a": value}``, where ``value`` is JSON text and ``a`` is such a property."""
    return OutputSchema(object_schema(a=prop)).check(f'{{"a":{value}}}')


def _stored(prop: Schema, value: str) -> Any:
    """What the column ``a`` holds for ``value``, after the whole way."""
    schema = OutputSchema(object_schema(a=prop))
    output, reason = schema.check(f'{{"a":{value}}}')
    assert output is not None, reason
    return schema.columns([output])[0].to_pylist()[0]


class TestColumns:
    """An answer's properties become typed columns."""

    @pytest.mark.parametrize(
        ("prop", "kind"),
        [
            ({"type": "string"}, pa.string()),
            ({"type": "string", "format": "uuid"}, pa.string()),
            ({"type": "string", "format": "date"}, pa.date32()),
            ({"type": "string", "format": "date-time"}, pa.timestamp("us", "UTC")),
            ({"type": "integer"}, pa.int64()),
            ({"type": "integer", "format": "date"}, pa.int64()),
            ({"type": "number"}, pa.float64()),
            ({"type": "boolean"}, pa.bool_()),
            ({"type": "null"}, pa.string()),
            ({"enum": ["a", "b"]}, pa.string()),
            ({"enum": ["a", None]}, pa.string()),
            ({"enum": [1, 2]}, pa.int64()),
            ({"enum": [1, 2.5]}, pa.float64()),
            ({"enum": [True, False]}, pa.bool_()),
            ({"enum": ["a", 1]}, pa.string()),
            ({"const": 3}, pa.int64()),
            ({"const": None}, pa.string()),
            ({"type": ["integer", "null"]}, pa.int64()),
            ({"type": ["integer", "string"]}, pa.string()),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, pa.int64()),
            ({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/day"}]}, pa.date32()),
            ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, pa.string()),
            ({"anyOf": [{"anyOf": [{"type": "boolean"}, {"type": "null"}]}, {"type": "null"}]}, pa.bool_()),
            ({"type": "integer", "anyOf": [{"description": "one"}]}, pa.int64()),
            ({"allOf": [{"type": "integer"}]}, pa.int64()),
            ({"allOf": [{"allOf": [{"type": "boolean"}]}]}, pa.bool_()),
            ({"allOf": [{"$ref": "#/$defs/day"}]}, pa.date32()),
            ({"allOf": [{"type": "integer"}, {"type": "number"}]}, pa.int64()),
            ({"$ref": "#/$defs/day"}, pa.date32()),
            ({"type": "array", "items": {"type": "integer"}}, pa.list_(pa.int64())),
            ({"type": "array", "items": {"type": "array", "items": {"enum": ["a"]}}}, pa.list_(pa.list_(pa.string()))),
            ({"type": "array"}, pa.string()),
            ({}, pa.string()),
            ({"type": "object", "additionalProperties": False}, pa.string()),
            (
                object_schema(x={"type": "number"}, y=object_schema(z={"type": "string"})),
                pa.struct([("x", pa.float64()), ("y", pa.struct([("z", pa.string())]))]),
            ),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
    )
    def test_each_schema_has_one_arrow_type(self, prop: Schema, kind: pa.DataType) -> None:
        root = {**object_schema(a=prop), "$defs": {"day": {"type": "string", "format": "date"}}}
        assert arrow_type(prop, root) == kind
        assert OutputSchema(root).fields == [pa.field("a", kind)]

    @pytest.mark.parametrize(
        ("prop", "value", "stored"),
        [
            ({"type": "string", "format": "date"}, '"2024-02-29"', date(2024, 2, 29)),
            (
                {"type": "string", "format": "date-time"},
                '"2026-11-21T23:30:00.123456-02:00"',
                datetime(2026, 11, 22, 1, 30, 0, 123456, UTC),
            ),
            (
                {"type": "string", "format": "date-time"},
                '"2026-11-21T10:00:00Z"',
                datetime(2026, 11, 21, 10, tzinfo=UTC),
            ),
            ({"type": "integer"}, "1.0", 1),
            ({"type": "integer"}, "1e3", 1000),
            ({"type": "integer"}, str(2**63 - 1), 2**63 - 1),
            ({"type": "integer"}, str(-(2**63)), -(2**63)),
            ({"type": "number"}, "1", 1.0),
            ({"type": "number"}, str(10**30), 1e30),
            ({"enum": [1, 2.5]}, "1", 1.0),
            ({"enum": [1, 2]}, "2.0", 2),
            ({"enum": ["a", 1]}, '"a"', '"a"'),
            ({"enum": ["a", 1]}, "1", "1"),
            ({"type": ["integer", "string"]}, '"1"', '"1"'),
            ({"type": ["boolean", "null"]}, "null", None),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null", None),
            ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "5", "5"),
            ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, str(10**30), str(10**30)),
            ({}, '{"b": [1, null, "x"]}', '{"b":[1,null,"x"]}'),
            ({"type": "object", "additionalProperties": False}, "{}", "{}"),
            ({"type": "array"}, '[1, "a"]', '[1,"a"]'),
            ({"type": "array", "items": {"type": "string"}}, "[]", []),
            ({"type": "array", "items": {"type": ["string", "null"]}}, '["a", null]', ["a", None]),
            ({"type": "array", "items": {"type": "string", "format": "date"}}, '["2026-01-02"]', [date(2026, 1, 2)]),
            (
                {
                    "type": "array",
                    "items": object_schema(n={"type": "integer"}, d={"type": "string", "format": "date"}),
                },
                '[{"d": "2026-01-02", "n": 1.0}]',
                [{"n": 1, "d": date(2026, 1, 2)}],
            ),
            (object_schema(x={"anyOf": [{"type": "string"}, {"type": "number"}]}), '{"x": 5}', {"x": "5"}),
            ({"type": "string"}, r'"a\u0000\u2028\ud83d\ude00"', "a\0\u2028😀"),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
    )
    def test_a_value_arrives_in_its_type(self, prop: Schema, value: str, stored: object) -> None:
        found = _stored(prop, value)
        assert found == stored
        assert type(found) is type(stored)

    def test_columns_are_in_the_schemas_order_whatever_the_answers(self) -> None:
        schema = OutputSchema(object_schema(b={"type": "integer"}, a={"type": "string"}, required=[]))
        outputs = [schema.check(text)[0] or "" for text in ('{"a":"x","b":1}', '{"b":2,"a":"y"}', '{"a":"z"}', "{}")]
        assert [field.name for field in schema.fields] == ["b", "a"]
        assert [column.to_pylist() for column in schema.columns(outputs)] == [[1, 2, None, None], ["x", "y", "z", None]]

    def test_no_outputs_are_empty_typed_columns(self) -> None:
        schema = OutputSchema(object_schema(a={"type": "array", "items": {"type": "integer"}}))
        (column,) = schema.columns([])
        assert (len(column), column.type) == (0, pa.list_(pa.int64()))

    def test_the_root_may_be_a_reference(self) -> None:
        schema = OutputSchema({"$ref": "#/$defs/root", "$defs": {"root": object_schema(a={"type": "integer"})}})
        assert schema.fields == [pa.field("a", pa.int64())]
        assert schema.check('{"a":1}') == ('{"a":1}', None)

    def test_conditions_beside_the_roots_properties_change_no_column(self) -> None:
        schema = OutputSchema({**object_schema(a={"type": "integer"}, required=[]), "anyOf": [{"required": ["a"]}]})
        assert schema.check('{"a":1.0}')[0] is not None
        assert schema.columns(['{"a":1.0}'])[0].to_pylist() == [1]
        assert schema.check("{}")[0] is None


class TestCheck:
    """An answer is usable or not, with the reason; nothing that a model says can stop a load."""

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "not JSON: "),
            ("x", "not JSON: "),
            ("NaN", "not JSON: "),
            ('{"a":NaN}', "not JSON: "),
            ('{"a":Infinity}', "not JSON: "),
            ('{"a":1e400}', "not JSON: "),
            ('{"a":' + "9" * 5_000 + "}", "not JSON: "),
            ("{'a':1}", "not JSON: "),
            ('{"a":1,}', "not JSON: "),
            ('{"a":1} trailing', "not JSON: "),
            ('{"a":1}{"a":2}', "not JSON: "),
            (r'{"a":"\ud800"}', "not JSON: "),
            ('{"a":"\ud800"}', "not JSON: "),
            ("\ufeff{}", "not JSON: "),
            ("[" * 100_000, "nested too deeply"),
            ('{"a":' * 100_000, "nested too deeply"),
            ("null", "violates the schema: $: "),
            ('["a"]', "violates the schema: $: "),
            ("{}", "violates the schema: $: "),
            ('{"a":null}', "violates the schema: $.a: "),
            ('{"a":true}', "violates the schema: $.a: "),
            ('{"a":1.5}', "violates the schema: $.a: "),
            ('{"a":"1"}', "violates the schema: $.a: "),
            ('{"a":1,"b":2}', "violates the schema: $: "),
            (f'{{"a":{2**63}}}', "not storable: "),
            (f'{{"a":{-(2**63) - 1}}}', "not storable: "),
            ('{"a":1e300}', "not storable: "),
        ],
        ids=lambda text: text[:20].encode("ascii", "backslashreplace").decode(),
    )
    def test_an_unusable_answer_is_told_why(self, text: str, reason: str) -> None:
        output, found = OutputSchema(object_schema(a={"type": "integer"})).check(text)
        assert output is None
        assert (found or "").startswith(reason)

    @pytest.mark.parametrize(
        "text",
        ['{"a":1}', ' {"a": 1}\n', '{\n\t"a": 1\n}'],
        ids=["compact", "spaced", "indented"],
    )
    def test_a_usable_answer_is_kept_as_it_was_given(self, text: str) -> None:
        schema = OutputSchema(object_schema(a={"type": "integer"}))
        assert schema.check(text) == (text, None)
        assert schema.columns([text])[0].to_pylist() == [1]

    def test_a_fault_deep_inside_is_told_with_its_path(self) -> None:
        prop = {"type": "array", "items": object_schema(b={"enum": ["x"]})}
        assert (_check(prop, '[{"b":"x"},{"b":"y"}]')[1] or "").startswith("violates the schema: $.a[1].b: ")

    @pytest.mark.parametrize(
        ("form", "value"),
        [
            ("date", "2026-02-30"),
            ("date", "20260101"),
            ("date", "0000-01-01"),
            ("date-time", "2026-01-01T00:00:00"),
            ("date-time", "2026-01-01 00:00:00Z"),
            ("date-time", "2026-06-30T22:59:60Z"),
            ("date-time", "2026-01-01T00:00:00+24:00"),
            ("date-time", "0000-01-01T00:00:00Z"),
            ("date-time", "9999-12-31T23:59:60Z"),
            ("date-time", "0001-01-01T00:00:00+10:00"),
            ("date-time", "9999-12-31T23:59:59-10:00"),
            ("uuid", "x"),
            ("email", "x"),
        ],
    )
    def test_a_value_that_is_not_of_its_format_is_refused(self, form: str, value: str) -> None:
        assert _check({"type": "string", "format": form}, f'"{value}"')[0] is None

    @pytest.mark.parametrize(
        ("prop", "value", "fixed"),
        [
            ({"enum": ["Bug", "billing"]}, '"BUG"', '"Bug"'),
            ({"type": "string", "enum": ["bug"]}, '"Bug"', '"bug"'),
            ({"const": "bug"}, '"Bug"', '"bug"'),
            ({"anyOf": [{"enum": ["bug"]}, {"type": "null"}]}, '"BUG"', '"bug"'),
            ({"type": "array", "items": {"enum": ["bug"]}}, '["BUG","bug"]', '["bug","bug"]'),
            (object_schema(b={"enum": ["bug"]}), '{"b":"BUG"}', '{"b":"bug"}'),
            ({"$ref": "#/properties/b"}, '"BUG"', '"bug"'),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
    )
    def test_capitalisation_of_an_enum_is_put_right(self, prop: Schema, value: str, fixed: str) -> None:
        schema = OutputSchema(object_schema(a=prop, b={"enum": ["bug"]}, required=["a"]))
        assert schema.check(f'{{"a":{value}}}') == (f'{{"a":{fixed}}}', None)

    @pytest.mark.parametrize(
        ("prop", "value"),
        [
            ({"enum": ["Bug", "bug"]}, '"BUG"'),
            ({"enum": ["bug"]}, '" bug"'),
            ({"enum": ["bug"]}, '"bugs"'),
            ({"enum": [1]}, '"1"'),
            ({"enum": [True]}, "1"),
            ({"enum": [1]}, "true"),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
    )
    def test_what_is_not_surely_the_enums_value_is_not_put_right(self, prop: Schema, value: str) -> None:
        assert (_check(prop, value)[1] or "").startswith("violates the schema: $.a: ")

    def test_free_text_keeps_its_capitalisation(self) -> None:
        assert _check({"type": "string"}, '"BuG"') == ('{"a":"BuG"}', None)
        assert _check({"enum": ["Bug", "bug"]}, '"bug"') == ('{"a":"bug"}', None)

    @pytest.mark.parametrize(
        "prop", [{}, {"type": "array", "items": {}}, {"type": "integer"}, {"enum": ["x"]}], ids=str
    )
    @pytest.mark.parametrize("depth", [100, 101, 254, 300, 900, 2_000, 50_000])
    def test_what_is_nested_too_deeply_is_told(self, depth: int, prop: Schema) -> None:
        output, reason = _check(prop, "[" * depth + "]" * depth)
        assert output is None
        assert reason == "nested too deeply: more than 100 levels"

    def test_what_is_nested_less_deeply_is_stored(self) -> None:
        value = "[" * 99 + "]" * 99
        assert _stored({}, value) == value
        many = f"[{','.join(['[[]]'] * 1_000)}]"
        assert _stored({}, many) == many


class TestAnyAnswer:
    """Random schemas and answers: what problems() lets pass can be made, and what check() lets pass can be stored."""

    @pytest.mark.parametrize("seed", range(8))
    def test_check_never_raises_and_what_it_accepts_is_stored(self, seed: int) -> None:
        luck = random.Random(seed)
        accepted = seen_quickly = 0
        for _ in range(60):
            schema = _random_root(luck)
            assert list(problems(schema)) == []
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
    """Mostly a value that fits."""
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
