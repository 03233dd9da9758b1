"""json_schema.py: the schemas within a schema, and the target of each $ref."""

from __future__ import annotations

from urllib.parse import quote

import jsonschema_rs
import pytest

from include.enrichment.answers.schema.json_schema import References, Schema, types_of, walk, with_uri_refs
from tests.fixtures.schemas import NAMES, object_schema, refs_to


def test_every_schema_is_visited_with_its_path() -> None:
    schema = {**object_schema(a={"anyOf": [{"items": {"title": "x"}}, {}]}), "definitions": {"b": {"allOf": [{}]}}}
    assert [path for path, _ in walk(schema)] == [
        (),
        ("properties", "a"),
        ("properties", "a", "anyOf", 0),
        ("properties", "a", "anyOf", 0, "items"),
        ("properties", "a", "anyOf", 1),
        ("definitions", "b"),
        ("definitions", "b", "allOf", 0),
    ]


@pytest.mark.parametrize("keyword", ["$defs", "definitions"])
@pytest.mark.parametrize("name", NAMES)
def test_a_reference_may_spell_any_name_plain_or_encoded(name: str, keyword: str) -> None:
    root: Schema = {keyword: {name: {"type": "integer"}, "other": {}}}
    for ref in refs_to(name, keyword):
        assert References(root).path(ref) == (keyword, name)
        schema = with_uri_refs({**root, "$ref": ref})
        validator = jsonschema_rs.Draft202012Validator(schema)
        assert (validator.is_valid(1), validator.is_valid("x")) == (True, False)


def test_the_spelling_of_rfc_6901_comes_first() -> None:
    root: Schema = {
        "$defs": {"a b": {"type": "integer"}, "a%20b": {"type": "string"}, "c~1d": {}, "c/d": {"title": "x"}}
    }
    references = References(root)
    assert references.schema("#/$defs/a%20b") == {"type": "integer"}
    assert references.schema("#/$defs/a%2520b") == {"type": "string"}
    assert references.schema("#/$defs/c~1d") == {"title": "x"}
    assert references.schema("#/$defs/c~01d") == {}


@pytest.mark.parametrize(
    "ref", ["#/nope", "#/$defs", "#$defs/a", "#/$defs/A", "#/$defs/a/", "#x", "#/$defs/a/description"]
)
def test_a_reference_to_something_other_than_a_schema_fails(ref: str) -> None:
    references = References({"$defs": {"a": {"description": "x"}}})
    assert references.path(ref) is None
    with pytest.raises(LookupError, match="refers to no schema"):
        references.schema(ref)


def test_a_reference_may_point_into_a_list_and_to_the_root() -> None:
    references = References({"anyOf": [{"title": "x"}]})
    assert references.path("#/anyOf/0") == ("anyOf", 0)
    assert references.path("#") == ()


def test_a_resolved_schema_has_no_reference_and_no_single_allof() -> None:
    references = References(
        {"$defs": {"a": {"allOf": [{"type": "integer"}], "title": "x"}, "b": {"$ref": "#/$defs/a"}}}
    )
    assert references.resolve({"$ref": "#/$defs/b"}) == {"type": "integer", "title": "x"}


@pytest.mark.parametrize(
    ("definitions", "circle"),
    [
        ({"a": {"$ref": "#/$defs/a"}}, ("$defs", "a")),
        ({"a": {"items": {"$ref": "#/$defs/a"}}}, ("$defs", "a", "items")),
        ({"a b": {"items": {"$ref": "#/$defs/a%20b"}}}, ("$defs", "a b", "items")),
        ({"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}, ("$defs", "b", "anyOf", 0)),
        ({"a": {"$ref": "#/$defs/b"}, "b": {}, "c": {"$ref": "#/$defs/a"}}, None),
        ({"a": {"$defs": {"b": {"$ref": "#/$defs/a"}}}}, None),
    ],
)
def test_a_circle_is_found_where_it_closes(definitions: Schema, circle: object) -> None:
    assert References({"$defs": definitions}).circle() == circle


def test_many_references_to_one_definition_are_fast() -> None:
    twice = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    assert References({"$defs": {**twice, "d60": {}}}).circle() is None


def test_the_schema_is_not_modified() -> None:
    schema: Schema = {"$ref": "#/$defs/Größe", "$defs": {"Größe": {}}}
    assert with_uri_refs(schema)["$ref"] == f"#/$defs/{quote('Größe')}"
    assert schema["$ref"] == "#/$defs/Größe"


def test_types_are_always_a_list() -> None:
    assert [types_of({"type": "string"}), types_of({"type": ["string", "null"]}), types_of({})] == [
        ["string"],
        ["string", "null"],
        [],
    ]
