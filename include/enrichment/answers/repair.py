"""
An answer that cannot be used is sent back to Claude, with what is wrong with it. The second request is known by its
content like any other: the same answer is sent back once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from include.enrichment.answers.outcome import CUT_AT_MAX_TOKENS
from include.enrichment.requests.request import Request, encode_params, make_request

#: What is sent back is paid for again as input; the beginning shows well enough what went wrong.
MAX_ANSWER_CHARACTERS = 20_000
MAX_COMPLAINT_CHARACTERS = 1_000


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw


@dataclass(frozen=True, kw_only=True)
class Repair:
    """
    A request that was made of an invalid answer.

    :param of: the row's request that it stands for, by id
    :param depth: 1 for the repair of the answer to that request, 2 for the repair of the answer to that repair, and so
        on
    """

    request: Request
    of: str
    depth: int


def repair(request: Request, *, answer: str, complaint: str) -> Request:
    """
    The request that asks for a better answer: all of ``request`` byte for byte, then the answer as Claude's turn, then
    the complaint as the user's. It ends with a user's turn, as the API wants it where the answer has a schema (docs of
    structured outputs, 2026-10-08). What comes of it may be repaired in the same way.

    Its id takes in the first one's id: two samples, or two runs that share no answers, share no repairs either.

    :param request: what was sent; its params are the body of a Messages request
    :param answer: what Claude said; of more than MAX_ANSWER_CHARACTERS the beginning. Where it has no text there is no
        turn of Claude's, as the API takes no empty one
    :param complaint: what is wrong with it, an outcome's ``reason``; of more than MAX_COMPLAINT_CHARACTERS the
        beginning

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
    return make_request(encode_params({**params, "messages": messages}), salt=request.request_id)


def _blocks(content: msgspec.Raw) -> list[Any]:
    """A message's content as blocks: text stands for one block of it."""
    if bytes(content).lstrip().startswith(b'"'):
        return [{"type": "text", "text": content}]
    return msgspec.json.decode(content, type=list[msgspec.Raw])


def _wish(answer: str, complaint: str) -> str:
    """What Claude is told about its answer."""
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
