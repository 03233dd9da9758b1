from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from include.enrichment.answers.billed_usage import MOST_TOKENS
from include.enrichment.answers.outcome import OUTCOMES_SCHEMA, decode_line, judge
from include.enrichment.answers.schema.output import Output, TextOutput
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.gateways.result_store import Part
from include.steps.loading.decoding import Decoded, decode

SCHEMA = OutputSchema(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["label"],
        "properties": {
            "label": {"type": "string", "enum": ["bug", "billing"], "description": "x"},
            "note": {"type": "string", "description": "x"},
        },
    }
)
GOOD = '{"label":"bug"}'
USAGE = {
    "input_tokens": 41,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 5200,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 9,
}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def succeeded(*content: dict[str, Any], **message: Any) -> dict[str, Any]:
    whole = {"model": "claude-haiku-5-5", "content": list(content), "stop_reason": "end_turn", "usage": USAGE}
    return {"type": "succeeded", "message": whole | message}


#: Each of these is an answer that anybody can use as it is.
USABLE = {
    "plain": succeeded(text(GOOD)),
    "spaced": succeeded(text(' { "label" : "bug" } ')),
    "after_thinking": succeeded({"type": "thinking", "thinking": "hm", "signature": "s"}, text(GOOD)),
    "stop_sequence": succeeded(text(GOOD), stop_reason="stop_sequence"),
    "odd_text": succeeded(text(json.dumps({"label": "bug", "note": 'ü \u2028 \x00 "\n" 😀'}))),
    "escaped_text": succeeded(text('{"label":"bug","note":"\\ud83d\\ude00 \\u0000"}')),
    "old_usage": succeeded(text(GOOD), usage={"input_tokens": 3, "output_tokens": 4}),
    "nulls": succeeded(
        text(GOOD),
        usage=USAGE | dict.fromkeys(["cache_creation", "cache_creation_input_tokens", "server_tool_use"]),
    ),
    "nulls_within": succeeded(
        text(GOOD),
        usage=USAGE | {"cache_creation_input_tokens": 0, "cache_creation": {"ephemeral_1h_input_tokens": None}},
    ),
    "most_usage": succeeded(text(GOOD), usage=USAGE | {"input_tokens": MOST_TOKENS}),
    "other_case": succeeded(text('{"label":"BUG"}')),
    "unknown_members": succeeded(text(GOOD), container={"id": "c"}) | {"new": [1, {"a": None}]},
}
#: Each of these needs a closer look.
OTHER = {
    "not_json": succeeded(text("Sure! Here you go:")),
    "not_the_schema": succeeded(text('{"label":"other"}')),
    "nothing": succeeded(),
    "empty": succeeded(text("")),
    "blank": succeeded(text(" \n\t\u2003")),
    "two_texts": succeeded(text("Let me see."), text(GOOD)),
    "cut": succeeded(text(GOOD), stop_reason="max_tokens"),
    "refused": succeeded(text(GOOD), stop_reason="refusal"),
    "new_stop": succeeded(text(GOOD), stop_reason="something_new"),
    "no_stop": succeeded(text(GOOD), stop_reason=None),
    "no_usage": succeeded(text(GOOD), usage=None),
    "half_a_usage": succeeded(text(GOOD), usage={"input_tokens": 41}),
    "null_usage": succeeded(text(GOOD), usage=USAGE | {"output_tokens": None}),
    "negative_usage": succeeded(text(GOOD), usage=USAGE | {"cache_read_input_tokens": -1}),
    "huge_usage": succeeded(text(GOOD), usage=USAGE | {"output_tokens": 2**62}),
    "untold_cache": succeeded(text(GOOD), usage=USAGE | {"cache_creation_input_tokens": 31}),
    "no_model": succeeded(text(GOOD), model=None),
    "empty_model": succeeded(text(GOOD), model=""),
    "errored": {"type": "errored", "error": {"type": "error", "error": {"type": "api_error", "message": "m"}}},
    "expired": {"type": "expired"},
    "canceled": {"type": "canceled"},
    "unknown": {"type": "something_new"},
    "without_message": {"type": "succeeded"},
}


def line(custom_id: object, result: dict[str, Any]) -> bytes:
    return json.dumps({"custom_id": custom_id, "result": result}).encode() + b"\n"


def decoded(*lines: bytes) -> Decoded:
    return decode(Part(data=b"".join(lines), first=1, lines=len(lines)))


@pytest.mark.parametrize("output", [SCHEMA, TextOutput()], ids=["schema", "text"])
@pytest.mark.parametrize("name", USABLE)
def test_a_usable_answer_gives_the_outcome_that_judging_its_line_gives(name: str, output: Output) -> None:
    whole = line("r-1", USABLE[name])
    usable, others = decoded(whole).usable(output)
    assert list(others) == []
    assert usable.schema == OUTCOMES_SCHEMA
    assert usable.to_pylist() == [msgspec.structs.asdict(judge(decode_line(whole), output))]


@pytest.mark.parametrize("name", OTHER)
def test_whatever_else_a_line_says_is_left_to_a_closer_look(name: str) -> None:
    lines = [line("r-1", USABLE["plain"]), line("r-2", OTHER[name]), line("r-3", USABLE["spaced"])]
    usable, others = decoded(*lines).usable(SCHEMA)
    assert usable["request_id"].to_pylist() == ["r-1", "r-3"]
    assert list(others) == [1]


@pytest.mark.parametrize("name", [name for name in OTHER if name not in ("not_json", "not_the_schema")])
def test_in_text_too_what_is_no_whole_answer_is_left_to_a_closer_look(name: str) -> None:
    usable, others = decoded(line("r-1", OTHER[name])).usable(TextOutput())
    assert (usable.num_rows, list(others)) == (0, [0])


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b'{"custom_id":"r-2","result":{"type":"succ', id="cut"),
        pytest.param(b"<p>Please log in</p>\n", id="no JSON"),
        pytest.param(b'{"custom_id":"r-2"}{"custom_id":"r-3"}\n', id="two on a line"),
        pytest.param(b"[]\n", id="no object"),
        pytest.param(b"\n", id="nothing"),
        pytest.param(b'{"custom_id":"r-2","result":{"type":"\xff"}}\n', id="no UTF-8"),
        pytest.param(
            line("r-2", succeeded(text('"\\ud800"'))).replace(b"\\\\ud800", b"\\ud800"), id="half a character"
        ),
        pytest.param(line("r-2", succeeded(text("x" * 1_100_000))), id="very long"),
        pytest.param(b'{"custom_id":"r-2","result":' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"}\n", id="very deep"),
    ],
)
def test_a_line_that_cannot_be_read_keeps_no_other_from_being_looked_at(bad: bytes) -> None:
    usable, others = decoded(line("r-1", USABLE["plain"]), bad).usable(SCHEMA)
    assert 1 in others
    assert usable.num_rows + len(others) == 2


@pytest.mark.parametrize("bad", [b"null\n", b" null\n", b"\n", b"1\n"])
def test_a_part_that_begins_with_no_line_is_left_to_a_closer_look(bad: bytes) -> None:
    usable, others = decoded(bad, line("r-1", USABLE["plain"])).usable(SCHEMA)
    assert (usable.num_rows, list(others)) == (0, [0, 1])


def test_a_line_without_an_id_is_left_to_a_closer_look() -> None:
    usable, others = decoded(line(None, USABLE["plain"])).usable(SCHEMA)
    assert (usable.num_rows, list(others)) == (0, [0])
