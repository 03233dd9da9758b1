"""wrapped_schema.py: the schema that asks for evidence beside the values."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs

from include.enrichment.answers.evidence.wrapped_schema import wrap_schema
from include.enrichment.answers.schema.json_schema import with_uri_refs
from include.enrichment.answers.schema.supported_schema import find_problems

LINE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sku"],
    "properties": {"sku": {"type": "string"}},
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["total", "lines", "paid"],
    "properties": {
        "total": {"type": "number", "description": "The total."},
        "paid": {"$ref": "#/properties/total", "description": "What was paid."},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Lin%65"}, "description": "The lines."},
    },
    "$defs": {"Line": LINE},
}
EVIDENCE = [{"field": "total", "page": 1, "quote": "12"}]


def wrapped() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(wrap_schema(json.dumps(SCHEMA)))
    return found


def test_the_api_accepts_it() -> None:
    described = wrapped()
    described["properties"]["data"]["description"] = "only columns need one"
    assert list(find_problems(described)) == []


def test_definitions_move_to_the_root_and_other_references_follow_their_schema() -> None:
    found = wrapped()
    data = found["properties"]["data"]
    assert found["$defs"] == {"Line": LINE}
    assert "$defs" not in data
    assert "$schema" not in data
    assert data["properties"]["lines"]["items"] == {"$ref": "#/$defs/Lin%65"}
    assert data["properties"]["paid"]["$ref"] == "#/properties/data/properties/total"


def test_an_answer_has_both_the_data_and_its_evidence() -> None:
    valid = jsonschema_rs.Draft202012Validator(with_uri_refs(wrapped())).is_valid
    data = {"total": 12, "paid": 0, "lines": [{"sku": "a"}]}
    assert valid({"data": data, "evidence": EVIDENCE})
    assert valid({"data": data, "evidence": []})
    assert not valid({"data": data})
    assert not valid(data)
    assert not valid({"data": data | {"lines": [{}]}, "evidence": EVIDENCE})
    assert not valid({"data": data, "evidence": [{"field": "total", "quote": "12"}]})


def test_the_authors_schema_stays_as_it_is() -> None:
    before = json.dumps(SCHEMA)
    wrapped()
    assert json.dumps(SCHEMA) == before


def test_a_schema_that_is_only_a_reference_can_be_wrapped() -> None:
    inner = {"$ref": "#/definitions/Line", "definitions": {"Line": LINE}}
    found = json.loads(wrap_schema(json.dumps(inner)))
    assert found["properties"]["data"] == {"$ref": "#/definitions/Line"}
    assert found["definitions"] == {"Line": LINE}
