"""A message as server-sent events, in the API's order and with its names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

#: An idle stream has a ping this often, so that no proxy takes it for dead.
PING_SECONDS = 10.0
_PIECE_CHARACTERS = 24
_FINAL_USAGE = (
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"),
    *("output_tokens_details", "server_tool_use"),
)
_encode = msgspec.json.Encoder().encode
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'


class EventStream(Response):
    """
    A streamed message.

    The first event comes at once. The rest comes after ``delay_seconds``, with a ping every PING_SECONDS until then.
    """

    def __init__(self, events: Sequence[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers, media_type="text/event-stream; charset=utf-8")
        del self.headers["content-length"]
        self.events = events
        self.delay_seconds = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        events, rest = self.events, self.delay_seconds
        if rest:
            await _send(send, events[0], more=True)
            events = events[1:]
        while rest > 0:
            await asyncio.sleep(min(rest, PING_SECONDS))
            rest -= PING_SECONDS
            await _send(send, _PING, more=True)
        await _send(send, b"".join(events), more=False)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


def events_of(message: Mapping[str, Any]) -> list[bytes]:
    """Return the events of a message, each with its empty line."""
    started = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_details": None,
        "usage": {**message["usage"], "output_tokens": 1, "output_tokens_details": None},
    }
    events = [_event({"type": "message_start", "message": started}), _PING]
    for index, block in enumerate(message["content"]):
        events += (_event({**event, "index": index}) for event in _block_events(block))
    reasons = ("stop_reason", "stop_sequence", "stop_details")
    usage = {name: message["usage"][name] for name in _FINAL_USAGE}
    delta = {name: message[name] for name in reasons}
    return [
        *events,
        _event({"type": "message_delta", "delta": delta, "usage": usage}),
        _event({"type": "message_stop"}),
    ]


def broken_off(events: Sequence[bytes], error: object) -> list[bytes]:
    """Return the first half of the events of a message, and an ``error`` event in place of the rest."""
    return [*events[: len(events) // 2], b"event: error\ndata: " + _encode(error) + b"\n\n"]


def _block_events(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a content block, without its index."""
    empty, deltas = _parts(block)
    yield {"type": "content_block_start", "content_block": empty}
    for delta in deltas:
        yield {"type": "content_block_delta", "delta": delta}
    yield {"type": "content_block_stop"}


def _parts(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a block as it starts, and what is added to it."""
    match block["type"]:
        case "text":
            deltas: list[dict[str, Any]] = [
                {"type": "citations_delta", "citation": citation} for citation in block.get("citations") or ()
            ]
            deltas += ({"type": "text_delta", "text": piece} for piece in _pieces(block["text"]))
            cited: dict[str, Any] = {"citations": []} if "citations" in block else {}
            return {**block, "text": "", **cited}, deltas
        case "thinking":
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _pieces(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {**block, "thinking": "", "signature": ""}, deltas
        case "tool_use" | "server_tool_use":
            pieces = ["", *_pieces(_encode(block["input"]).decode())]  # the first is always empty
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return dict(block), []


def _pieces(text: str) -> list[str]:
    return [text[start : start + _PIECE_CHARACTERS] for start in range(0, len(text), _PIECE_CHARACTERS)]


def _event(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: ".encode() + _encode(event) + b"\n\n"
