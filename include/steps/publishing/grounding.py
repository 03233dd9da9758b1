"""The evidence of a run's answers: their quotes, looked for in the documents that were sent with each row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from include.enrichment.answers.evidence.cited_text import CitedText
from include.enrichment.answers.evidence.evidence_output import EvidenceOutput
from include.enrichment.answers.evidence.grounding import Grounded
from include.enrichment.answers.evidence.page_search import SearchableDocument
from include.enrichment.answers.evidence.quote import EVIDENCE_FIELDS
from include.enrichment.spec.pipeline import Pipeline
from include.steps.files.document_file import Documents
from include.steps.files.extracted import documents_beside

#: The pages of the documents that are kept ready to be searched, about 50 kB each. One longer document is kept as well.
_PAGES_KEPT = 1_000


class Grounder:
    """
    Locates the quotes of answers.

    :param documents: those of the run
    """

    def __init__(self, output: EvidenceOutput | CitedText, documents: Documents) -> None:
        self._output, self._documents = output, documents
        self._ready: dict[str, SearchableDocument] = {}

    def ground(self, output: str, document_ids: Sequence[str] | None) -> Grounded:
        """
        Return the evidence of an output.

        :param document_ids: of the documents of its row, in the order of sending
        """
        return self._output.ground(output, [self._document(each) for each in dict.fromkeys(document_ids or ())])

    def _document(self, document_id: str) -> SearchableDocument:
        """Rows of one document follow each other: those that were not used for longest make room."""
        found = self._ready.pop(document_id, None)
        if found is None:
            sent = self._documents.find(document_id)
            found = SearchableDocument.of(sent.name, sent.pages, shown=sent.sent_as != "text")
        self._ready[document_id] = found
        while len(self._ready) > 1 and sum(len(each.pages) for each in self._ready.values()) > _PAGES_KEPT:
            del self._ready[next(iter(self._ready))]
        return found


def open_grounder(pipeline: Pipeline, rows: Path) -> Grounder | None:
    """
    Return what locates the evidence of a run's answers; None if its pipeline asks for none.

    :param rows: the fetched rows, with fetch_documents() next to them
    """
    output = pipeline.output
    if not isinstance(output, EvidenceOutput | CitedText):
        return None
    return Grounder(output, Documents(documents_beside(rows)))


def evidence_columns(grounded: Sequence[Grounded | None]) -> list[pa.Array]:
    """Return the evidence of rows as columns, in the order of EVIDENCE_FIELDS; null where a row has no answer."""
    values = (
        [each and [msgspec.structs.asdict(one) for one in each.evidence] for each in grounded],
        [each and list(each.ungrounded) for each in grounded],
    )
    return [pa.array(column, field.type) for column, field in zip(values, EVIDENCE_FIELDS, strict=True)]
