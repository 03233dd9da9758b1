"""
Makes the repair of an unusable answer: a request that returns the answer to Claude with the validator's complaint. Like
any request, a repair is identified by its content, so the same answer is returned only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from include.enrichment.answers.outcome import CUT_AT_MAX_TOKENS
from include.enrichment.requests.request import Request, encode_params, make_request

#: The returned answer is billed again as input, and its beginning is enough to show the problem.
MAX_ANSWER_CHARACTERS = 20_000
MAX_COMPLAINT_CHARACTERS = 1_000
#: The depth of an escalated request, more than any repair's: a usable answer to it is the last word.
ESCALATED_DEPTH = 999


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw


@dataclass(frozen=True, kw_only=True)
class Repair:
    """
    A request that was made because of an answer, and whose answer is a better one for the same rows.

    :param of: the id of the row's original request
    :param depth: 1 for a repair of the answer to that request, 2 for a repair of the answer to that repair, and so on;
        ESCALATED_DEPTH for that request to a dearer model
    """

    request: Request
    of: str
    depth: int


def repair(request: Request, *, answer: str, complaint: str) -> Request:
    """
    Make the request for a better answer: ``request`` byte for byte, the answer as assistant turn, the complaint as user
    turn. The answer to a repair may be repaired in the same way.

    The last turn is the user's, as the API requires for structured outputs (docs, 2026-10-08). The new id depends on
    the first one's, so two samples, or two runs that share no answers, share no repairs either.

    :param request: the original request; its params are the body of a Messages request
    :param answer: cut to MAX_ANSWER_CHARACTERS. An answer without text has no assistant turn, because the API rejects
        empty turns
    :param complaint: the ``reason`` of the outcome, cut to MAX_COMPLAINT_CHARACTERS

    Raises Unsendable if the request would be too large, or the answer is not valid Unicode.
    """
    params = msgspec.json.decode(request.params, type=dict[str, msgspec.Raw])
    messages: list[Any] = msgspec.json.decode(params["messages"], type=list[msgspec.Raw])
    wish = _wish(answer, complaint)
    last = msgspec.json.decode(messages[-1], type=_Message)
    if answer.strip():
        messages.append({"role": "assistant", "content": answer[:MAX_ANSWER_CHARACTERS]})
        messages.append({"role": "user", "content": wish})
    elif last.role == "user":
        messages[-1] = {"role": "user", "content": [*_blocks(last.content), {"type": "text", "text": wish}]}
    else:
        messages.append({"role": "user", "content": wish})
    # The row has acted. Its repair only writes the answer again.
    without_calls = {"tool_choice": {"type": "none"}} if "tools" in params else {}
    return make_request(encode_params({**params, **without_calls, "messages": messages}), salt=request.request_id)


def _blocks(content: msgspec.Raw) -> list[Any]:
    """Return a message's content as blocks; a text becomes one block."""
    if bytes(content).lstrip().startswith(b'"'):
        return [{"type": "text", "text": content}]
    return msgspec.json.decode(content, type=list[msgspec.Raw])


def _wish(answer: str, complaint: str) -> str:
    """Return the text for Claude. Its wording is part of the request id: a change would bill repairs again."""
    if not answer.strip():
        found = "This was asked before, and the answer held no text."
    elif len(answer) > MAX_ANSWER_CHARACTERS:
        shown = f"Of its {len(answer):,} characters only the first {MAX_ANSWER_CHARACTERS:,} are shown."
        found = f"That answer cannot be used. {shown}"
    else:
        found = "That answer cannot be used."
    if complaint.startswith(CUT_AT_MAX_TOKENS):
        asked = "Give the whole answer again from its beginning, but much shorter, so that it is complete."
    else:
        asked = "Give the whole answer again, corrected."
    return (
        f"{found} The check found:\n\n{complaint[:MAX_COMPLAINT_CHARACTERS]}\n\n"
        f"{asked} Answer in the format that was asked for, and write nothing else."
    )
