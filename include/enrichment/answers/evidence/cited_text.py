"""
Text with the API's citations: the evidence of an answer without an output schema. The API itself cuts the quotes out of
the documents, so they need not be found (its documentation of citations, 2026-11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from include.enrichment.answers.evidence.grounding import Grounded
from include.enrichment.answers.evidence.page_search import SearchableDocument, locate
from include.enrichment.answers.evidence.quote import Evidence
from include.enrichment.answers.schema import TEXT_COLUMN
from include.enrichment.answers.schema.output import TextOutput


class _Citation(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    A citation as the API sends it, and as outputs have it.

    :param document_index: of the document among the document blocks of the request, from 0; images do not count
    :param start_page_number: from 1 in the document as it was sent; None for a text
    """

    cited_text: str
    document_index: int
    start_page_number: int | None = None


class _CitedText(msgspec.Struct):
    text: str
    citations: list[_Citation]


_decode = msgspec.json.Decoder(_CitedText).decode


class CitedText(TextOutput):
    """The answer is text with citations. An output is a JSON object that has both. See Output."""

    def accept(self, texts: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        """Accept none: the citations are not in ``texts``, so each line is judged on its own."""
        return pa.nulls(len(texts), pa.string())

    def with_citations(self, text: str, citations: Sequence[Any]) -> str:
        """
        Return the output: a text from check() and its citations.

        :param citations: of the blocks of the message, as the API sent them. Those of another form are left out
        """
        found = [each for of_block in citations if isinstance(of_block, list) for each in map(_read, of_block) if each]
        return msgspec.json.encode(_CitedText(text=text, citations=found)).decode()

    def as_written(self, output: str) -> str:
        """Return the text of an output."""
        return _decode(output).text

    def values(self, outputs: Sequence[str]) -> list[dict[str, Any]]:
        """Return each text by the name of the column."""
        return super().values([self.as_written(output) for output in outputs])

    def columns(self, outputs: Sequence[str]) -> list[pa.Array]:
        """Return the texts as a column."""
        return super().columns([self.as_written(output) for output in outputs])

    def ground(self, output: str, documents: Sequence[SearchableDocument]) -> Grounded:
        """
        Return the citations as evidence of the column ``text``.

        :param documents: all that were sent with the request
        """
        with_pages = [document for document in documents if document.pages]
        evidence = [_evidence(citation, with_pages) for citation in _decode(output).citations]
        return Grounded(evidence=evidence, ungrounded=[] if evidence else [TEXT_COLUMN])


def _read(citation: Any) -> _Citation | None:
    try:
        return msgspec.convert(citation, _Citation)
    except msgspec.ValidationError:
        return None


def _evidence(citation: _Citation, documents: Sequence[SearchableDocument]) -> Evidence:
    """The page is the API's if it gives one; in a text, code finds it."""
    cited = documents[citation.document_index : citation.document_index + 1] if citation.document_index >= 0 else []
    page = citation.start_page_number
    if page is not None:
        page = next((each.number for document in cited for each in document.pages if each.position == page), page)
    elif cited:
        place = locate(citation.cited_text, 0, cited)
        page = place.page if place.found else None
    return Evidence(
        field=TEXT_COLUMN,
        page=page,
        quote=citation.cited_text,
        found="cited",
        document=cited[0].name if cited else None,
    )
