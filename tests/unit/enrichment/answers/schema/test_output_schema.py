"""output_schema.py: what an answer must be, and which columns it gives."""

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
from tests.fixtures.schemas import NAMES, VALUES, object_schema, random_schema, refs_to


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
            (r'{"a":"\ud800"}', r"not JSON: \ud800 is half of a surrogate pair"),
            (r'{"a":"x\udc00\ud83d\ude00"}', r"not JSON: \udc00 is half of a surrogate pair"),
            ('{"a":"\ud800"}', r"not JSON: \ud800 is half of a surrogate pair"),
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

    @pytest.mark.parametrize(
        "value",
        ['1,"a":2', '1,"a":1', '1, "a" : 2', '1,"\\u0061":2', '1,"b":{"a":1},"a":[]', '1,"b":": {\\"a\\":","a":1'],
    )
    @pytest.mark.parametrize("prop", [{"type": "integer"}, {"type": ["integer", "null"]}, {}], ids=str)
    def test_an_answer_that_says_something_twice_is_ambiguous(self, prop: Schema, value: str) -> None:
        schema = OutputSchema(object_schema(a=prop, b={}, required=["a"]))
        assert schema.check(f'{{"a":{value}}}') == (None, "ambiguous: the key 'a' stands twice in one object")
        assert not schema.surely_fits(f'{{"a":{value}}}'.encode())

    def test_a_key_that_stands_twice_deep_inside_is_told_too(self) -> None:
        item = object_schema(b={"type": "string"}, c={"type": "string"}, required=["b"])
        for prop in ({"type": "array", "items": item}, {"type": "array"}):
            schema = OutputSchema(object_schema(a=prop))
            text = '{"a":[{"b":"x"},{"b":"x","c":"y","c":"z"}]}'
            assert schema.check(text) == (None, "ambiguous: the key 'c' stands twice in one object")
            assert not schema.surely_fits(text.encode())

    @pytest.mark.parametrize("name", NAMES)
    def test_a_reference_to_any_name_holds(self, name: str) -> None:
        for ref in refs_to(name):
            schema = OutputSchema({**object_schema(a={"$ref": ref}), "$defs": {name: {"type": "integer"}}})
            assert schema.fields == [pa.field("a", pa.int64())]
            assert schema.check('{"a":1}')[0] is not None
            assert schema.surely_fits(b'{"a":1}')
            assert (schema.check('{"a":"x"}')[1] or "").startswith("violates the schema: $.a: ")

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
            ({"anyOf": [{"const": "bug"}, {"const": "billing"}]}, '"Billing"', '"billing"'),
            ({"anyOf": [{"const": "n/a"}, {"type": "string", "format": "date"}]}, '"N/A"', '"n/a"'),
            ({"anyOf": [{"const": "bug"}, {"type": "integer"}]}, '"BUG"', '"bug"'),
            ({"allOf": [{"type": "string"}, {"enum": ["bug"]}]}, '"BUG"', '"bug"'),
            (
                {"anyOf": [object_schema(k={"const": "x"}), object_schema(k={"const": "y"}, n={"type": "integer"})]},
                '{"k":"Y","n":1}',
                '{"k":"y","n":1}',
            ),
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
        assert _check({"anyOf": [{"const": "bug"}, {"type": "string"}]}, '"BuG"') == ('{"a":"BuG"}', None)

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
    """Equal to the JSON text of a value, however it is spelled."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and json.loads(other) == self.value

    def __repr__(self) -> str:
        return f"JSON of {self.value!r}"


@settings(deadline=None, derandomize=True, max_examples=300)
@given(data=st.data())
def test_every_value_that_fits_is_stored_as_it_was_given(data: st.DataObject) -> None:
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
