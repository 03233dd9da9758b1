"""cited_text.py: text with the API's citations."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from include.enrichment.answers.evidence.cited_text import CitedText
from include.enrichment.answers.evidence.page_search import SearchableDocument
from include.enrichment.answers.outcome import Outcome, decode_line, judge
from include.enrichment.documents.document import Page

OUTPUT = CitedText()
PAGE = {
    "type": "page_location",
    "cited_text": "Net 30 days.",
    "document_index": 0,
    "document_title": "a.pdf",
    "start_page_number": 2,
    "end_page_number": 3,
}
PLACE = {
    "type": "char_location",
    "cited_text": "No refunds",
    "document_index": 1,
    "document_title": None,
    "start_char_index": 3,
    "end_char_index": 13,
}


def judged(*blocks: dict[str, Any], stop_reason: str = "end_turn") -> Outcome:
    message = {"model": "claude-haiku-5-5", "content": list(blocks), "stop_reason": stop_reason, "usage": {}}
    line = {"custom_id": "r", "result": {"type": "succeeded", "message": message}}
    return judge(decode_line(json.dumps(line).encode()), OUTPUT)


def text(words: str, *citations: object) -> dict[str, Any]:
    return {"type": "text", "text": words, "citations": list(citations) or None}


def documents() -> list[SearchableDocument]:
    pages = [Page(number=number, text="The text of a page") for number in (51, 52)]
    return [
        SearchableDocument.of("photo.png", []),
        SearchableDocument.of("a.pdf", pages),
        SearchableDocument.of(
            "b.txt", [Page(number=1, text="We give no refunds. "), Page(number=2, text="No refunds")]
        ),
    ]


def test_an_output_has_the_whole_text_and_its_citations() -> None:
    outcome = judged(text("Pay in "), text("30 days", PAGE), text(". Never back.", PLACE, PAGE))
    assert outcome.output
    assert OUTPUT.as_written(outcome.output) == "Pay in 30 days. Never back."
    assert OUTPUT.values([outcome.output]) == [{"text": "Pay in 30 days. Never back."}]
    assert OUTPUT.columns([outcome.output])[0].to_pylist() == ["Pay in 30 days. Never back."]
    assert len(json.loads(outcome.output)["citations"]) == 3


def test_citations_are_evidence_with_the_page_in_the_whole_document() -> None:
    outcome = judged(text("30 days", PAGE), text("never", PLACE))
    found = OUTPUT.ground(outcome.output or "", documents())
    assert [(each.field, each.page, each.quote, each.found, each.document) for each in found.evidence] == [
        ("text", 52, "Net 30 days.", "cited", "a.pdf"),
        ("text", 2, "No refunds", "cited", "b.txt"),
    ]
    assert found.ungrounded == []


def test_a_text_without_citations_is_ungrounded() -> None:
    outcome = judged(text("I do not know"))
    assert OUTPUT.ground(outcome.output or "", documents()).ungrounded == ["text"]


def test_citations_of_another_form_are_left_out_and_the_answer_stays() -> None:
    odd = [{"type": "web", "url": "x"}, 7, {"cited_text": "a", "document_index": "first"}]
    outcome = judged(text("a", *odd), {"type": "text", "text": "b", "citations": "none"})
    assert (outcome.outcome, OUTPUT.as_written(outcome.output or "")) == ("succeeded", "ab")
    assert OUTPUT.ground(outcome.output or "", documents()).evidence == []


def test_a_citation_of_an_unknown_document_has_no_name() -> None:
    outcome = judged(text("a", PAGE | {"document_index": 9}))
    (found,) = OUTPUT.ground(outcome.output or "", documents()).evidence
    assert (found.page, found.document) == (2, None)


def test_an_unusable_answer_is_kept_as_it_was_written() -> None:
    outcome = judged(text("cut off", PAGE), stop_reason="max_tokens")
    assert (outcome.outcome, outcome.text, outcome.output) == ("invalid", "cut off", None)
    assert judged(text(" ")).outcome == "invalid"


def test_each_line_is_judged_on_its_own() -> None:
    assert OUTPUT.accept(pa.chunked_array([["a", None]])).to_pylist() == [None, None]
