"""sent_output.py: what a pipeline asks for."""

from __future__ import annotations

import json

import pytest

from include.enrichment.answers.evidence.cited_text import CitedText
from include.enrichment.answers.evidence.evidence_output import EvidenceOutput
from include.enrichment.answers.evidence.sent_output import (
    asked_schema,
    loaded_schema,
    pipeline_output,
    read_loaded_output,
)
from include.enrichment.answers.schema.output import TextOutput
from include.enrichment.answers.schema.output_schema import OutputSchema

SCHEMA = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["a"],
        "properties": {"a": {"type": "string", "description": "x"}},
    }
)


@pytest.mark.parametrize("schema", [None, SCHEMA])
def test_without_evidence_nothing_changes(schema: str | None) -> None:
    assert asked_schema(schema, evidence=False) == loaded_schema(schema, evidence=False) == schema
    assert isinstance(pipeline_output(schema, evidence=False), TextOutput if schema is None else OutputSchema)
    assert type(read_loaded_output(schema)) is (TextOutput if schema is None else OutputSchema)


def test_with_a_schema_answers_have_data_and_evidence() -> None:
    asked = asked_schema(SCHEMA, evidence=True)
    assert asked == loaded_schema(SCHEMA, evidence=True)
    assert list(json.loads(asked or "")["properties"]) == ["data", "evidence"]
    assert isinstance(pipeline_output(SCHEMA, evidence=True), EvidenceOutput)
    assert isinstance(read_loaded_output(asked), OutputSchema)


def test_without_a_schema_the_text_has_citations() -> None:
    assert asked_schema(None, evidence=True) is None
    assert isinstance(read_loaded_output(loaded_schema(None, evidence=True)), CitedText)
    assert isinstance(pipeline_output(None, evidence=True), CitedText)
