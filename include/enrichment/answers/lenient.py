"""
Reads as much as possible of a result line that does not match the API's documentation: its request, the answer's text
and the usage. Slow, and only for such lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Accepts more than JSON allows: NaN, and control characters in strings. As floats, numbers may have any length.
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
    The readable part of a line. In all texts, U+FFFD replaces lone surrogates and bytes that are not UTF-8.

    :param custom_id: None if not found
    :param result_type: for example ``succeeded``; None if not found
    :param model: None if not found, or ambiguous
    :param text: the answer, or the whole line if the answer cannot be found
    :param usage: as in the line; None if not found, or ambiguous
    """

    custom_id: str | None
    result_type: str | None
    model: str | None
    text: str
    usage: Any


def read_leniently(line: bytes) -> LenientLine:
    """Read as much as possible of a line."""
    text = line.decode(errors="replace").removeprefix(_BYTE_ORDER_MARK)
    try:
        whole = _members(_DECODER.decode(text))
    except (ValueError, RecursionError):  # truncated, garbled, or nested too deeply
        return _from_pieces(text)
    result = _members(whole.get("result"))
    message = _members(result.get("message"))
    custom_id = whole.get("custom_id")
    return LenientLine(
        custom_id=custom_id if isinstance(custom_id, str) and not _SURROGATES.search(custom_id) else None,
        result_type=_text(result.get("type")),
        model=_text(message.get("model")),
        text=_text(_answer_text(message.get("content"))) or _SURROGATES.sub("\ufffd", text),
        usage=message.get("usage"),
    )


def _from_pieces(text: str) -> LenientLine:
    """Search a line that is not JSON. Quotation marks inside its strings are escaped, so the patterns skip them."""
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
    """Return the JSON object that begins there; None if it does not end."""
    try:
        return _DECODER.raw_decode(text, position)[0]
    except (ValueError, RecursionError):
        return None


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _answer_text(content: Any) -> str | None:
    """Return the texts of a message's content, which may itself be a text; None if there are none."""
    if isinstance(content, str):
        return content
    blocks = map(_members, content if isinstance(content, list) else [])
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    return "".join(texts) or None


def _text(value: Any) -> str | None:
    return _SURROGATES.sub("\ufffd", value) if isinstance(value, str) else None
