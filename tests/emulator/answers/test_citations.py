"""Citations of documents in answers without a schema, as the real SDK sees them."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import Anthropic

from tests.emulator.conftest import asked, create, document_block, ended, pdf, request, results

CITED: dict[str, Any] = {"citations": {"enabled": True}}
TEXT = "One line here.\nAnother line there."
CONTENT = {
    "type": "document",
    "source": {"type": "content", "content": [{"type": "text", "text": "A block."}]},
    **CITED,
}


def _content(client: Anthropic, *blocks: dict[str, Any]) -> list[Any]:
    batch = ended(client, create(client, request(messages=asked(*blocks), max_tokens=2000)).id)
    content: list[Any] = results(client, batch.id)["r-0"]["message"]["content"]
    return content


def _citations(client: Anthropic, *blocks: dict[str, Any]) -> list[Any]:
    return [citation for block in _content(client, *blocks) for citation in block.get("citations") or []]


def test_a_pdf_is_cited_by_page(client: Anthropic) -> None:
    found = _citations(client, document_block("unused", **CITED), document_block(pdf("", "Line"), title="T", **CITED))
    pages = [one for one in found if one["document_index"] == 1]
    assert pages
    for one in pages:
        assert (one["type"], one["start_page_number"], one["end_page_number"]) == ("page_location", 2, 3)
        assert (one["cited_text"], one["document_title"]) == ("Line", "T")


def test_a_text_is_cited_by_character(client: Anthropic) -> None:
    found = _citations(client, document_block(TEXT, **CITED))
    assert found
    for one in found:
        assert (one["type"], one["document_index"]) == ("char_location", 0)
        assert TEXT[one["start_char_index"] : one["end_char_index"]] == one["cited_text"]


def test_content_is_cited_by_block(client: Anthropic) -> None:
    found = _citations(client, CONTENT)
    assert found
    for one in found:
        assert (one["type"], one["start_block_index"], one["end_block_index"]) == ("content_block_location", 0, 1)
        assert one["cited_text"] == "A block."


@pytest.mark.parametrize("document", [document_block(TEXT), document_block(pdf("", ""), **CITED)], ids=["off", "scan"])
def test_nothing_is_cited_without_citations_or_a_text(client: Anthropic, document: dict[str, Any]) -> None:
    (block,) = _content(client, document)
    assert block["text"].startswith("simulated")
    assert "citations" not in block


def test_an_answer_quotes_its_documents(client: Anthropic) -> None:
    (block,) = _content(client, document_block(TEXT))
    assert "line" in block["text"]
