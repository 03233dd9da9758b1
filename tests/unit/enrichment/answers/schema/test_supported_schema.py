"""supported_schema.py: the subset of JSON Schema that the API accepts."""

from __future__ import annotations

import json
import random

import pytest

from include.enrichment.answers.schema.json_schema import Schema
from include.enrichment.answers.schema.supported_schema import find_problems, find_warnings
from tests.fixtures.schemas import NAMES, object_schema, random_schema, refs_to


def _facts(schema: object) -> list[str]:
    return [fact for _, fact in find_problems(schema)]


class TestProblems:
    """A schema that the API would reject, or that gives no table, is found before anything is sent."""

    @pytest.mark.parametrize(
        "prop",
        [
            {"type": "string"},
            {"type": ["string", "null"]},
            {"type": "string", "enum": ["a", "b"]},
            {"enum": ["a", 1, None, True]},
            {"const": "a"},
            {"type": "integer"},
            {"type": "number", "default": 1},
            {"type": "boolean", "title": "x"},
            {"type": "array", "items": {"type": "string"}, "minItems": 0},
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            {"type": "string", "format": "date-time"},
            {"type": "string", "pattern": r"^[a-z]+\d{2,3}$"},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"allOf": [{"type": "string"}]},
            {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "b$"}]},
            object_schema(b={"type": "string"}, c=object_schema(d={"type": "integer"})),
            {"type": "object", "additionalProperties": False},
        ],
        ids=json.dumps,
    )
    def test_supported_keywords_are_accepted(self, prop: Schema) -> None:
        assert _facts(object_schema(a=prop)) == []

    @pytest.mark.parametrize(
        "keyword",
        [
            "contains",
            "dependentRequired",
            "else",
            "exclusiveMaximum",
            "exclusiveMinimum",
            "if",
            "maxItems",
            "maxLength",
            "maxProperties",
            "maximum",
            "minLength",
            "minProperties",
            "minimum",
            "multipleOf",
            "not",
            "oneOf",
            "patternProperties",
            "prefixItems",
            "propertyNames",
            "then",
            "unevaluatedProperties",
            "uniqueItems",
            "$anchor",
            "$id",
            "examples",
            "descripton",
        ],
    )
    def test_each_unsupported_keyword_is_reported_with_its_place(self, keyword: str) -> None:
        values = {"dependentRequired": {}, "patternProperties": {}, "uniqueItems": True, "$anchor": "a", "$id": "a"}
        listed = {"oneOf", "prefixItems"}
        schemas = {"contains", "else", "if", "not", "propertyNames", "then", "unevaluatedProperties"}
        value = [{}] if keyword in listed else {} if keyword in schemas else values.get(keyword, 1)
        value = ["x"] if keyword == "examples" else value
        places = [
            (object_schema(a={"type": "string", keyword: value}), ("properties", "a")),
            (
                object_schema(a={"type": "array", "items": {"type": "string", keyword: value}}),
                ("properties", "a", "items"),
            ),
            (object_schema(a=object_schema(b={keyword: value})), ("properties", "a", "properties", "b")),
            (object_schema(a={"anyOf": [{}, {keyword: value}]}), ("properties", "a", "anyOf", 1)),
            ({**object_schema(a={}), "$defs": {"d": {keyword: value}}}, ("$defs", "d")),
            ({**object_schema(a={}), keyword: value}, ()),
        ]
        for schema, place in places:
            assert list(find_problems(schema)) == [
                ((*place, keyword), f"the API rejects {keyword!r}: remove it and state the rule in the description")
            ]

    @pytest.mark.parametrize(
        ("prop", "path", "fact"),
        [
            ({"type": "string", "format": "phone"}, ("format",), "the API rejects the format 'phone'"),
            ({"type": "array", "items": {}, "minItems": 2}, ("minItems",), "minItems must be 0 or 1"),
            ({"enum": [["a"]]}, ("enum",), "must have only scalars"),
            ({"enum": [{"a": 1}]}, ("enum",), "must have only scalars"),
            ({"enum": []}, ("enum",), "at least one"),
            ({"const": {"a": 1}}, ("const",), "must have only scalars"),
            ({"pattern": "("}, ("pattern",), "is not a regular expression"),
            ({"pattern": r"(a)\1"}, ("pattern",), "back-references"),
            ({"pattern": "a(?=b)"}, ("pattern",), "lookarounds"),
            ({"pattern": "(?<!a)b"}, ("pattern",), "lookarounds"),
            ({"pattern": r"\bword\b"}, ("pattern",), "the API rejects"),
            ({"$ref": "other.json#/a"}, ("$ref",), "must point into this file"),
            ({"$ref": "https://example.com/schema"}, ("$ref",), "must point into this file"),
            ({"allOf": [{"$ref": "#"}]}, ("allOf", 0), "the API rejects a $ref in allOf"),
            ({"items": True}, ("items",), "must be a schema (an object), not True"),
            ({"anyOf": [{}, False]}, ("anyOf", 1), "must be a schema (an object), not False"),
            ({"type": "object", "properties": {}}, (), 'needs "additionalProperties": false'),
            ({"type": ["object", "null"], "properties": {}}, (), 'needs "additionalProperties": false'),
            ({"type": "object", "additionalProperties": True}, (), 'needs "additionalProperties": false'),
            ({"additionalProperties": {"type": "string"}}, (), 'needs "additionalProperties": false'),
            (object_schema(b={}, required=["b", "c"]), ("required",), "'c' is required, but is not a property"),
            # Not JSON Schema at all: reported, never a crash.
            ({"type": 5}, ("type",), "5 is not a type. Types: array, "),
            ({"enum": 5}, ("enum",), "is not a valid JSON Schema"),
            ({"enum": None}, ("enum",), "is not a valid JSON Schema"),
            ({"anyOf": []}, ("anyOf",), "is not a valid JSON Schema"),
            ({"allOf": {}}, ("allOf",), "is not a valid JSON Schema"),
            ({"format": []}, ("format",), "is not a valid JSON Schema"),
            ({"pattern": 5}, ("pattern",), "is not a valid JSON Schema"),
            ({"properties": None}, ("properties",), "is not a valid JSON Schema"),
            ({"items": [{}]}, ("items",), "is not a valid JSON Schema"),
            ({"minItems": "x"}, ("minItems",), "is not a valid JSON Schema"),
            ({"minItems": True}, ("minItems",), "is not a valid JSON Schema"),
            ({"required": 5}, ("required",), "is not a valid JSON Schema"),
            ({"description": 5}, ("description",), "is not a valid JSON Schema"),
            ({"$ref": 5}, ("$ref",), "is not a valid JSON Schema"),
        ],
        ids=lambda value: json.dumps(value) if isinstance(value, dict) else None,
    )
    def test_each_other_mistake_is_reported_with_its_place(
        self, prop: Schema, path: tuple[str, ...], fact: str
    ) -> None:
        found = list(find_problems(object_schema(a=prop)))
        assert [place for place, _ in found] == [("properties", "a", *path)]
        assert fact in found[0][1]

    @pytest.mark.parametrize("schema", [None, 5, "x", [], True])
    def test_a_schema_must_be_an_object(self, schema: object) -> None:
        assert list(find_problems(schema)) == [((), "must be a JSON object")]

    @pytest.mark.parametrize(
        "schema",
        [
            {},
            {"type": "object", "additionalProperties": False},
            {"type": "object", "additionalProperties": False, "properties": {}},
            {"type": "array", "items": object_schema(a={})},
            {"type": "string"},
            {"anyOf": [object_schema(a={}), {"type": "null"}]},
            {**object_schema(a={}), "type": ["object", "null"]},
        ],
        ids=json.dumps,
    )
    def test_the_root_must_be_an_object_with_columns(self, schema: Schema) -> None:
        assert [fact.partition(":")[2] for fact in _facts(schema)] == [
            ' "object"} with at least one property: each property becomes a column'
        ]

    @pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", "http://127.0.0.1:9/x", "x", 5])
    def test_another_dialect_is_rejected_and_never_fetched(self, dialect: object) -> None:
        assert [path for path, _ in find_problems({"$schema": dialect, **object_schema(a={})})] == [("$schema",)]

    def test_the_dialect_may_be_named(self) -> None:
        assert _facts({"$schema": "https://json-schema.org/draft/2020-12/schema", **object_schema(a={})}) == []

    def test_several_mistakes_are_reported_at_once(self) -> None:
        schema = object_schema(a={"minLength": 1, "format": "phone"}, b={"minItems": 3})
        assert len(_facts(schema)) == 3

    def test_a_property_needs_a_description(self) -> None:
        schema = object_schema(a={"type": "string"}, b={"description": ""})
        assert [path for path, _ in find_problems(schema)] == [("properties", "b")]

    @pytest.mark.parametrize("keyword", ["$defs", "definitions"])
    def test_equal_names_are_reported_with_their_place_at_any_depth(self, keyword: str) -> None:
        pair = object_schema(a={}, A={})
        for schema, place in (
            (pair, ()),
            (object_schema(o=pair), ("properties", "o")),
            (object_schema(o={"items": {"anyOf": [{"type": "null"}, pair]}}), ("properties", "o", "items", "anyOf", 1)),
            ({**object_schema(o={"$ref": f"#/{keyword}/d"}), keyword: {"d": pair}}, (keyword, "d")),
        ):
            ((path, fact),) = find_problems(schema)
            assert path == (*place, "properties", "A")
            assert fact.startswith("'A' and 'a' are the same column")

    @pytest.mark.parametrize(("count", "refused"), [(24, False), (25, True)])
    def test_there_may_be_24_optional_properties(self, count: int, refused: bool) -> None:
        schema = object_schema(always={})
        schema["properties"] |= {f"p{number}": {"description": "x"} for number in range(count)}
        assert bool(_facts(schema)) is refused

    @pytest.mark.parametrize("union", [{"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}])
    @pytest.mark.parametrize(("count", "refused"), [(16, False), (17, True)])
    def test_there_may_be_16_properties_of_several_types(self, union: Schema, count: int, refused: bool) -> None:
        schema = object_schema(a={})
        schema["properties"] |= {f"p{number}": {"description": "x", **union} for number in range(count)}
        schema["required"] += [f"p{number}" for number in range(count)]
        assert bool(_facts(schema)) is refused

    @pytest.mark.parametrize(
        "schema",
        [
            {"$ref": "#"},
            {"$ref": "#/$defs/r", "$defs": {"r": {"$ref": "#/$defs/r"}}},
            object_schema(a={"$ref": "#"}),
            object_schema(a={"$ref": "#/properties/a"}),
            {**object_schema(a={"$ref": "#/$defs/t"}), "$defs": {"t": object_schema(t={"$ref": "#/$defs/t"})}},
            {
                **object_schema(a={"$ref": "#/$defs/t"}),
                "$defs": {
                    "t": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/u"}]}},
                    "u": {"$ref": "#/$defs/t"},
                },
            },
        ],
        ids=json.dumps,
    )
    def test_a_recursive_schema_is_rejected(self, schema: Schema) -> None:
        assert _facts(schema) == ["refers back to itself, and the API accepts no recursive schema"]

    def test_an_unused_recursive_definition_is_rejected(self) -> None:
        schema = {**object_schema(a={}), "$defs": {"a b": {"items": {"$ref": "#/$defs/a%20b"}}}}
        assert [path for path, _ in find_problems(schema)] == [("$defs", "a b", "items")]

    @pytest.mark.parametrize("keyword", ["$defs", "definitions"])
    @pytest.mark.parametrize("name", NAMES)
    def test_a_definition_may_have_any_name(self, name: str, keyword: str) -> None:
        for ref in refs_to(name, keyword):
            assert _facts({**object_schema(a={"$ref": ref}), keyword: {name: {"type": "string"}}}) == []

    @pytest.mark.parametrize(
        ("ref", "near"),
        [
            ("#/$defs/Page[item]", "#/$defs/Page[Item]"),
            ("#/$defs/Grösse", "#/$defs/Größe"),
            ("#/$defs/a/c", "#/$defs/a~1b"),
            ("#$defs/Größe", "#/$defs/Größe"),
            ("#/definitions/Größe", "#/$defs/Größe"),
            ("#/propertys/a", "#/properties/a"),
        ],
    )
    def test_a_dangling_reference_is_reported_with_the_nearest(self, ref: str, near: str) -> None:
        schema = {**object_schema(a={"$ref": ref}), "$defs": {"Größe": {}, "Page[Item]": {}, "a/b": {}}}
        there_are = "Known: #/$defs/Größe, #/$defs/Page[Item], #/$defs/a~1b"
        fact = f"{ref!r} refers to no schema in this file; did you mean {near!r}? {there_are}"
        assert list(find_problems(schema)) == [(("properties", "a", "$ref"), fact)]

    def test_a_dangling_reference_without_a_near_name_lists_the_definitions(self) -> None:
        schema = object_schema(a={"$ref": "#/$defs/price"})
        nowhere = "'#/$defs/price' refers to no schema in this file."
        assert _facts(schema) == [f"{nowhere} The file has no $defs: replace the $ref by the schema"]
        assert _facts({**schema, "$defs": {"measured with its unit": {}}}) == [
            f"{nowhere} Known: #/$defs/measured with its unit"
        ]

    @pytest.mark.parametrize(
        ("kind", "fact"),
        [
            ("strin", "'strin' is not a type; did you mean 'string'?"),
            ("text", "'text' is not a type."),
            (["int", "null"], "'int' is not a type; did you mean 'integer'?"),
            (["string", 3], "3 is not a type."),
            (None, "None is not a type."),
        ],
    )
    def test_a_wrong_type_is_reported_with_the_valid_types(self, kind: object, fact: str) -> None:
        (problem,) = find_problems(object_schema(a={"type": kind}))
        types = "Types: array, boolean, integer, null, number, object, string"
        assert problem == (("properties", "a", "type"), f"{fact} {types}")

    def test_a_property_named_type_is_allowed(self) -> None:
        assert _facts(object_schema(type={"type": "string"})) == []
        (fact,) = _facts({**object_schema(), "properties": {"type": "strin"}, "required": []})
        assert fact.startswith("is not a valid JSON Schema")

    @pytest.mark.parametrize(
        "ref", ["#/nope", "#/$defs/a/description", "#/required/0", "#/$defs", "#/properties", "#x"]
    )
    def test_a_reference_to_something_other_than_a_schema_is_reported(self, ref: str) -> None:
        schema = {**object_schema(a={"$ref": ref}), "$defs": {"a": {"description": "x"}}}
        assert [path for path, _ in find_problems(schema)] == [("properties", "a", "$ref")]

    @pytest.mark.parametrize(
        ("prop", "fact"),
        [
            ({"enum": [1, 2**63]}, "9223372036854775808 does not fit a 64-bit integer"),
            ({"anyOf": [{"const": -(2**63) - 1}, {"type": "null"}]}, "-9223372036854775809 does not fit a 64-bit"),
            ({"type": "array", "items": {"enum": [2**64]}}, "18446744073709551616 does not fit a 64-bit integer"),
            (object_schema(b={"enum": [2**53 + 1, 0.5]}), "9007199254740993 is not exact as a 64-bit float"),
            (
                {"type": "string", "format": "date", "enum": ["0000-01-01"]},
                "'0000-01-01' is not a date in the years 1 to",
            ),
        ],
        ids=str,
    )
    def test_a_named_value_that_its_column_cannot_hold_is_rejected(self, prop: Schema, fact: str) -> None:
        ((path, problem),) = find_problems(object_schema(a=prop))
        assert path == ("properties", "a")
        assert problem.startswith(fact)
        assert problem.endswith("so the column 'a' cannot hold it: make it a string without a format")

    @pytest.mark.parametrize(
        ("schema", "fact"),
        [
            (object_schema(a={"enum": [float("inf")]}), "cannot be sent as JSON: "),
            (object_schema(a={"type": "number", "default": float("nan")}), "cannot be sent as JSON: "),
            (object_schema(a={"const": "x\ud83d"}), "contains the lone surrogate \\ud83d, which is not valid text"),
            (
                object_schema(a={"description": "\udc00"}),
                "contains the lone surrogate \\udc00, which is not valid text",
            ),
        ],
        ids=["infinity", "nan", "const", "description"],
    )
    def test_a_schema_that_cannot_be_sent_is_rejected(self, schema: Schema, fact: str) -> None:
        ((path, problem),) = find_problems(schema)
        assert path == ()
        assert problem.startswith(fact)

    @pytest.mark.parametrize("levels", [300, 100_000])
    def test_deep_nesting_is_reported(self, levels: int) -> None:
        schema: Schema = {}
        for _ in range(levels):
            schema = {"type": "array", "items": schema}
        ((_, fact),) = find_problems(object_schema(a=schema))
        assert "recursion" in fact.lower()

    def test_no_content_of_the_file_raises(self) -> None:
        luck = random.Random(11)
        for _ in range(3_000):
            for path, fact in find_problems(random_schema(luck, 4, wild=True)):
                assert isinstance(path, tuple)
                assert fact


class TestWarnings:
    """Names that the API may still reject."""

    def test_a_name_that_tools_could_not_have_is_reported_with_its_place(self) -> None:
        names = ["größe", "a b", "x" * 65, "a.b_c-9", "x" * 64]
        schema = object_schema(required=None, **{name: {"type": "string"} for name in names})
        schema["properties"]["inner"] = {"description": "x", **object_schema(ü={})}
        assert list(find_problems(schema)) == []
        assert [path for path, _ in find_warnings(schema)] == [
            ("properties", "größe"),
            ("properties", "a b"),
            ("properties", "x" * 65),
            ("properties", "inner", "properties", "ü"),
        ]
        assert "the API may reject 'größe': " in next(find_warnings(schema))[1]
