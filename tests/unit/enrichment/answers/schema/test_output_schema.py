"""output_schema.py: an answer is usable or not, with the reason."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from include.enrichment.answers.schema.json_schema import Schema
from include.enrichment.answers.schema.output_schema import OutputSchema
from tests.fixtures.schemas import NAMES, object_schema, refs_to, stored_value


def _check(prop: Schema, value: str) -> tuple[str | None, str | None]:
    """Return check() of ``{"a": value}``, where ``value`` is JSON text and ``a`` is such a property."""
    return OutputSchema(object_schema(a=prop)).check(f'{{"a":{value}}}')


class TestCheck:
    """An answer is usable or not, with the reason. No answer can stop a load."""

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
            (r'{"a":"\ud800"}', r"not JSON: \ud800 is a lone surrogate"),
            (r'{"a":"x\udc00\ud83d\ude00"}', r"not JSON: \udc00 is a lone surrogate"),
            ('{"a":"\ud800"}', r"not JSON: \ud800 is a lone surrogate"),
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
    def test_an_unusable_answer_has_a_reason(self, text: str, reason: str) -> None:
        output, found = OutputSchema(object_schema(a={"type": "integer"})).check(text)
        assert output is None
        assert (found or "").startswith(reason)

    @pytest.mark.parametrize(
        "text",
        ['{"a":1}', ' {"a": 1}\n', '{\n\t"a": 1\n}'],
        ids=["compact", "spaced", "indented"],
    )
    def test_a_usable_answer_is_kept_unchanged(self, text: str) -> None:
        schema = OutputSchema(object_schema(a={"type": "integer"}))
        assert schema.check(text) == (text, None)
        assert schema.columns([text])[0].to_pylist() == [1]

    @pytest.mark.parametrize(
        "value",
        ['1,"a":2', '1,"a":1', '1, "a" : 2', '1,"\\u0061":2', '1,"b":{"a":1},"a":[]', '1,"b":": {\\"a\\":","a":1'],
    )
    @pytest.mark.parametrize("prop", [{"type": "integer"}, {"type": ["integer", "null"]}, {}], ids=str)
    def test_an_answer_with_a_duplicate_key_is_ambiguous(self, prop: Schema, value: str) -> None:
        schema = OutputSchema(object_schema(a=prop, b={}, required=["a"]))
        assert schema.check(f'{{"a":{value}}}') == (None, "ambiguous: the key 'a' occurs twice in one object")
        assert not schema.surely_fits(f'{{"a":{value}}}'.encode())

    def test_a_nested_duplicate_key_is_reported_too(self) -> None:
        item = object_schema(b={"type": "string"}, c={"type": "string"}, required=["b"])
        for prop in ({"type": "array", "items": item}, {"type": "array"}):
            schema = OutputSchema(object_schema(a=prop))
            text = '{"a":[{"b":"x"},{"b":"x","c":"y","c":"z"}]}'
            assert schema.check(text) == (None, "ambiguous: the key 'c' occurs twice in one object")
            assert not schema.surely_fits(text.encode())

    @pytest.mark.parametrize("name", NAMES)
    def test_a_reference_to_any_name_works(self, name: str) -> None:
        for ref in refs_to(name):
            schema = OutputSchema({**object_schema(a={"$ref": ref}), "$defs": {name: {"type": "integer"}}})
            assert schema.fields == [pa.field("a", pa.int64())]
            assert schema.check('{"a":1}')[0] is not None
            assert schema.surely_fits(b'{"a":1}')
            assert (schema.check('{"a":"x"}')[1] or "").startswith("violates the schema: $.a: ")

    def test_a_nested_fault_is_reported_with_its_path(self) -> None:
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
    def test_a_value_that_violates_its_format_is_rejected(self, form: str, value: str) -> None:
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
    def test_the_case_of_an_enum_value_is_corrected(self, prop: Schema, value: str, fixed: str) -> None:
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
    def test_an_ambiguous_enum_value_is_not_corrected(self, prop: Schema, value: str) -> None:
        assert (_check(prop, value)[1] or "").startswith("violates the schema: $.a: ")

    def test_free_text_keeps_its_case(self) -> None:
        assert _check({"type": "string"}, '"BuG"') == ('{"a":"BuG"}', None)
        assert _check({"enum": ["Bug", "bug"]}, '"bug"') == ('{"a":"bug"}', None)
        assert _check({"anyOf": [{"const": "bug"}, {"type": "string"}]}, '"BuG"') == ('{"a":"BuG"}', None)

    @pytest.mark.parametrize(
        "prop", [{}, {"type": "array", "items": {}}, {"type": "integer"}, {"enum": ["x"]}], ids=str
    )
    @pytest.mark.parametrize("depth", [100, 101, 254, 300, 900, 2_000, 50_000])
    def test_deep_nesting_is_reported(self, depth: int, prop: Schema) -> None:
        output, reason = _check(prop, "[" * depth + "]" * depth)
        assert output is None
        assert reason == "nested too deeply: more than 100 levels"

    def test_an_answer_at_the_depth_limit_is_stored(self) -> None:
        value = "[" * 99 + "]" * 99
        assert stored_value({}, value) == value
        many = f"[{','.join(['[[]]'] * 1_000)}]"
        assert stored_value({}, many) == many
