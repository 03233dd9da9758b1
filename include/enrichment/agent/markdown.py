"""The transcript of a row as Markdown, for the person who wants to know what the agent did and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from include.enrichment.agent.limits import Spent
from include.enrichment.agent.transcript import Approval, Call, Turn
from include.enrichment.cost.prices import format_usd


def transcript_markdown(name: str, request_id: str, steps: Mapping[str, Turn | Call | Approval]) -> str:
    """
    Return the steps of a row, in their order. Text of rows, answers and results is shown as code: none of it is read as
    Markdown.

    :param name: of the row
    :param steps: by name
    """
    spent = Spent()
    for value in steps.values():
        if isinstance(value, Turn):
            spent.add_turn(value.message)
        elif isinstance(value, Call):
            spent.add_call(value)
    simulated = any(isinstance(one, Turn) and "simulated" in str(one.message.get("id")) for one in steps.values())
    facts = (
        f"{spent.turns:,} turns, {spent.tool_calls:,} tool calls, {spent.tokens:,} tokens, {format_usd(spent.usd)}"
        f"{' (simulated)' if simulated else ''}"
    )
    lines = [f"# {_plain(name)}", "", f"Request {request_id}: {facts}", ""]
    for step, value in steps.items():
        lines += _step(step, value)
    return "\n".join(lines)


def _step(step: str, value: Turn | Call | Approval) -> Iterator[str]:
    at = f"{value.at:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, Turn):
        yield from (f"## Turn {int(step)} · {at}", "")
        for block in value.message.get("content") or []:
            yield from _block(block)
        if value.message.get("stop_reason") not in ("tool_use", "end_turn"):
            yield from (f"Stopped: {value.message.get('stop_reason')}", "")
    elif isinstance(value, Call):
        failed = " failed" if value.is_error else ""
        yield from (f"**{_plain(value.tool)}**{failed} · {at}", "", *_code(value.content), "")
    else:
        decided = {None: "waits for a person", True: "approved", False: "not approved"}[value.approved]
        by = f" by {_plain(value.by)}" if value.by else ""
        yield from (f"**{_plain(value.tool)}** {decided}{by} · {at}", "")


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    if block.get("type") == "text":
        yield from (*_code(str(block.get("text"))), "")
    elif block.get("type") == "tool_use":
        given = json.dumps(block.get("input"), ensure_ascii=False)
        yield from (f"calls **{_plain(str(block.get('name')))}**", "", *_code(given), "")


def _code(text: str) -> Iterator[str]:
    """An indented block: no text can end it, unlike a fence."""
    return (f"    {line}" for line in text.splitlines() or [""])


def _plain(text: str) -> str:
    return "".join(character for character in text if character.isalnum() or character in " -_.:@")
