"""
Texts that quote the documents of a request, and cite them if its documents ask for that.

As in the API, a PDF is cited by its page, a text by its characters and a list of blocks by the block. Pages count from
1, the others from 0, and every end is exclusive. A scan has no text to cite.
"""

from __future__ import annotations

from typing import Any

from include.emulator.answers.source import Source
from include.emulator.documents.document import Document, Line
from include.emulator.draws import Draws

_SENTENCES = (2, 4)


def quoting_blocks(draws: Draws, source: Source) -> list[dict[str, Any]]:
    """Return the text blocks of an answer that quotes lines of the documents; empty if these have no text."""
    lines = [(index, line) for index, document in enumerate(source.documents) for line in document.lines]
    if not lines:
        return []
    least, most = _SENTENCES
    blocks: list[dict[str, Any]] = [{"type": "text", "text": "simulated: "}]
    for number in range(least + draws.below(most - least + 1)):
        index, line = draws.pick(lines)
        document = source.documents[index]
        if number:
            blocks.append({"type": "text", "text": " … "})
        block = {"type": "text", "text": line.text}
        blocks.append({**block, "citations": [_citation(index, document, line)]} if document.cited else block)
    return [*blocks, {"type": "text", "text": "."}]


def _citation(index: int, document: Document, line: Line) -> dict[str, Any]:
    about = {
        "cited_text": line.text,
        "document_index": index,
        "document_title": document.title,
        "file_id": document.file_id,
    }
    if document.kind == "pdf":
        place: dict[str, Any] = {
            "type": "page_location",
            "start_page_number": line.page,
            "end_page_number": line.page + 1,
        }
    elif document.kind == "text":
        place = {
            "type": "char_location",
            "start_char_index": line.start,
            "end_char_index": line.start + len(line.text),
        }
    else:  # whole blocks are cited, which count from 0
        place = {
            "type": "content_block_location",
            "start_block_index": line.page - 1,
            "end_block_index": line.page,
            "cited_text": dict(document.pages)[line.page],
        }
    return about | place
