"""What a pipeline asks for: its output alone, or with evidence."""

from __future__ import annotations

from include.enrichment.answers.evidence.cited_text import CitedText
from include.enrichment.answers.evidence.evidence_output import EvidenceOutput
from include.enrichment.answers.evidence.wrapped_schema import wrap_schema
from include.enrichment.answers.schema.output import Output, read_output

#: What chunk files have in place of a schema if the answer is text with citations. It is valid JSON and no schema.
CITED_TEXT = '{"citations": true}'


def asked_schema(schema_text: str | None, *, evidence: bool) -> str | None:
    """Return the schema that requests ask for; None: they ask for text."""
    return wrap_schema(schema_text) if evidence and schema_text is not None else schema_text


def loaded_schema(schema_text: str | None, *, evidence: bool) -> str | None:
    """Return what read_loaded_output() needs to check the answers of a batch."""
    return CITED_TEXT if evidence and schema_text is None else asked_schema(schema_text, evidence=evidence)


def read_loaded_output(loaded: str | None) -> Output:
    """Return what the answers of a batch must be."""
    return CitedText() if loaded == CITED_TEXT else read_output(loaded)


def pipeline_output(schema_text: str | None, *, evidence: bool) -> Output:
    """Return the output of a pipeline: what its answers must be, and the columns they become."""
    if not evidence:
        return read_output(schema_text)
    return CitedText() if schema_text is None else EvidenceOutput(schema_text)
