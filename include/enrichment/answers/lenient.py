"""
What can be read of a result line that is not as the API documents it: whose it is, the answer's text, and what the
answer used. Slow, and for such lines alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: It takes what JSON does not allow: NaN, control characters in a text. As floats, numbers may have any length.
_DECODER = json.JSONDecoder(parse_int=float, strict=False)
_SURROGATES = re.compile("[\ud800-\udfff]")
_CUSTOM_ID = re.compile(r'"custom_id"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
_RESULT_TYPE = re.compile(r'"result"\s*:\s*\{\s*"type"\s*:\s*"(\w+)"')
_MODEL = re.compile(r'"model"\s*:\s*"([\w.:@-]+)"')
_USAGE = re.compile(r'"usage"\s*:\s*(?=\{)')
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class LenientLine:
    """
    A line as far as it can be read. No text in it has half a surrogate pair or a byte that is not UTF-8: U+FFFD stands
    for each.

    :param custom_id: None if the line does not say whose it is
    :param result_type: such as ``succeeded``; None if it says none
    :param model: None if it says none, or several
    :param text: what Claude said, or all of the line where that cannot be told
    :param usage: as the line has it; None if it has none, or several
    """

    custom_id: str | None
    result_type: str | None
    model: str | None
    text: str
    usage: Any


def read_leniently(line: bytes) -> LenientLine:
    """As much as possible of a line."""
    text = line.decode(errors="replace").removeprefix(_BYTE_ORDER_MARK)
    try:
        whole = _members(_DECODER.decode(text))
    except (ValueError, RecursionError):  # it is cut, garbled, or nested without end
        return _from_pieces(text)
    result = _members(whole.get("result"))
    message = _members(result.get("message"))
    custom_id = whole.get("custom_id")
    return LenientLine(
        custom_id=custom_id if isinstance(custom_id, str) and not _SURROGATES.search(custom_id) else None,
        result_type=_text(result.get("type")),
        model=_text(message.get("model")),
        text=_text(_said(message.get("content"))) or _SURROGATES.sub("\ufffd", text),
        usage=message.get("usage"),
    )


def _from_pieces(text: str) -> LenientLine:
    """What stands in a text that is not JSON. In a text within it no quotation mark stands without a backslash."""
    models = set(_MODEL.findall(text))
    usages = [usage for found in _USAGE.finditer(text) if (usage := _object_at(found.end(), text)) is not None]
    return LenientLine(
        custom_id=_first(_CUSTOM_ID, text),
        result_type=_first(_RESULT_TYPE, text),
        model=models.pop() if len(models) == 1 else None,
        text=text,
        usage=usages[0] if len(usages) == 1 else None,
    )


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[1] if found else None


def _object_at(position: int, text: str) -> Any:
    """The JSON object that begins there; None if it has no end."""
    try:
        return _DECODER.raw_decode(text, position)[0]
    except (ValueError, RecursionError):
        return None


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _said(content: Any) -> str | None:
    """The texts of a message's content, which may be a text itself; None if there are none."""
    if isinstance(content, str):
        return content
    blocks = map(_members, content if isinstance(content, list) else [])
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    return "".join(texts) or None


def _text(value: Any) -> str | None:
    return _SURROGATES.sub("\ufffd", value) if isinstance(value, str) else None
