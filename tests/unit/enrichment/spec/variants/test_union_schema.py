"""union_schema.py: one table for the answers of variants with different schemas."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from include.enrichment.answers.evidence.sent_output import pipeline_output
from include.enrichment.answers.schema.output import read_output
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.spec.variants.union_schema import type_conflicts, union_schema


def _schema(properties: dict[str, Any], **more: Any) -> str:
    required = list(properties)
    return json.dumps(
        {"type": "object", "additionalProperties": False, "required": required, "properties": properties, **more}
    )


LABEL = _schema({"label": {"type": "string"}})
WHY = _schema({"why": {"type": "string"}, "label": {"enum": ["a", "b"]}})
NAMED = _schema(
    {"parts": {"$ref": "#/$defs/parts"}}, **{"$defs": {"parts": {"type": "array", "items": {"type": "integer"}}}}
)


def test_the_same_schema_stays_as_it_is_and_text_has_none() -> None:
    assert union_schema([LABEL, LABEL]) == LABEL
    assert union_schema([None, None]) is None


def test_the_table_has_the_columns_of_all_by_name_and_null_where_a_variant_lacks_one() -> None:
    output = read_output(union_schema([LABEL, WHY, NAMED]))
    assert {field.name: field.type for field in output.fields} == {
        "label": pa.string(),
        "why": pa.string(),
        "parts": pa.list_(pa.int64()),
    }
    label, why, parts = output.columns(['{"label": "x"}', '{"why": "so", "label": "a"}', '{"parts": [1]}'])
    assert (label.to_pylist(), why.to_pylist(), parts.to_pylist()) == (
        ["x", "a", None],
        [None, "so", None],
        [None, None, [1]],
    )


def test_the_data_of_answers_with_evidence_are_united_in_the_same_way() -> None:
    output = pipeline_output(union_schema([LABEL, NAMED]), evidence=True)
    label, parts = output.columns(
        ['{"data": {"label": "x"}, "evidence": []}', '{"data": {"parts": [1]}, "evidence": []}']
    )
    assert (label.to_pylist(), parts.to_pylist()) == (["x", None], [None, [1]])


def test_an_answer_must_fit_one_of_the_schemas() -> None:
    output = read_output(union_schema([LABEL, NAMED]))
    assert output.check('{"parts": [1]}')[0] is not None
    assert output.check('{"parts": ["x"]}')[0] is None
    assert output.check('{"label": "x", "parts": [1]}')[0] is None


def _conflicts(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    first, second = (OutputSchema(json.loads(_schema({"a": kind}))).properties for kind in (one, other))
    return [fact for _, fact in type_conflicts(second, first, other_file="output.schema.json")]


def test_a_field_of_two_types_is_a_conflict() -> None:
    assert _conflicts({"type": "integer"}, {"type": "number"}) == [
        "'a' is double, but int64 in output.schema.json. All variants are published in one table: use one type, or"
        " another name"
    ]


def test_json_text_is_not_text_at_any_depth() -> None:
    several = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    text = {"type": "string"}
    (fact,) = _conflicts(text, several)
    assert "is of several types, but string" in fact
    assert len(_conflicts({"type": "array", "items": text}, {"type": "array", "items": several})) == 1


def test_other_values_of_an_enum_are_no_conflict() -> None:
    assert _conflicts({"enum": ["a"]}, {"enum": ["b", "c"]}) == []
    assert _conflicts({"enum": ["a"]}, {"type": ["string", "null"]}) == []
