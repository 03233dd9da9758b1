"""The supported subset of JSON Schema, and the errors for schemas outside it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from include.emulator.answers.structured_outputs import check
from include.emulator.api_errors import RequestRejected


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an object schema with these properties only."""
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


ACCEPTED: dict[str, dict[str, Any]] = {
    "scalars": closed({name: {"type": name} for name in ("string", "integer", "number", "boolean", "null")}),
    "nullable by a type array": closed({"a": {"type": ["string", "null"]}}),
    "nullable by anyOf": closed({"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}),
    "enum and const": closed({"a": {"enum": ["x", 1, None, True]}, "b": {"const": "y"}}),
    "formats": closed({"a": {"type": "string", "format": "date-time"}}),
    "pattern": closed({"a": {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}}),
    "arrays": closed({"a": {"type": "array", "items": {"type": "string"}, "minItems": 1}}),
    "references": closed({"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": {"type": "string"}}}),
    "annotations": closed({"a": {"type": "string", "description": "d", "title": "t", "default": "z"}}),
    "allOf": closed({"a": {"allOf": [{"type": "string"}, {"enum": ["p", "q"]}]}}),
    "24 optional properties": closed({f"p{index}": {"type": "string"} for index in range(24)}),
    "16 unions": closed({f"p{index}": {"type": ["string", "null"]} for index in range(16)}),
}

REFUSED: dict[str, tuple[Any, str]] = {
    "open object": ({"type": "object", "properties": {}}, "'additionalProperties' must be explicitly set to false"),
    "open inner object": (closed({"a": {"type": "object"}}), "properties.a: For 'object' type"),
    "minimum": (
        closed({"a": {"type": "integer", "minimum": 1}}),
        "For 'integer' type, property minimum is not supported",
    ),
    "lengths": (closed({"a": {"type": "string", "minLength": 1, "maxLength": 2}}), "maxLength, minLength are not"),
    "multipleOf": (closed({"a": {"type": "number", "multipleOf": 2}}), "multipleOf is not supported"),
    "minItems 2": (closed({"a": {"type": "array", "items": {}, "minItems": 2}}), "other than 0 or 1"),
    "maxItems": (closed({"a": {"type": "array", "items": {}, "maxItems": 2}}), "maxItems is not supported"),
    "oneOf": (closed({"a": {"oneOf": [{"type": "string"}]}}), "oneOf is not supported"),
    "format": (closed({"a": {"type": "string", "format": "phone"}}), "format 'phone' is not supported"),
    "enum of objects": (closed({"a": {"enum": [{}]}}), "enum and const values"),
    "lookahead": (closed({"a": {"type": "string", "pattern": "(?=x)"}}), "lookaround"),
    "word boundary": (closed({"a": {"type": "string", "pattern": "\\bx"}}), "word boundaries"),
    "backreference": (closed({"a": {"type": "string", "pattern": "(x)\\1"}}), "backreferences"),
    "large repeat": (closed({"a": {"type": "string", "pattern": "x{5000}"}}), "repeats too often"),
    "external reference": (closed({"a": {"$ref": "https://example.com/x"}}), "external $ref"),
    "dangling reference": (closed({"a": {"$ref": "#/$defs/x"}}), "does not resolve"),
    "recursion": (closed({"a": {"$ref": "#"}}), "recursive"),
    "recursion through a definition": (
        closed({"a": {"$ref": "#/$defs/x"}}, **{"$defs": {"x": closed({"x": {"$ref": "#/$defs/x"}})}}),
        "recursive",
    ),
    "allOf with a reference": (
        closed({"a": {"allOf": [{"$ref": "#/$defs/x"}]}}, **{"$defs": {"x": {"type": "string"}}}),
        "allOf with $ref",
    ),
    "25 optional properties": (closed({f"p{index}": {"type": "string"} for index in range(25)}), "optional properties"),
    "17 unions": (closed({f"p{index}": {"type": ["string", "null"]} for index in range(17)}), "union-typed"),
    "required but not defined": (closed({}, required=["a"]), "'a' is not defined"),
    "not a schema": ([], "a schema must be an object"),
    "unknown type": (closed({"a": {"type": "date"}}), "type 'date' is not supported"),
}


@pytest.mark.parametrize("keyword", ["$defs", "definitions"])
@pytest.mark.parametrize("name", ["Größe", "Page[Item]", "a b", "a/b", "a~b", "a~1b", "100%", "a%20b", ""])
def test_a_definition_may_have_any_name(name: str, keyword: str) -> None:
    escaped = name.replace("~", "~0").replace("/", "~1")
    for spelled in (name, escaped, quote(name), quote(name, safe=""), quote(escaped)):
        check(closed({"a": {"$ref": f"#/{keyword}/{spelled}"}}, **{keyword: {name: {"type": "string"}}}))


def test_a_reference_may_lead_into_a_list() -> None:
    check(closed({"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}, "b": {"$ref": "#/properties/a/anyOf/0"}}))


def test_recursion_is_found_behind_an_encoded_name() -> None:
    with pytest.raises(RequestRejected, match="recursive"):
        check(closed({}, **{"$defs": {"a b": closed({"x": {"$ref": "#/$defs/a%20b"}})}}))


@pytest.mark.parametrize("schema", ACCEPTED.values(), ids=ACCEPTED)
def test_a_schema_in_the_subset_is_accepted(schema: dict[str, Any]) -> None:
    check(schema)


@pytest.mark.parametrize(("schema", "message"), REFUSED.values(), ids=REFUSED)
def test_a_schema_outside_the_subset_is_rejected_with_its_path(schema: Any, message: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        check(schema)
    assert caught.value.message.startswith("output_config.format.schema")
    assert message in caught.value.message
