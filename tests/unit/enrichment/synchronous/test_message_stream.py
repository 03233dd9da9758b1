from __future__ import annotations

from typing import Any

import msgspec
import pytest

from include.enrichment.synchronous.message_stream import MessageStream, StreamBroken

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 9, "output_tokens": 1, "service_tier": "standard"},
    },
}
END = [
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 7, "input_tokens": None},
    },
    {"type": "message_stop"},
]


def block(start: dict[str, Any], *deltas: dict[str, Any], index: int = 0) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def whole(*events: dict[str, Any]) -> dict[str, Any]:
    stream = MessageStream()
    for event in (START, *events, *END):
        stream.add(msgspec.json.encode(event))
    message: dict[str, Any] = msgspec.json.decode(stream.message)
    return message


@pytest.mark.parametrize(
    ("start", "deltas", "expected"),
    [
        (
            {"type": "text", "text": ""},
            [{"type": "text_delta", "text": "he"}, {"type": "text_delta", "text": "llo"}],
            {"type": "text", "text": "hello"},
        ),
        (
            {"type": "thinking", "thinking": "", "signature": ""},
            [{"type": "thinking_delta", "thinking": "so"}, {"type": "signature_delta", "signature": "s"}],
            {"type": "thinking", "thinking": "so", "signature": "s"},
        ),
        (
            {"type": "tool_use", "id": "t", "name": "look_up", "input": {}},
            [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"a": [1', ", 2]}")],
            {"type": "tool_use", "id": "t", "name": "look_up", "input": {"a": [1, 2]}},
        ),
        (
            {"type": "tool_use", "id": "t", "name": "look_up", "input": {}},
            [{"type": "input_json_delta", "partial_json": ""}],
            {"type": "tool_use", "id": "t", "name": "look_up", "input": {}},
        ),
        (
            {"type": "text", "text": "", "citations": []},
            [{"type": "citations_delta", "citation": {"cited_text": text}} for text in "ab"],
            {"type": "text", "text": "", "citations": [{"cited_text": "a"}, {"cited_text": "b"}]},
        ),
    ],
)
def test_a_block_is_put_together_from_its_deltas(
    start: dict[str, Any], deltas: list[dict[str, Any]], expected: dict[str, Any]
) -> None:
    assert whole(*block(start, *deltas))["content"] == [expected]


def test_blocks_keep_their_order_and_the_last_word_on_usage_and_stop_counts() -> None:
    message = whole(
        *block({"type": "text", "text": "a"}),
        {"type": "ping"},
        {"type": "an event to come"},
        *block({"type": "text", "text": "b"}, index=1),
    )
    assert [one["text"] for one in message["content"]] == ["a", "b"]
    assert (message["stop_reason"], message["id"]) == ("end_turn", "msg_1")
    assert message["usage"] == {"input_tokens": 9, "output_tokens": 7, "service_tier": "standard"}


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_a_stream_that_ends_before_its_message_is_broken(count: int) -> None:
    stream = MessageStream()
    for event in [START, *block({"type": "text", "text": ""}), *END][:count]:
        stream.add(msgspec.json.encode(event))
    with pytest.raises(StreamBroken, match="ended before"):
        _ = stream.message


def test_an_error_within_a_stream_breaks_it() -> None:
    with pytest.raises(StreamBroken, match="overloaded_error: Overloaded"):
        whole({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


@pytest.mark.parametrize("data", ["{", "[]", "{}", '{"type": "message_start"}', '{"type": "error"}'])
def test_an_event_that_cannot_be_read_breaks_the_stream(data: str) -> None:
    with pytest.raises(StreamBroken, match="cannot be read"):
        MessageStream().add(data)


def test_a_delta_of_an_unknown_kind_continues_its_block_because_the_answer_is_paid_for() -> None:
    deltas = [{"type": "new_delta", "news": "a", "count": 1}, {"type": "new_delta", "news": "b", "count": 2}]
    assert whole(*block({"type": "new", "news": None}, *deltas))["content"] == [
        {"type": "new", "news": "ab", "count": 2}
    ]


@pytest.mark.parametrize("stop_reason", ["max_tokens", "tool_use"])
def test_an_input_that_max_tokens_cuts_is_an_answer_and_otherwise_the_stream_is_broken(stop_reason: str) -> None:
    cut = {"type": "input_json_delta", "partial_json": '{"order": "A'}
    called = block({"type": "tool_use", "id": "t", "name": "look_up", "input": {}}, cut)
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    stopped = {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}}
    stream = MessageStream()
    for event in (START, *called, stopped, END[1]):
        stream.add(msgspec.json.encode(event))
    if stop_reason == "tool_use":
        with pytest.raises(StreamBroken, match="is not JSON"):
            _ = stream.message
    else:
        assert msgspec.json.decode(stream.message)["content"][0]["input"] == {}
