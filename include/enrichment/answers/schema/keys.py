"""The types of business key columns, and the exact conversion of their values."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Integral
from typing import Any
from uuid import UUID

import pyarrow as pa

#: The allowed types of a business key besides decimals, by their name in pipeline.yaml.
KEY_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "uuid": pa.uuid(),
}
#: All allowed types as pipeline.yaml and messages spell them. Without the quotes YAML would end the type at its comma.
KEY_TYPE_NAMES = (*KEY_TYPES, '"decimal(p,s)"')
#: The type of whole numbers that arrive as decimals without a described type: NUMBER(38,0) of Oracle and Snowflake.
_WHOLE_NUMBERS = "decimal(38,0)"
#: A decimal in pipeline.yaml, or as Arrow prints its type.
_DECIMAL = re.compile(r"decimal(?:128)?\((\d{1,2}), ?(\d{1,2})\)")
_MAX_DIGITS = 38
_BY_VALUE: list[tuple[type, str]] = [
    (bool, "boolean"),
    (Integral, "int64"),
    (str, "string"),
    (datetime, "timestamp"),
    (date, "date"),
    (UUID, "string"),
]
_NANOSECONDS = pa.timestamp("ns", "UTC")
#: The errors of Python's and pyarrow's conversions.
REFUSALS = (TypeError, ValueError, OverflowError, pa.ArrowException)
_BRIEF = reprlib.Repr()
_BRIEF.maxstring, _BRIEF.maxother = 80, 120


def key_type(name: str) -> pa.DataType | None:
    """Return the Arrow type of a type name, ``int64`` or ``decimal(38,0)``; None if it is not a key type."""
    if found := _DECIMAL.fullmatch(name):
        digits, scale = map(int, found.groups())
        return pa.decimal128(digits, scale) if 1 <= digits <= _MAX_DIGITS and scale <= digits else None
    return KEY_TYPES.get(name)


def kind_of_published(published: str) -> str | None:
    """Return the name of the key type that a manifest has as ``published``; None if it is not a key type."""
    if _DECIMAL.fullmatch(published):
        return published
    return next((name for name, kind in KEY_TYPES.items() if str(kind) == published), None)


def kind_of_type(described: pa.DataType) -> str | None:
    """Return the name of the key type for a source column; None if none holds all of its values, for example floats."""
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
    if types.is_decimal(described) and described.precision <= _MAX_DIGITS and described.scale >= 0:
        return f"decimal({described.precision},{described.scale})"
    return "string" if described == pa.uuid() else None


def are_alike(one: pa.DataType, other: pa.DataType) -> bool:
    """Return whether keys of two described types can be told apart: ``7`` and ``"7"`` would become one key."""
    families = [
        "number" if kind and (kind == "int64" or kind.startswith("decimal")) else kind
        for kind in map(kind_of_type, (one, other))
    ]
    return None in families or families[0] == families[1]


def kind_of_value(value: object) -> str | None:
    """Return the name of the key type for a value; None if it has no obvious one, for example ``Decimal("1.5")``."""
    if isinstance(value, Decimal):
        return _WHOLE_NUMBERS if value.is_finite() and value == value.to_integral_value() else None
    return next((kind for python_type, kind in _BY_VALUE if isinstance(value, python_type)), None)


def key_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """
    Convert the values of a key column, none of them NULL, to a key_type() without changing any.

    A datetime without a time zone counts as UTC. Raises ValueError, naming the value, if one would change or if the
    column has values of two types: ``7`` and ``"7"`` are two keys and would become one.
    """
    try:
        return _array(values, kind)
    except REFUSALS as error:
        raise ValueError(_fact(values, kind, str(error))) from error


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    types = set(map(type, values))
    if kind == KEY_TYPES["timestamp"]:
        return _moments(values, types)
    exact, convert = _EXACT.get(kind, _EXACT_DECIMAL)
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
    # pyarrow cuts an offset to whole seconds, and nanoseconds cover only 1677 to 2262: convert other values singly.
    if not any(offset and offset.microseconds for offset in offsets):
        with suppress(*REFUSALS):
            return pa.array(values, _NANOSECONDS).cast(kind)
    return pa.array([_moment(value) for value in values], kind)


def _fact(values: Sequence[Any], kind: pa.DataType, error: str) -> str:
    """Describe the first value that cannot be stored: the error, and a value of another type in the column, if any."""
    rejected = values[0]
    for value in values:
        try:
            _array([value], kind)
        except REFUSALS as alone:
            rejected, error = value, str(alone)
            break
    other = next((value for value in values if _type(value) != _type(rejected)), None)
    mixed = "" if other is None else f", together with {describe_value(other)}"
    return f"{describe_value(rejected)}{mixed}{error and f': {error}'}"


def describe_value(value: object) -> str:
    """Return the value, abbreviated, and its type for a message."""
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
        raise ValueError("not a whole number")
    if value == 0 and str(value).startswith("-"):
        raise ValueError("an integer cannot be negative zero")
    return int(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, Integral | Decimal):
        raise TypeError
    return value if isinstance(value, Decimal) else Decimal(int(value))


def _uuid(value: Any) -> UUID:
    if isinstance(value, str):
        found = UUID(value)
        if str(found) != value.lower():
            raise ValueError("not a UUID with hyphens")
        return found
    if not isinstance(value, UUID):
        raise TypeError
    return value


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


#: For each type except timestamps: the Python type that pyarrow stores exactly or rejects, and the conversion to it.
_EXACT: dict[pa.DataType, tuple[type, Callable[[Any], Any]]] = {
    KEY_TYPES["string"]: (str, _text),
    KEY_TYPES["int64"]: (int, _integer),
    KEY_TYPES["boolean"]: (bool, _boolean),
    KEY_TYPES["date"]: (date, _date),
    KEY_TYPES["uuid"]: (UUID, _uuid),
}
_EXACT_DECIMAL: tuple[type, Callable[[Any], Any]] = (Decimal, _decimal)
