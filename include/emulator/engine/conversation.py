"""The messages of a request: checked, counted in tokens, and reduced to the texts that an answer quotes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from include.emulator.answers.tool_calls import Dialogue, PastCall
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

    #: All text of the user's turns, and of the tools' results.
    text: str
    #: The part of it before the first answer, which a repair shares with the request that it repairs.
    question: str
    documents: tuple[Document, ...]
    #: "PDF" or "image" if it has any; None: it is all text.
    pictures: str | None
    #: What the tools were called with, and what they returned.
    dialogue: Dialogue
    #: Whether it ends with an answer that was paused.
    paused: bool
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
            if turn["role"] == "user" and block["type"] in ("text", "tool_result"):
                texts.append(_text_of(block))
    _check_tool_results(turns)
    paused = _is_paused(turns[-1])
    if not paused:
        _check_ending(turns[-1], frame)
    if frame.output is not None and any(_cites(block) for _, block in blocks):
        raise RequestRejected("output_config.format: citations cannot be combined with structured outputs")
    text = "\n".join(texts)
    attached = read_attachments([one for one in blocks if one[1]["type"] in _ATTACHED], frame.model, open_file)
    tokens, markers = _weigh(blocks, list(_tokens(blocks, attached.tokens)), frame)
    question = text if asked is None else "\n".join(texts[:asked])
    dialogue = Dialogue(question=question, texts=texts[::-1], past=_past_calls([block for _, block in blocks]))
    return Conversation(text, question, attached.documents, attached.pictures, dialogue, paused, tokens, markers)


def _text_of(block: dict[str, Any]) -> str:
    """Return a text, or that of a tool's result."""
    if block["type"] == "text":
        return str(block["text"])
    content = block.get("content", "")
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def _past_calls(blocks: list[dict[str, Any]]) -> list[PastCall]:
    failed = {block.get("tool_use_id"): block.get("is_error") is True for block in blocks if _is(block, "tool_result")}
    calls = (block for block in blocks if _is(block, "tool_use"))
    return [PastCall(str(call.get("name")), _inputs(call), failed.get(call.get("id"), False)) for call in calls]


def _inputs(call: dict[str, Any]) -> dict[str, Any]:
    given = call.get("input")
    return given if isinstance(given, dict) else {}


def _check_tool_results(turns: list[dict[str, Any]]) -> None:
    """Check that each call of a tool has its result in the next turn, and each result its call in the last one."""
    called: list[str] = []
    for index, turn in enumerate(turns):
        blocks = turn["content"] if isinstance(turn["content"], list) else []
        results = [str(block.get("tool_use_id")) for block in blocks if _is(block, "tool_result")]
        if missing := [call for call in called if call not in results]:
            raise RequestRejected(
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
                "next message."
            )
        if extra := [result for result in results if result not in called]:
            raise RequestRejected(
                f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {extra[0]}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        called = [str(block.get("id")) for block in blocks if _is(block, "tool_use")]


def _is_paused(last: dict[str, Any]) -> bool:
    """Return whether the last turn is an answer that waits for a tool of the server."""
    content = last["content"]
    return bool(last["role"] == "assistant" and isinstance(content, list) and _is(content[-1], "server_tool_use"))


def _is(block: dict[str, Any], kind: str) -> bool:
    return bool(block["type"] == kind)


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
