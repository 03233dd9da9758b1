"""Faults on rows of a batch, as the real SDK sees them."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from anthropic import Anthropic

from include.emulator.answers.texts import phrasebook
from include.enrichment.answers.checks.length import count_words
from tests.emulator.conftest import asked, create, document_block, ended, image_block, pdf, request, results
from tests.fixtures.emulator import Emulator

LABELS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"label": {"type": "string", "enum": ["billing", "bug"]}, "why": {"type": "string"}},
    "required": ["label", "why"],
}
STRUCTURED = {"format": {"type": "json_schema", "schema": LABELS}}


def _one_result(client: Anthropic, **params: Any) -> Any:
    batch = ended(client, create(client, request(**params)).id)
    return results(client, batch.id)["r-0"]


def test_rows_error_expire_and_are_canceled_by_custom_id(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults(
        [
            {"kind": "errored", "custom_ids": ["r-0"], "error_type": "overloaded_error"},
            {"kind": "expired", "custom_ids": ["r-1"]},
            {"kind": "canceled", "custom_ids": ["r-2"]},
        ]
    )
    batch = ended(client, create(client, *[request()] * 4).id)
    lines = results(client, batch.id)
    assert lines["r-0"]["error"]["error"]["type"] == "overloaded_error"
    assert lines["r-0"]["error"]["request_id"].startswith("workerreq_")
    assert [lines[f"r-{index}"]["type"] for index in range(4)] == ["errored", "expired", "canceled", "succeeded"]
    counts = batch.request_counts
    assert (counts.errored, counts.expired, counts.canceled, counts.succeeded) == (1, 1, 1, 1)


def test_a_share_of_rows_is_struck_and_the_same_ones_each_time(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "share": 0.2}])
    one, other = (results(client, ended(client, create(client, *[request()] * 200).id).id) for _ in range(2))
    struck = {name for name, result in one.items() if result["type"] == "errored"}
    assert 20 <= len(struck) <= 60
    assert struck == {name for name, result in other.items() if result["type"] == "errored"}


def test_rows_are_struck_by_a_text_in_their_params(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "match": "poison"}])
    batch = ended(client, create(client, request("all well"), request("some poison here")).id)
    assert {name: line["type"] for name, line in results(client, batch.id).items()} == {
        "r-0": "succeeded",
        "r-1": "errored",
    }


def test_a_batch_without_the_text_does_not_use_up_a_fault(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "match": "poison", "times": 1}])
    others, first, second = (create(client, request(text)) for text in ("all well", "poison", "more poison"))
    assert ended(client, others.id).request_counts.succeeded == 1
    assert ended(client, first.id).request_counts.errored == 1
    assert ended(client, second.id).request_counts.succeeded == 1


def test_a_row_fault_strikes_only_batches_created_under_it(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "expired", "times": 1}])
    first, second = create(client, request()), create(client, request())
    assert ended(client, first.id).request_counts.expired == 1
    assert ended(client, second.id).request_counts.succeeded == 1


def test_an_answer_is_not_json(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "invalid_json"}])
    text = _one_result(client, output_config=STRUCTURED)["message"]["content"][0]["text"]
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_an_answer_violates_its_schema(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "violates_schema"}])
    value = json.loads(_one_result(client, output_config=STRUCTURED)["message"]["content"][0]["text"])
    assert not jsonschema_rs.is_valid(LABELS, value)


def test_an_enum_comes_in_the_wrong_case(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "wrong_case_enum"}])
    value = json.loads(_one_result(client, output_config=STRUCTURED)["message"]["content"][0]["text"])
    assert value["label"] in {"BILLING", "BUG"}


@pytest.mark.parametrize("params", [{}, {"output_config": STRUCTURED}], ids=["text", "structured"])
def test_an_answer_is_only_whitespace(emulator: Emulator, client: Anthropic, params: dict[str, Any]) -> None:
    emulator.set_faults([{"kind": "blank"}])
    message = _one_result(client, **params)["message"]
    assert message["stop_reason"] == "end_turn"
    assert not message["content"][0]["text"].strip()


def test_an_answer_is_cut_at_max_tokens(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "truncated"}])
    message = _one_result(client, output_config=STRUCTURED)["message"]
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(message["content"][0]["text"])


def test_a_refusal_succeeds_without_an_answer(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "refusal", "category": "cyber"}])
    result = _one_result(client, output_config=STRUCTURED)
    assert result["type"] == "succeeded"
    assert result["message"]["stop_reason"] == "refusal"
    assert result["message"]["stop_details"]["category"] == "cyber"
    assert result["message"]["content"] == []


TEXTS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "text": {"type": "string", "description": "20 to 30 words, in the language of the locale"},
        "meta": {"type": "string", "description": "At most 80 characters, in the language of the locale"},
        "label": {"type": "string", "description": "It keeps every placeholder of the source."},
        "name": {"type": "string"},
    },
    "required": ["text", "meta", "label", "name"],
}
KEPT = "{count} <b> {total} </b> %s"


def _texts(emulator: Emulator, client: Anthropic, fault: dict[str, Any], count: int = 12) -> list[dict[str, str]]:
    """Return the answers to requests with different texts, all struck by the fault."""
    emulator.set_faults([fault])
    sources = [f"Delete {{count}} of <b>{{total}}</b> files by %s in {place} minutes" for place in range(count)]
    params = [
        request(
            f'<string locale="de-DE"><source>{source}</source></string>',
            output_config={"format": {"type": "json_schema", "schema": TEXTS}},
            max_tokens=1000,
        )
        for source in sources
    ]
    found = results(client, ended(client, create(client, *params).id).id)
    answers = [json.loads(found[f"r-{number}"]["message"]["content"][0]["text"]) for number in range(count)]
    assert all(jsonschema_rs.is_valid(TEXTS, value) for value in answers)
    assert all(text.startswith("simulated: ") for value in answers for text in value.values())
    return answers


def _good(value: dict[str, str]) -> dict[str, bool]:
    """Return whether an answer is what its request asks for, by its three rules."""
    subjects = phrasebook()["de"].subjects
    return {
        "language": all(value[name][11:].startswith(tuple(subjects)) for name in ("text", "meta")),
        "length": 20 <= count_words(value["text"]) <= 30 and len(value["meta"]) <= 80,
        "placeholders": value["label"].endswith(f". {KEPT}"),
    }


def test_a_row_that_no_fault_strikes_gets_a_good_answer(emulator: Emulator, client: Anthropic) -> None:
    for value in _texts(emulator, client, {"kind": "too_long", "share": 0}):
        assert _good(value) == {"language": True, "length": True, "placeholders": True}


def test_texts_are_in_another_language(emulator: Emulator, client: Anthropic) -> None:
    answers = _texts(emulator, client, {"kind": "wrong_language"})
    for value in answers:
        assert _good(value) == {"language": False, "length": True, "placeholders": True}
    assert len({value["text"].split()[1] for value in answers}) > 3


def test_texts_lack_a_placeholder_or_have_another(emulator: Emulator, client: Anthropic) -> None:
    answers = _texts(emulator, client, {"kind": "lost_placeholder"}, 40)
    for value in answers:
        assert _good(value) == {"language": True, "length": True, "placeholders": False}
    ends = {value["label"].partition(". ")[2] for value in answers}
    assert "<b> {total} </b> %s" in ends
    assert {KEPT.replace("count", "count_"), KEPT.replace("%s", "% s"), KEPT.replace("<b>", "&lt;b&gt;")} <= ends


def test_texts_are_too_long(emulator: Emulator, client: Anthropic) -> None:
    for value in _texts(emulator, client, {"kind": "too_long"}):
        assert _good(value) == {"language": True, "length": False, "placeholders": True}
        assert count_words(value["text"]) > 30
        assert len(value["meta"]) > 80


def test_texts_of_all_struck_rows_are_the_same(emulator: Emulator, client: Anthropic) -> None:
    answers = _texts(emulator, client, {"kind": "duplicate_text"})
    assert all(value == answers[0] for value in answers)
    assert _good(answers[0]) == {"language": True, "length": True, "placeholders": True}


def test_texts_have_a_number_that_the_request_lacks(emulator: Emulator, client: Anthropic) -> None:
    for value in _texts(emulator, client, {"kind": "invented_number"}):
        assert all(text.split()[-1].isdigit() for text in value.values())
        assert _good(value) == {"language": True, "length": True, "placeholders": False}


def test_texts_contain_the_forbidden_text(emulator: Emulator, client: Anthropic) -> None:
    for value in _texts(emulator, client, {"kind": "forbidden_text", "text": "money back"}):
        assert all(text.endswith(" money back") for text in value.values())
        assert _good(value) == {"language": True, "length": True, "placeholders": False}


def test_a_text_without_a_schema_is_struck_too(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "forbidden_text", "text": "money back"}])
    assert "money back" in _one_result(client)["message"]["content"][0]["text"]


def test_a_text_that_is_asked_for_nothing_cannot_break_it(emulator: Emulator, client: Anthropic) -> None:
    for kind in ("wrong_language", "lost_placeholder", "too_long"):
        emulator.set_faults([{"kind": kind}])
        value = json.loads(_one_result(client, output_config=STRUCTURED)["message"]["content"][0]["text"])
        assert value["why"].removeprefix("simulated: ") in "The invoice total is wrong"


_OBJECT = {"type": "object", "additionalProperties": False}
_EVIDENCE = {
    **_OBJECT,
    "properties": {"field": {"type": "string"}, "page": {"type": "integer"}, "quote": {"type": "string"}},
    "required": ["field", "page", "quote"],
}
_GROUNDED = {
    **_OBJECT,
    "properties": {
        "data": {**_OBJECT, "properties": {"total": {"type": "number"}}, "required": ["total"]},
        "evidence": {"type": "array", "items": _EVIDENCE},
    },
    "required": ["data", "evidence"],
}


def _grounded(client: Anthropic) -> Any:
    document = document_block(pdf("Greetings", "Total due: 12.50"))
    output = {"format": {"type": "json_schema", "schema": _GROUNDED}}
    result = _one_result(client, messages=asked(document), output_config=output)
    return json.loads(result["message"]["content"][0]["text"])


def test_evidence_has_another_page_other_words_or_invented_ones(emulator: Emulator, client: Anthropic) -> None:
    good = {"field": "total", "page": 2, "quote": "Total due: 12.50"}
    assert _grounded(client) == {"data": {"total": 12.5}, "evidence": [good]}
    found = {}
    for kind in ("wrong_page", "paraphrased_quote", "invented_quote"):
        emulator.set_faults([{"kind": kind}])
        answer = _grounded(client)
        assert answer["data"] == {"total": 12.5}
        (found[kind],) = answer["evidence"]
    assert found["wrong_page"]["page"] != 2
    assert found["wrong_page"]["quote"] == good["quote"]
    for kind in ("paraphrased_quote", "invented_quote"):
        assert (found[kind]["field"], found[kind]["page"]) == ("total", 2)
    assert "12.50" in found["paraphrased_quote"]["quote"] != good["quote"]
    assert "12.50" not in found["invented_quote"]["quote"]


@pytest.mark.parametrize(("attempts", "errors"), [(1, 1), (2, 2)])
def test_a_document_that_cannot_be_processed_passes_when_it_is_sent_again(
    emulator: Emulator, client: Anthropic, attempts: int, errors: int
) -> None:
    emulator.set_faults([{"kind": "could_not_process", "attempts": attempts}])
    results = [_one_result(client, messages=asked(document_block(pdf("a")))) for _ in range(3)]
    assert [result["type"] for result in results] == ["errored"] * errors + ["succeeded"] * (3 - errors)
    assert results[0]["error"]["error"]["type"] == "invalid_request_error"
    assert results[0]["error"]["error"]["message"] == "Could not process PDF"


def test_only_pdfs_and_images_cannot_be_processed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "could_not_process"}])
    assert _one_result(client)["type"] == "succeeded"
    assert _one_result(client, messages=asked(document_block("text")))["type"] == "succeeded"
    error = _one_result(client, messages=asked(image_block()))["error"]["error"]
    assert error["message"] == "Could not process image"
