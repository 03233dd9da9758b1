"""
Values that a conversation names: ``order_id`` in ``<order id="A-17">``, ``order_id: A-17`` or ``{"order_id": "A-17"}``.

A model calls a tool with what it has read. This finds far less than Claude, but what it finds was in the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_CODE_ENDINGS = ("id", "number", "no", "code")
_MOST_CHARACTERS = 200


def find_value(name: str, types: Sequence[str], texts: Sequence[str]) -> Any:
    """
    Return the first value of a property that one of these texts names; None if none does.

    :param types: the JSON types that the value may have; no value is found for objects and booleans
    :param texts: those that count most first; a text may be JSON
    """
    for text in texts:
        for found in _named(name, text):
            value = _converted(found, types)
            if value is not None:
                return value
    return None


def names_code(name: str) -> bool:
    """Return whether a property of this name holds a code, which nobody could guess: ``order_id``."""
    return name.lower().split("_")[-1] in _CODE_ENDINGS


def _named(name: str, text: str) -> Iterator[Any]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            yield from _in_json(name, msgspec.json.decode(text), "")
            return
        except msgspec.DecodeError:
            pass
    yield from _in_text(name, text)


def _in_json(name: str, node: Any, within: str) -> Iterator[Any]:
    """Yield the values of a name; ``id`` within ``orders`` is an ``order_id``."""
    if isinstance(node, list):
        for item in node:
            yield from _in_json(name, item, within)
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        spelled = {key.lower(), f"{within.lower().removesuffix('s')}_{key.lower()}"}
        # An ``amount`` may be an ``amount_usd``.
        if name.lower() in spelled or key.lower().startswith(f"{name.lower()}_"):
            yield value
    for key, value in node.items():
        yield from _in_json(name, value, key)


def _in_text(name: str, text: str) -> Iterator[str]:
    *most, last = (re.escape(word) for word in name.split("_"))
    words = r"[\s_-]?".join([*most, last])
    patterns = [
        rf"(?<!\w){words}\s*=\s*\"([^\"]*)\"",
        rf"<{words}(?:\s[^<>]*)?>([^<]*)</",
        rf"(?<!\w)\"?{words}\"?\s*[:=]\s*\"?([^\"\n,;|<>]+)",
    ]
    if most and names_code(name):
        # <order id="A-17">, and in words: order A-17, order no. 17
        noun = r"[\s_-]?".join(most)
        patterns.append(rf"<{noun}\s(?:[^<>]*\s)?{last}\s*=\s*\"([^\"]*)\"")
        patterns.append(rf"(?<!\w){noun}\s*(?:#|no\.?|number|id)?[\s:]*([\w-]*\d[\w-]*)")
    for pattern in patterns:
        for found in re.finditer(pattern, text, re.IGNORECASE):
            if value := found[1].strip():
                yield value


def _converted(found: Any, types: Sequence[str]) -> Any:
    """Return a value as one of the types; None if it is none of them."""
    if isinstance(found, bool) or found is None or isinstance(found, Mapping):
        return None
    if isinstance(found, list):
        return found if "array" in types else None
    if "string" in types:
        return str(found)[:_MOST_CHARACTERS]
    if "array" in types:
        return [found]
    number = _NUMBER.search(str(found)) if {"number", "integer"} & set(types) else None
    if number is None:
        return None
    value = float(number[0])
    if "number" in types and not value.is_integer():
        return value
    return int(value) if value.is_integer() else None
