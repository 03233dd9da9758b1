"""
Simulated answers: the same request always gets the same answer.

Batch and message ids contain "simulated", and texts begin with it, so that nobody mistakes them for Claude's.
Structured outputs fit their schema unless a fault prevents it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from include.emulator.answers import bad_evidence, bad_texts
from include.emulator.answers.citations import quoting_blocks
from include.emulator.answers.instructions import NONE
from include.emulator.answers.source import Source
from include.emulator.answers.tool_calls import Call, Dialogue, choose_calls, make_input
from include.emulator.api_errors import RequestRejected
from include.emulator.billing.prompt_cache import BYTES_PER_TOKEN, Cache, Usage, tokens_of
from include.emulator.draws import Draws, digest
from include.emulator.engine import models
from include.emulator.engine.attachments import OpenFile, no_files
from include.emulator.engine.conversation import Conversation, read_conversation
from include.emulator.engine.request_frame import Frame, Rules, read_frame
from include.emulator.faults.answer_kinds import AnswerFault
from include.emulator.faults.row_kinds import (
    Blank,
    DuplicateText,
    ForbiddenText,
    InvalidJson,
    InventedNumber,
    InventedQuote,
    LostPlaceholder,
    ParaphrasedQuote,
    PauseTurn,
    Refusal,
    RowFault,
    Runaway,
    TooLong,
    Truncated,
    ViolatesSchema,
    WrongCaseEnum,
    WrongLanguage,
    WrongPage,
)

#: The size of one request, base64 of its documents included.
MAX_BYTES = 32_000_000

_PLAIN_WORDS = (10, 49)
_THOUGHT = {"type": "thinking", "thinking": "simulated thinking", "signature": "simulated"}

_read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True)
class Prompt:
    """A valid request."""

    frame: Frame
    conversation: Conversation


def read_prompt(params: bytes | memoryview | msgspec.Raw, rules: Rules, open_file: OpenFile = no_files) -> Prompt:
    """
    Parse and check the params of one request, given as JSON, as the API does. Raises RequestRejected.

    Takes seconds for long documents, so run it in a thread.
    """
    if memoryview(params).nbytes > MAX_BYTES:
        raise RequestRejected("Request exceeds the maximum size", type="request_too_large")
    try:
        fields = _read_fields(params)
    except msgspec.DecodeError as error:
        raise RequestRejected(f"The request body is not valid JSON: {error}") from error
    messages = fields.pop("messages", None)
    frame = read_frame({name: bytes(text) for name, text in fields.items()}, rules)
    return Prompt(frame, read_conversation(messages, frame, open_file))


def make_message(
    prompt: Prompt,
    request_seed: int,
    cache: Cache,
    tier: str,
    fault: RowFault | None = None,
    values: Sequence[AnswerFault] = (),
) -> dict[str, Any]:
    """
    Return the message that answers a prompt, with the values that ``values`` set, spoiled by ``fault`` if there is one.

    All random draws follow from ``request_seed``; ``tier`` is the usage's ``service_tier``. Raises RequestRejected if
    the prompt exceeds the model's context window.
    """
    frame = prompt.frame
    if prompt.conversation.tokens > frame.model.max_input_tokens:
        sizes = f"{prompt.conversation.tokens} tokens > {frame.model.max_input_tokens} maximum"
        raise RequestRejected(f"prompt is too long: {sizes}")
    draws = Draws(request_seed)
    billed = cache.bill(prompt.conversation.markers, prompt.conversation.tokens, frame.model.cache_minimum, draws)
    source = Source(
        prompt.conversation.text,
        question=prompt.conversation.question,
        wrong_case=isinstance(fault, WrongCaseEnum),
        spoil=_spoil_of(fault, prompt.conversation.text),
        documents=prompt.conversation.documents,
        misquote=_misquote_of(fault),
        acts=_acts(prompt),
        tool_inputs={name: value for call in prompt.conversation.dialogue.past for name, value in call.inputs.items()},
    )
    thinking = 20 + draws.below(100) if frame.thinks else 0
    if isinstance(fault, DuplicateText):
        draws = Draws(digest(0, "duplicate", source.language or ""))
    if isinstance(fault, Refusal):
        return _refusal(frame, request_seed, billed, tier, fault)
    if isinstance(fault, PauseTurn) and not prompt.conversation.paused:
        query = {"query": source.write(NONE, draws)}
        return _acting(
            frame, request_seed, billed, tier, thinking, [_call("srvtoolu", request_seed, 0, "web_search", query)]
        )
    if calls := _tool_calls(prompt, draws, source, runaway=isinstance(fault, Runaway)):
        blocks = [_call("toolu", request_seed, number, one.name, one.inputs) for number, one in enumerate(calls)]
        return _acting(frame, request_seed, billed, tier, thinking, blocks)
    of_model = [one for one in values if one.model is None or models.find(one.model) is frame.model]
    blocks = _blocks(frame, draws, source, lambda output: _set_values(output, of_model, prompt, request_seed))
    whole = "".join(block["text"] for block in blocks)
    text = _spoil(whole, fault)
    room = frame.max_tokens - thinking
    content: list[dict[str, Any]] = []
    if thinking:
        content.append(_THOUGHT)
    if isinstance(fault, Truncated):
        text = text[: len(text) // 2]
    elif tokens_of(len(text.encode())) <= room:
        content += blocks if text == whole else [{"type": "text", "text": text}]
        usage = _usage(frame, billed, thinking + tokens_of(len(text.encode())), thinking, tier)
        return _message(frame, request_seed, content, "end_turn", usage)
    # Thinking comes first and may use up max_tokens, which leaves no text.
    if kept := text.encode()[: max(room, 0) * BYTES_PER_TOKEN].decode(errors="ignore"):
        content.append({"type": "text", "text": kept})
    usage = _usage(frame, billed, frame.max_tokens, min(thinking, frame.max_tokens), tier)
    return _message(frame, request_seed, content if frame.max_tokens else [], "max_tokens", usage)


def _acts(prompt: Prompt) -> dict[str, bool]:
    called = {call.name for call in prompt.conversation.dialogue.past}
    return {tool.name: tool.name in called for tool in prompt.frame.tools.callable}


def _tool_calls(prompt: Prompt, draws: Draws, source: Source, *, runaway: bool) -> list[Call]:
    tools, dialogue = prompt.frame.tools, prompt.conversation.dialogue
    if runaway and tools.callable:
        # By the question alone, so that each call has the same input.
        steady = Draws(digest(0, "runaway", dialogue.question))
        first = tools.callable[0]
        asked = Dialogue(question=dialogue.question, texts=[dialogue.question])
        return [Call(first.name, make_input(first, asked, steady, Source(dialogue.question)))]
    return choose_calls(tools.callable, dialogue, draws, source, must=tools.forced, parallel=tools.parallel)


def _call(prefix: str, request_seed: int, number: int, name: str, input: Any) -> dict[str, Any]:
    kind = "tool_use" if prefix == "toolu" else "server_tool_use"
    id = f"{prefix}_simulated_{request_seed:016x}{number or ''}"
    return {"type": kind, "id": id, "name": name, "input": input}


def _acting(
    frame: Frame, request_seed: int, billed: Usage, tier: str, thinking: int, calls: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a message that calls tools; without them if it is longer than ``max_tokens``."""
    content = [_THOUGHT] if thinking else []
    output = thinking + sum(tokens_of(len(msgspec.json.encode(call["input"]))) for call in calls)
    if output > frame.max_tokens:
        usage = _usage(frame, billed, frame.max_tokens, min(thinking, frame.max_tokens), tier)
        return _message(frame, request_seed, content, "max_tokens", usage)
    reason = "tool_use" if calls[0]["type"] == "tool_use" else "pause_turn"
    return _message(frame, request_seed, [*content, *calls], reason, _usage(frame, billed, output, thinking, tier))


def seed_request(seed: int, custom_id: str, params: bytes | memoryview | msgspec.Raw) -> int:
    """Return the number that seeds all draws for one request."""
    return digest(seed, custom_id, memoryview(params).tobytes())


def _spoil_of(fault: RowFault | None, request: str) -> bad_texts.Spoil | None:
    """Return what the fault does to the texts within an answer."""
    match fault:
        case WrongLanguage():
            return bad_texts.wrong_language
        case LostPlaceholder():
            return bad_texts.lost_placeholder
        case TooLong():
            return bad_texts.too_long
        case DuplicateText():
            return bad_texts.duplicate_text
        case InventedNumber():
            return bad_texts.with_invented_number(request)
        case ForbiddenText():
            return bad_texts.with_text(fault.text)
    return None


def _misquote_of(fault: RowFault | None) -> bad_evidence.Misquote | None:
    """Return what the fault does to the evidence of an answer."""
    match fault:
        case WrongPage():
            return bad_evidence.wrong_page
        case ParaphrasedQuote():
            return bad_evidence.paraphrased_quote
        case InventedQuote():
            return bad_evidence.invented_quote
    return None


def _set_values(output: Any, values: Sequence[AnswerFault], prompt: Prompt, request_seed: int) -> Any:
    """Return a structured output with other values in the fields that it has."""
    for one in values:
        *path, name = one.field.split(".")
        inner = output
        for step in path:
            inner = inner.get(step) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and name in inner:
            inner[name] = one.change(inner[name], prompt.conversation.question, request_seed)
    return output


def _blocks(frame: Frame, draws: Draws, source: Source, change: Callable[[Any], Any]) -> list[dict[str, Any]]:
    """Return the text of an answer: one block, unless it cites documents. ``change`` changes a structured output."""
    if frame.output is not None:
        return [{"type": "text", "text": msgspec.json.encode(change(frame.output(draws, source))).decode()}]
    if blocks := quoting_blocks(draws, source):
        cites = any("citations" in block for block in blocks)
        return blocks if cites else [{"type": "text", "text": "".join(block["text"] for block in blocks)}]
    text = source.write(NONE, draws, _PLAIN_WORDS)
    return [{"type": "text", "text": text if text.endswith(".") else f"{text}."}]


def _spoil(text: str, fault: RowFault | None) -> str:
    if isinstance(fault, Blank):
        return " \n"
    if isinstance(fault, InvalidJson):
        return f"{text[:-1]}…"
    if not isinstance(fault, ViolatesSchema):
        return text
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:  # plain text has no schema to violate
        return text
    if isinstance(value, Mapping) and value:
        # One property too few and one too many: the dropped first one is required, if any is.
        rest = dict(list(value.items())[1:])
        return msgspec.json.encode({"simulated_violation": True, **rest}).decode()
    return '{"simulated_violation":true}'


def _refusal(frame: Frame, request_seed: int, billed: Usage, tier: str, fault: Refusal) -> dict[str, Any]:
    details = {"type": "refusal", "category": fault.category, "explanation": "simulated refusal"}
    message = _message(frame, request_seed, [], "refusal", _usage(frame, billed, 1, 0, tier))
    return {**message, "stop_details": details}


def _message(
    frame: Frame, request_seed: int, content: list[dict[str, Any]], stop_reason: str, usage: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": f"msg_simulated_{request_seed:016x}",
        "type": "message",
        "role": "assistant",
        "model": frame.model.id,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def _usage(frame: Frame, billed: Usage, output: int, thinking: int, tier: str) -> dict[str, Any]:
    return {
        "input_tokens": billed.input,
        "cache_creation_input_tokens": billed.written_5m + billed.written_1h,
        "cache_read_input_tokens": billed.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": billed.written_5m,
            "ephemeral_1h_input_tokens": billed.written_1h,
        },
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": thinking} if frame.thinks else None,
        "server_tool_use": None,
        "service_tier": tier,
        "inference_geo": frame.geo,
    }
