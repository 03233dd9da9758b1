"""Values of a table as the values of JSON, so that those of the source and those of an answer can be compared."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

#: The types of values that JSON has as they are.
_PLAIN = frozenset([str, int, float, bool, type(None)])
#: Writes a value as JSON text.
encode = msgspec.json.Encoder(decimal_format="number").encode


def json_value(value: Any) -> Any:
    """
    Return a value of a table as JSON has it: dates, times and UUIDs as text, decimals as they are.

    A time with a zone is in UTC, so that equal instants are equal.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return {name: json_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value


def parsed(value: Any) -> Any:
    """Return the list or object that a JSON text stands for; any other value as json_value() does."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return value
    return json_value(value)


def are_equal(one: Any, other: Any) -> bool:
    """Return whether two values of JSON are equal: 1 equals 1.0, and true equals no number."""
    if type(one) is type(other) and type(one) in _PLAIN:
        return bool(one == other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(are_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(are_equal, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(_exact(one) == _exact(other))


def _exact(value: Any) -> Any:
    """Return a float as the decimal that it is written as: Decimal("0.1") does not equal 0.1."""
    return Decimal(repr(value)) if isinstance(value, float) else value


def as_text(value: Any) -> str:
    """Return a value for people: a text as it is, None as an empty one, anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        return encode(value).decode()
    plain = json_value(value)
    return str(plain) if isinstance(plain, str | Decimal) else encode(plain).decode()
