"""The messages of a request: checked, counted in tokens, and reduced to the texts that an answer quotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from include.emulator.api_errors import RequestRejected
from include.emulator.billing.prompt_cache import Marker, tokens_of
from include.emulator.documents.document import Document
from include.emulator.engine.attachments import OpenFile, no_files, read_attachments
from include.emulator.engine.request_frame import Frame, add_block

MAX_MESSAGES = 100_000

_BLOCK_TYPES = frozenset(
    {
        *("text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result"),
        *("server_tool_use", "web_search_tool_result", "web_fetch_tool_result", "container_upload"),
        *("code_execution_tool_result", "bash_code_execution_tool_result", "text_editor_code_execution_tool_result"),
        *("tool_search_tool_result", "mid_conv_system"),
    }
)
_ATTACHED = ("image", "document")
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True)
class Conversation:
    """The messages of a request, reduced to what an answer needs."""

    #: All text of the user's turns.
    text: str
    #: The part of it before the first answer, which a repair shares with the request that it repairs.
    question: str
    documents: tuple[Document, ...]
    #: "PDF" or "image" if it has any; None: it is all text.
    pictures: str | None
    #: Tokens of the whole prompt, tools and system included.
    tokens: int
    markers: tuple[Marker, ...]


def read_conversation(
    messages: bytes | memoryview | msgspec.Raw | None, frame: Frame, open_file: OpenFile = no_files
) -> Conversation:
    """Parse and check the messages of a request, given as JSON. Raises RequestRejected."""
    if messages is None:
        raise RequestRejected("messages: Field required")
    turns = _decode(messages)
    if not isinstance(turns, list):
        raise RequestRejected("messages: Input should be a valid list")
    if not turns:
        raise RequestRejected("messages: at least one message is required")
    if len(turns) > MAX_MESSAGES:
        raise RequestRejected(f"messages: List should have at most {MAX_MESSAGES} items after validation")
    texts: list[str] = []
    asked = None  # the number of texts before the first answer
    blocks: list[tuple[str, dict[str, Any]]] = []
    for index, turn in enumerate(turns):
        if asked is None and isinstance(turn, dict) and turn.get("role") == "assistant":
            asked = len(texts)
        for where, block in _blocks(index, turn):
            blocks.append((where, block))
            if turn["role"] == "user" and block["type"] == "text":
                texts.append(block["text"])
    _check_ending(turns[-1], frame)
    if frame.output is not None and any(_cites(block) for _, block in blocks):
        raise RequestRejected("output_config.format: citations cannot be combined with structured outputs")
    text = "\n".join(texts)
    attached = read_attachments([one for one in blocks if one[1]["type"] in _ATTACHED], frame.model, open_file)
    tokens, markers = _weigh(blocks, list(_tokens(blocks, attached.tokens)), frame)
    question = text if asked is None else "\n".join(texts[:asked])
    return Conversation(text, question, attached.documents, attached.pictures, tokens, markers)


def _weigh(blocks: list[tuple[str, dict[str, Any]]], tokens: list[int], frame: Frame) -> tuple[int, tuple[Marker, ...]]:
    last = blocks[-1][1] if blocks else {}
    if frame.automatic_cache is None and not any("cache_control" in block for _, block in blocks):
        # The usual case: no message is cached, so none needs to be hashed.
        return frame.chain.tokens + frame.format_tokens + sum(tokens), frame.chain.markers
    chain = frame.chain.fork()
    if any(block["type"] == "image" for _, block in blocks):
        chain.mix_in(b"image")
    for (where, block), size in zip(blocks, tokens, strict=True):
        if block is last and frame.automatic_cache is not None and "cache_control" not in block:
            ttl = "1h" if frame.automatic_cache > 300 else "5m"
            block = {**block, "cache_control": {"type": "ephemeral", "ttl": ttl}}
        add_block(chain, block, where, size)
    return chain.tokens + frame.format_tokens, chain.markers


def _blocks(index: int, turn: object) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(turn, dict):
        raise RequestRejected(f"messages.{index}: Input should be a valid dictionary")
    for name in turn:
        if name not in ("role", "content"):
            raise RequestRejected(f"messages.{index}.{name}: Extra inputs are not permitted")
    if "role" not in turn or "content" not in turn:
        raise RequestRejected(f"messages.{index}.{'content' if 'role' in turn else 'role'}: Field required")
    if turn["role"] not in ("user", "assistant", "system"):
        raise RequestRejected(f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'")
    content = turn["content"]
    if not content:
        raise RequestRejected(f"messages.{index}: {turn['role']} messages must have non-empty content")
    if isinstance(content, str):
        return [(f"messages.{index}.content", {"type": "text", "text": content})]
    if not isinstance(content, list):
        raise RequestRejected(f"messages.{index}.content: Input should be a valid list")
    for number, block in enumerate(content):
        _check_block(f"messages.{index}.content.{number}", block)
    return [(f"messages.{index}.content.{number}", block) for number, block in enumerate(content)]


def _check_block(where: str, block: object) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(block, dict) or not isinstance(kind, str) or kind not in _BLOCK_TYPES:
        raise RequestRejected(f"{where}: Input tag {str(kind)!r} found using 'type' does not match any expected tag")
    if kind == "text":
        if not isinstance(block.get("text"), str):
            raise RequestRejected(f"{where}.text: Field required")
        if not block["text"].strip():
            raise RequestRejected("messages: text content blocks must be non-empty")


def _check_ending(last: dict[str, Any], frame: Frame) -> None:
    if last["role"] != "assistant":
        return
    if not frame.model.prefill:
        message = (
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
        raise RequestRejected(message)
    if frame.output is not None:
        raise RequestRejected(
            "output_config.format: assistant message prefill cannot be combined with structured outputs"
        )


def _cites(block: dict[str, Any]) -> bool:
    citations = block.get("citations")
    return isinstance(citations, dict) and citations.get("enabled") is True


def _tokens(blocks: list[tuple[str, dict[str, Any]]], attached: tuple[int, ...]) -> Iterator[int]:
    """Yield the tokens of each block, given those of its images and documents."""
    rest = iter(attached)
    for _, block in blocks:
        if block["type"] in _ATTACHED:
            yield next(rest)
        elif block["type"] == "text":
            yield tokens_of(len(block["text"].encode()))
        else:
            yield tokens_of(len(msgspec.json.encode(block)))
