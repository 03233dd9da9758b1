"""The business key: which type each of its columns has, and its values as that type holds them, or not at all."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Integral
from typing import Any
from uuid import UUID

import pyarrow as pa

#: The types a business key may have, by the name they have in pipeline.yaml.
KEY_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
_BY_VALUE: list[tuple[type, str]] = [
    (bool, "boolean"),
    (Integral, "int64"),
    (str, "string"),
    (datetime, "timestamp"),
    (date, "date"),
    (UUID, "string"),
]
_NANOSECONDS = pa.timestamp("ns", "UTC")
#: What conversions raise, Python's and pyarrow's.
_REFUSALS = (TypeError, ValueError, OverflowError, pa.ArrowException)
_BRIEF = reprlib.Repr()
_BRIEF.maxstring, _BRIEF.maxother = 80, 120


def kind_of_type(described: pa.DataType) -> str | None:
    """The key type for a column that its source describes so; None where none holds all values, as of a decimal."""
    types = pa.types
    if types.is_dictionary(described):
        described = described.value_type
    if types.is_string(described) or types.is_large_string(described) or types.is_string_view(described):
        return "string"
    if types.is_integer(described):
        return "int64"
    if types.is_boolean(described):
        return "boolean"
    if types.is_date(described):
        return "date"
    if types.is_timestamp(described):
        return "timestamp"
    return "string" if described == pa.uuid() else None


def kind_of_value(value: object) -> str | None:
    """The key type for a value; None where it has no obvious one."""
    return next((kind for python_type, kind in _BY_VALUE if isinstance(value, python_type)), None)


def key_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """
    The values of a key column, none of them NULL, as one of KEY_TYPES: each comes back as it went in.

    A datetime without a time zone is taken as UTC. Raises ValueError, naming the value, where one would change, or
    where values of two types stand in the column: ``7`` and ``"7"`` are two keys, and would be one.
    """
    try:
        return _array(values, kind)
    except _REFUSALS as error:
        raise ValueError(_fact(values, kind, str(error))) from error


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    types = set(map(type, values))
    if kind == KEY_TYPES["timestamp"]:
        return _moments(values, types)
    exact, convert = _EXACT[kind]
    if types <= {exact}:
        return pa.array(values, kind)
    if len({issubclass(each, UUID) for each in types}) > 1:
        raise TypeError
    return pa.array([convert(value) for value in values], kind)


def _moments(values: Sequence[Any], types: set[type]) -> pa.Array:
    kind = KEY_TYPES["timestamp"]
    if not all(issubclass(each, datetime) for each in types):
        raise TypeError
    offsets = {value.utcoffset() for value in values}
    if None in offsets and len(offsets) > 1:
        raise TypeError
    if types <= {datetime} and offsets in (set(), {None}, {timedelta(0)}):
        return pa.array(values, kind)
    # pyarrow cuts an offset to whole seconds, and nanoseconds reach from 1677 to 2262 only: others go one by one.
    if not any(offset and offset.microseconds for offset in offsets):
        with suppress(*_REFUSALS):
            return pa.array(values, _NANOSECONDS).cast(kind)
    return pa.array([_moment(value) for value in values], kind)


def _fact(values: Sequence[Any], kind: pa.DataType, error: str) -> str:
    """The first value that cannot be stored, why, and beside which other type it stands."""
    refused = values[0]
    for value in values:
        try:
            _array([value], kind)
        except _REFUSALS as alone:
            refused, error = value, str(alone)
            break
    other = next((value for value in values if _type(value) != _type(refused)), None)
    beside = "" if other is None else f", beside {_spell(other)}"
    return f"{_spell(refused)}{beside}{error and f': {error}'}"


def _spell(value: object) -> str:
    return f"{_BRIEF.repr(value)} ({_type(value)})"


def _type(value: object) -> str:
    zone = " without a time zone" if isinstance(value, datetime) and value.tzinfo is None else ""
    return f"{type(value).__name__}{zone}"


def _text(value: Any) -> str:
    if not isinstance(value, str | UUID):
        raise TypeError
    return str(value) if isinstance(value, UUID) else value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral | Decimal | float):
        raise TypeError
    if int(value) != value:
        raise ValueError("it is no whole number")
    if value == 0 and str(value).startswith("-"):
        raise ValueError("no integer is a negative zero")
    return int(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _date(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError
    return value


def _moment(value: datetime) -> datetime:
    utc = value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)
    plain = datetime(utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, UTC)
    if plain != utc:  # pandas has nanoseconds
        raise ValueError(f"it would become {plain}")
    return plain


#: For each type but timestamps: the Python type that pyarrow stores as it is or refuses, and what makes it of another.
_EXACT: dict[pa.DataType, tuple[type, Callable[[Any], Any]]] = {
    KEY_TYPES["string"]: (str, _text),
    KEY_TYPES["int64"]: (int, _integer),
    KEY_TYPES["boolean"]: (bool, _boolean),
    KEY_TYPES["date"]: (date, _date),
}
