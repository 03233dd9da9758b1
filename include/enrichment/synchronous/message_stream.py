"""A message put together from the events in which the API streams it (docs of streaming, 2026-10-08)."""

from __future__ import annotations

from typing import Any

import msgspec


class StreamBroken(Exception):
    """The stream ended before its message did, or reported an error."""


class MessageStream:
    """The events of one stream in their order; ``message`` is the message as if it had not been streamed."""

    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._inputs: dict[int, list[str]] = {}
        self._is_complete = False
        self._has_cut_input = False

    def add(self, data: str | bytes) -> None:
        """
        Take in the data of an event. Unknown events are ignored, as the API may add some.

        Raises StreamBroken if it reports an error, or cannot be read.
        """
        try:
            self._take(msgspec.json.decode(data, type=dict[str, Any]))
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError) as error:
            raise StreamBroken(f"an event cannot be read ({error!r}): {data[:100]!r}") from error

    @property
    def message(self) -> bytes:
        """Return the message as JSON. Raises StreamBroken if the stream ended too early."""
        if self._message is None or not self._is_complete:
            raise StreamBroken("the stream ended before its message did")
        if self._has_cut_input and self._message.get("stop_reason") == "tool_use":
            raise StreamBroken("the input of a call is not JSON")
        return msgspec.json.encode(self._message)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "error":
            error = event["error"]
            raise StreamBroken(f"{error['type']}: {error['message']}")
        if kind == "message_start":
            self._message = event["message"]
        elif kind == "message_stop":
            self._is_complete = True
        elif self._message is not None:
            self._continue(self._message, kind, event)

    def _continue(self, message: dict[str, Any], kind: str, event: dict[str, Any]) -> None:
        if kind == "content_block_start":
            message["content"].append(event["content_block"])
        elif kind == "content_block_delta":
            self._continue_block(message["content"][event["index"]], event["index"], event["delta"])
        elif kind == "content_block_stop":
            if pieces := self._inputs.pop(event["index"], None):
                self._end_input(message["content"][event["index"]], "".join(pieces) or "{}")
        elif kind == "message_delta":
            message.update(event["delta"])
            message["usage"].update({name: value for name, value in event["usage"].items() if value is not None})

    def _end_input(self, block: dict[str, Any], text: str) -> None:
        try:
            block["input"] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            # Cut by max_tokens: paid for, complete, and no call that is made.
            self._has_cut_input = True

    def _continue_block(self, block: dict[str, Any], index: int, delta: dict[str, Any]) -> None:
        kind = delta["type"]
        if kind == "input_json_delta":
            self._inputs.setdefault(index, []).append(delta["partial_json"])
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        else:
            # text, thinking, signature, and whatever the API may add: its answer is paid for.
            for member, value in delta.items():
                if member != "type":
                    block[member] = (block.get(member) or "") + value if isinstance(value, str) else value
