"""The Arrow type of a column, and the conversion of each value to what pyarrow accepts."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from include.enrichment.answers.schema.kind import Kind

Converter = Callable[[Any], Any]

#: The range of an integer column.
INT64 = range(-(2**63), 2**63)


def column_type(kind: Kind) -> pa.DataType:
    """
    Return the Arrow type of the column.

    Enums are strings, arrays are lists, objects are structs, ``date`` and ``date-time`` become dates and UTC timestamps
    (microseconds). Values without a single type (a union of several types, an object without properties) are stored as
    JSON text.
    """
    if kind.type == "array" and kind.items:
        return pa.list_(column_type(kind.items))
    if kind.type == "object" and kind.properties:
        return pa.struct([pa.field(name, column_type(prop)) for name, prop in kind.properties.items()])
    if kind.type == "string":
        return _BY_FORMAT[kind.format][0] if kind.format in _BY_FORMAT else pa.string()
    scalars = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    return scalars.get(kind.type or "", pa.string())


def converter(kind: Kind) -> Converter | None:
    """
    Return the function that converts a value other than null for column_type(kind); None if no conversion is needed.

    Make it once per schema: it is called for each answer. The function raises ValueError for values that the column
    cannot hold: integers beyond 64 bits, numbers beyond a 64-bit float, dates and times outside the years 1 to 9999
    (UTC). A leap second becomes the second after it. A fraction of a second keeps six digits.
    """
    if kind.type == "array" and kind.items:
        return _array_converter(kind.items)
    if kind.type == "object" and kind.properties:
        return object_converter(kind.properties)
    if kind.type == "string":
        return _BY_FORMAT[kind.format][1] if kind.format in _BY_FORMAT else None
    return _BY_TYPE.get(kind.type or "", _as_json)


def _array_converter(items: Kind) -> Converter | None:
    convert = converter(items)
    if convert is None:
        return None
    return lambda values: [value if value is None else convert(value) for value in values]


def object_converter(properties: Mapping[str, Kind]) -> Converter:
    """Return the function that converts the fields of an object, see converter(). Missing fields stay missing."""
    found = {name: converter(prop) for name, prop in properties.items()}
    converters = {name: convert for name, convert in found.items() if convert is not None}

    def convert_object(value: dict[str, Any]) -> dict[str, Any]:
        changed = {name: convert(value[name]) for name, convert in converters.items() if value.get(name) is not None}
        return {**value, **changed} if changed else value

    return convert_object


def storage_problems(kind: Kind) -> Iterator[str]:
    """Find the enum and const values that the column cannot hold exactly."""
    if convert := converter(kind):
        for value in kind.named:
            try:
                if convert(value) != value and kind.type == "number":
                    yield f"{value} is not exact as a 64-bit float"
            except ValueError as error:
                yield str(error)
    for part in (*([kind.items] if kind.items else []), *kind.properties.values()):
        yield from storage_problems(part)


def _int64(value: Any) -> int:
    if int(value) not in INT64:
        raise ValueError(f"{reprlib.repr(value)} does not fit a 64-bit integer")
    return int(value)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{reprlib.repr(value)} does not fit a 64-bit float") from None


def _day(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a date in the years 1 to 9999") from None


def _moment(value: str) -> datetime:
    leap = value[17:19] == "60"
    text = f"{value[:17]}59{value[19:]}" if leap else value
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC) + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is not a time in the years 1 to 9999 UTC") from None


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_BY_FORMAT: dict[str | None, tuple[pa.DataType, Converter]] = {
    "date": (pa.date32(), _day),
    "date-time": (pa.timestamp("us", "UTC"), _moment),
}
_BY_TYPE: dict[str, Converter | None] = {"integer": _int64, "number": _float, "boolean": None}
#: String formats that are not stored as text.
STORED_FORMATS = frozenset(_BY_FORMAT)
