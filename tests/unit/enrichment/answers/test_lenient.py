"""lenient.py: the readable parts of a malformed result line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.answers.lenient import LenientLine, read_leniently

USAGE = {"input_tokens": 1_000, "output_tokens": 20}


def line(text: Any = "Hello", **message: Any) -> bytes:
    """Return a line with that text or those blocks, as sent."""
    content = [{"type": "text", "text": text}] if isinstance(text, str) else text
    whole = {"model": "claude-haiku-5-5", "content": content, "stop_reason": "end_turn", "usage": USAGE} | message
    return json.dumps({"custom_id": "r-1", "result": {"type": "succeeded", "message": whole}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        pytest.param(line("a\ud83d"), "a\ufffd", id="half a surrogate pair"),
        pytest.param(line("\udc00b"), "\ufffdb", id="the other half"),
        pytest.param(line("\udc00\ud83d"), "\ufffd\ufffd", id="halves the wrong way round"),
        pytest.param(line("a\U0001f600\ud83d"), "a\U0001f600\ufffd", id="beside a whole one"),
        pytest.param(line().replace(b"Hello", b"a\xff\xfe"), "a\ufffd\ufffd", id="bytes that are not UTF-8"),
        pytest.param(line().replace(b"Hello", b"a\xf0\x9f\x98"), "a\ufffd", id="a character that was cut"),
        pytest.param(line().replace(b"Hello", b"a\x00\x1bb"), "a\x00\x1bb", id="control characters"),
        pytest.param(line([{"type": "tool_use", "input": {"\ud83d": "\ud83d"}}, {"type": "text", "text": "b"}]), "b",
                     id="in the key of a tool's input"),
        pytest.param(line(["b", None, 7, {"type": "text", "text": "c"}, {"type": "text", "text": 5}]), "c",
                     id="blocks that are none"),
        pytest.param(line(None, content="plain"), "plain", id="a text in the place of blocks"),
        pytest.param(b"\xef\xbb\xbf" + line(), "Hello", id="a byte order mark"),
        pytest.param(line().replace(b"\n", b"\r\n"), "Hello", id="a carriage return"),
        pytest.param(line(extra=float("nan")), "Hello", id="NaN"),
        pytest.param(line(extra=0).replace(b'"extra": 0', b'"extra": ' + b"9" * 9_999), "Hello", id="a long number"),
        pytest.param(line(extra=0).replace(b'"extra": 0', b'"extra": -1e9999'), "Hello", id="a number too large"),
        pytest.param(line().replace(b'{"custom_id"', b'{"custom_id": 7, "custom_id"'), "Hello", id="a key twice"),
    ],
)  # fmt: skip
def test_a_malformed_line_gives_request_text_and_usage(odd: bytes, text: str) -> None:
    assert read_leniently(odd) == LenientLine(
        custom_id="r-1", result_type="succeeded", model="claude-haiku-5-5", text=text, usage=USAGE
    )


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(line([{"type": "tool_use", "input": 0}]).replace(b": 0}", b": " + b"[" * 100_000), id="deep"),
        pytest.param(line().replace(b'"text": "Hello"', b'"text": "Hel\x22lo"'), id="a quotation mark"),
        pytest.param(line().replace(b'"message": {', b'"message": {,'), id="a comma"),
        pytest.param(line('{"model": "other", "usage": {"input_tokens": 5}}')[:-3] + b"\n", id="cut at its end"),
        pytest.param(line()[:-2] + b'}{"custom_id": "r-2"}\n', id="two on a line"),
    ],
)
def test_usage_is_found_in_a_line_that_is_not_json(odd: bytes) -> None:
    found = read_leniently(odd)
    assert (found.custom_id, found.result_type, found.model, found.usage) == (
        "r-1",
        "succeeded",
        "claude-haiku-5-5",
        USAGE,
    )
    assert found.text == odd.decode()


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(line()[:-20] + b"\n", id="cut in its usage"),
        pytest.param(line().replace(b"1000,", b"10 00,"), id="garbled in its usage"),
        pytest.param(line([{"type": "tool_use", "input": {"usage": {"input_tokens": 1}}}])[:-2], id="two of them"),
    ],
)
def test_an_unreadable_usage_is_none(odd: bytes) -> None:
    assert read_leniently(odd).usage is None


def test_two_models_in_a_line_that_is_not_json_give_none() -> None:
    odd = line([{"type": "tool_use", "input": {"model": "claude-opus-5-5"}}])[:-2]
    assert read_leniently(odd).model is None


@pytest.mark.parametrize(
    "odd", [b"", b"\xff", b"null\n", b"[]", b'"custom_id"', b'{"custom_id": "\\ud83d"}', b"[" * 9_999]
)
def test_a_line_without_a_custom_id_has_none(odd: bytes) -> None:
    found = read_leniently(odd)
    assert (found.custom_id, found.model, found.usage) == (None, None, None)


@settings(deadline=None, max_examples=300, derandomize=True)
@given(st.data())
def test_any_garbled_line_is_read_without_error_as_valid_unicode(data: st.DataObject) -> None:
    whole = line("ab\ud83d")
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    found = read_leniently(whole[:start] + data.draw(st.binary(max_size=9)) + whole[end:])
    for text in (found.text, found.model, found.result_type, found.custom_id):
        (text or "").encode()
