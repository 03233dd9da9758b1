"""The output of a pipeline that asks for evidence: its columns are those of the schema, its answers have quotes too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from include.enrichment.answers.evidence.grounding import Grounded, ground
from include.enrichment.answers.evidence.page_search import SearchableDocument
from include.enrichment.answers.evidence.quote import Quote
from include.enrichment.answers.evidence.wrapped_schema import wrap_schema
from include.enrichment.answers.schema.kind import Kind
from include.enrichment.answers.schema.output_schema import OutputSchema


class _Quote(msgspec.Struct):
    field: str
    # 1.0 is an integer to JSON Schema.
    page: float
    quote: str


class _Answer(msgspec.Struct):
    data: msgspec.Raw
    evidence: list[_Quote]


_decode = msgspec.json.Decoder(_Answer).decode


class EvidenceOutput:
    """
    Answers that fit wrap_schema(). See Output.

    :param schema_text: the author's output schema, in which find_problems() finds nothing
    """

    def __init__(self, schema_text: str) -> None:
        self._data = OutputSchema(json.loads(schema_text))
        self._whole = OutputSchema(json.loads(wrap_schema(schema_text)))

    @property
    def fields(self) -> list[pa.Field]:
        """One Arrow field per property of the author's schema."""
        return self._data.fields

    @property
    def properties(self) -> Mapping[str, Kind]:
        """The kind of each property of the author's schema, by name."""
        return self._data.properties

    def answer_in(self, texts: Sequence[str]) -> str:
        """Return the last of the texts, which is the one that the API makes fit."""
        return self._whole.answer_in(texts)

    def check(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """Return the output with its evidence as JSON, or the reason why it is unusable."""
        return self._whole.check(text)

    def check_json(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """Return the output in ``text``: an answer is JSON itself."""
        return self._whole.check_json(text)

    def accept(self, texts: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        """Return the output in each of ``texts`` as check() does, null where one is null or unusable."""
        return self._whole.accept(texts)

    def values(self, outputs: Sequence[str]) -> list[dict[str, Any]]:
        """Return the author's part of ``outputs``, decoded: each property by its name."""
        return [msgspec.json.decode(_decode(output).data) for output in outputs]

    def columns(self, outputs: Sequence[str]) -> list[pa.Array]:
        """Return the typed columns of the author's part of ``outputs``, in the order of ``fields``."""
        return self._data.columns([bytes(_decode(output).data).decode() for output in outputs])

    def ground(self, output: str, documents: Sequence[SearchableDocument]) -> Grounded:
        """Return the places of an output's quotes in the documents of its request."""
        answer = _decode(output)
        quotes = [Quote(one.field, int(one.page), one.quote) for one in answer.evidence]
        return ground(msgspec.json.decode(answer.data), quotes, documents)
