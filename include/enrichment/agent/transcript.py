"""
The transcript of one row: each answer of the model and each result of a tool, with what it answers.

A retried task goes through the same steps again and finds each of them by its position. The fingerprint proves that the
step answers what is asked now: the same request of the API, or the same call of a tool.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from include.enrichment.cost.prices import TOKEN_RATES
from include.enrichment.storage.version import Versioned

#: The members of the usage of a call, all numbers.
_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_PROMPT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_WRITTEN = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
#: The stop reason, ours, of a row that was stopped; ``stop_details.explanation`` says why.
LIMIT = "limit"
_APPROVAL = "-approval"
Message: TypeAlias = dict[str, Any]


class Turn(Versioned):
    """
    One answer of the model.

    :param fingerprint: of the request that it answers
    :param message: as the API sent it
    :param at: when it was stored, UTC
    """

    kind: Literal["turn"] = "turn"
    fingerprint: str
    message: Message
    at: datetime


class Call(Versioned):
    """
    One call of a tool that has ended.

    :param fingerprint: of the tool and its input
    :param content: what the model gets: the result as text or JSON, or what went wrong
    :param at: when it was stored, UTC
    """

    kind: Literal["call"] = "call"
    fingerprint: str
    tool: str
    input: dict[str, Any]
    content: str
    is_error: bool = False
    at: datetime


class Approval(Versioned):
    """
    A call of a tool that waits for a person, or that a person has decided.

    :param approved: None: nobody has decided
    :param by: who decided
    """

    kind: Literal["approval"] = "approval"
    fingerprint: str
    tool: str
    input: dict[str, Any]
    approved: bool | None = None
    by: str | None = None
    at: datetime


def turn_step(turn: int) -> str:
    """Return the name of the step of an answer, from 1."""
    return f"{turn:03}"


def call_step(turn: int, call: int) -> str:
    """Return the name of the step of a call of a tool, both from 1. It follows the name of its turn."""
    return f"{turn:03}.{call:02}"


def approval_step(turn: int, call: int) -> str:
    """Return the name of the step of the approval that the call waits for."""
    return call_step(turn, call) + _APPROVAL


def call_of_approval(step: str) -> str:
    """Return the step of the call that an approval_step() is about."""
    return step.removesuffix(_APPROVAL)


def request_fingerprint(body: bytes) -> str:
    """Return the fingerprint of the body of a Messages request, whatever the order of its members."""
    return _hash(msgspec.json.decode(body))


def call_fingerprint(tool: str, given: Mapping[str, Any]) -> str:
    """Return the fingerprint of a call of a tool."""
    return _hash([tool, given])


def idempotency_key(request_id: str, step: str) -> str:
    """
    Return the key by which the service behind a writing tool knows a call that it has done already: the same whenever a
    retried task comes to this step of this row.
    """
    return _hash([request_id, step])


def _hash(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:32]


def prompt_tokens(usage: Mapping[str, Any]) -> int:
    """Return the tokens of the prompt of one call, cached ones included."""
    return sum(usage.get(name) or 0 for name in _PROMPT_COUNTS)


def billed_tokens(usage: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of tokens of each kind of TOKEN_RATES in the usage of one call."""
    written = usage.get("cache_creation") or {}
    long, short = (written.get(name) or 0 for name in reversed(_WRITTEN))
    counts = {
        "input_tokens": usage.get("input_tokens") or 0,
        # Writes of an unknown lifetime have the higher price.
        "cache_write_5m_tokens": short,
        "cache_write_1h_tokens": max(long, (usage.get("cache_creation_input_tokens") or 0) - short),
        "cache_read_tokens": usage.get("cache_read_input_tokens") or 0,
        "output_tokens": usage.get("output_tokens") or 0,
    }
    assert counts.keys() == TOKEN_RATES.keys()
    return counts


def final_message(turns: Iterable[Message]) -> Message:
    """
    Return the last of these answers with the usage of all of them. ``usage.iterations`` has that of each, as the API
    itself reports the calls behind one answer.
    """
    every = list(turns)
    usages = [message.get("usage") or {} for message in every]
    last = every[-1]
    total = {
        **usages[-1],
        **{name: sum(usage.get(name) or 0 for usage in usages) for name in _COUNTS},
        "cache_creation": {
            name: sum((usage.get("cache_creation") or {}).get(name) or 0 for usage in usages) for name in _WRITTEN
        },
        "iterations": [{"type": "message", **{name: usage.get(name) or 0 for name in _COUNTS}} for usage in usages],
    }
    return {**last, "usage": total}


def stopped_message(turns: Iterable[Message], why: str) -> Message:
    """Return an answer without content for a row that was stopped, with the usage of its turns."""
    return {**final_message(turns), "content": [], "stop_reason": LIMIT, "stop_details": {"explanation": why}}


def calls_of(message: Message) -> list[dict[str, Any]]:
    """Return the calls of tools in an answer, which are made only if it stopped for them."""
    if message.get("stop_reason") != "tool_use":
        return []
    return [block for block in message.get("content") or [] if block.get("type") == "tool_use"]
