"""output_schema.py: the typed columns of the published table."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from include.enrichment.answers.schema.json_schema import Schema
from include.enrichment.answers.schema.output_schema import OutputSchema
from tests.fixtures.schemas import object_schema, stored_value


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
            ({"type": ["integer", "number"]}, pa.float64()),
            ({"anyOf": [{"const": 1}, {"type": "number"}, {"type": "null"}]}, pa.float64()),
            ({"anyOf": [{"const": "a", "description": "x"}, {"enum": ["b"]}, {"type": "string"}]}, pa.string()),
            ({"anyOf": [{"$ref": "#/$defs/day"}, {"$ref": "#/$defs/day"}]}, pa.date32()),
            (
                {"anyOf": [{"type": "array", "items": {"type": name}} for name in ("integer", "number")]},
                pa.list_(pa.float64()),
            ),
            (
                {
                    "anyOf": [
                        object_schema(x={"type": "integer"}),
                        object_schema(x={"type": "number"}, y={"const": "b"}),
                    ]
                },
                pa.struct([("x", pa.float64()), ("y", pa.string())]),
            ),
            ({"anyOf": [object_schema(x={"type": "integer"}), {"type": "string"}]}, pa.string()),
            ({"anyOf": [{"type": "boolean"}, {"type": "integer"}]}, pa.string()),
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
            ({"type": "string", "format": "date-time"}, '"2016-12-31t23:59:60z"', datetime(2017, 1, 1, tzinfo=UTC)),
            ({"anyOf": [{"const": "a"}, {"const": "b"}]}, '"a"', "a"),
            ({"anyOf": [{"const": "a"}, {"type": "string"}, {"type": "null"}]}, '"x"', "x"),
            ({"anyOf": [{"type": "string", "format": "date"}, {"const": "n/a"}]}, '"2026-01-02"', "2026-01-02"),
            ({"allOf": [{"type": "string"}, {"enum": ["a", "b"]}]}, '"a"', "a"),
            ({"type": ["integer", "number"]}, "1", 1.0),
            ({"enum": [True, 1]}, "true", "true"),
            (
                {"anyOf": [object_schema(x={"type": "integer"}), object_schema(y={"const": "b"})]},
                '{"y": "b"}',
                {"x": None, "y": "b"},
            ),
            (
                {"type": "array", "items": {"anyOf": [object_schema(x={"type": "integer"}), {"type": "null"}]}},
                '[{"x": 1}, null]',
                [{"x": 1}, None],
            ),
            ({"type": "number"}, "-0.0", -0.0),
            ({"type": "number"}, "1e-400", 0.0),
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
    def test_a_value_is_stored_in_its_type(self, prop: Schema, value: str, stored: object) -> None:
        found = stored_value(prop, value)
        assert found == stored
        assert type(found) is type(stored)

    def test_columns_are_in_the_order_of_the_schema(self) -> None:
        schema = OutputSchema(object_schema(b={"type": "integer"}, a={"type": "string"}, required=[]))
        outputs = [schema.check(text)[0] or "" for text in ('{"a":"x","b":1}', '{"b":2,"a":"y"}', '{"a":"z"}', "{}")]
        assert [field.name for field in schema.fields] == ["b", "a"]
        assert [column.to_pylist() for column in schema.columns(outputs)] == [[1, 2, None, None], ["x", "y", "z", None]]

    def test_no_outputs_give_empty_typed_columns(self) -> None:
        schema = OutputSchema(object_schema(a={"type": "array", "items": {"type": "integer"}}))
        (column,) = schema.columns([])
        assert (len(column), column.type) == (0, pa.list_(pa.int64()))

    def test_the_root_may_be_a_reference(self) -> None:
        schema = OutputSchema({"$ref": "#/$defs/root", "$defs": {"root": object_schema(a={"type": "integer"})}})
        assert schema.fields == [pa.field("a", pa.int64())]
        assert schema.check('{"a":1}') == ('{"a":1}', None)

    def test_conditions_next_to_the_roots_properties_change_no_column(self) -> None:
        schema = OutputSchema({**object_schema(a={"type": "integer"}, required=[]), "anyOf": [{"required": ["a"]}]})
        assert schema.check('{"a":1.0}')[0] is not None
        assert schema.columns(['{"a":1.0}'])[0].to_pylist() == [1]
        assert schema.check("{}")[0] is None
