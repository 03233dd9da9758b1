"""
Converts the values of a row, from any source, and the results of expressions into the types of prompt_values.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pyarrow as pa
from jinja2 import Undefined

from include.enrichment.requests.float32 import with_float32_as
from include.enrichment.requests.prompt_values import (
    NULL,
    PROMPT_TYPES,
    Binary,
    Date,
    DateTime,
    Duration,
    Foreign,
    Listing,
    NoText,
    Number,
    Opaque,
    Time,
    UnsupportedValue,
)

#: Python's text for a memory address, which differs in every process.
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}", re.IGNORECASE)


def to_prompt_value(value: object) -> object:
    """Convert a source's value for a template, at any depth."""
    kind = type(value)
    if kind in PROMPT_TYPES:
        return value
    if value is None:
        return NULL
    if kind is list or kind is dict:
        return _list(value) if kind is list else _mapping(value)
    for known, convert in _CONVERTERS:
        if isinstance(value, known):
            return convert(value)
    if kind.__module__ == "numpy":
        return _from_numpy(value)
    if isinstance(value, pa.Scalar):
        texts, doubles = (with_float32_as(value.type, kind) for kind in (pa.string(), pa.float64()))
        return to_prompt_value((value if texts == value.type else value.cast(texts).cast(doubles)).as_py())
    if repr(value) == "<NA>":  # of pandas
        return NULL
    return _foreign(value)


def convert_result(value: object, source: str) -> object:
    """
    Convert the result of an expression for the rest of the template. Members of lists and mappings are converted
    already.

    :param source: the operator, filter or call, for a message
    """
    if type(value) in _RESULT_TYPES or isinstance(value, str | tuple | NoText | Undefined):
        return value
    if isinstance(value, Iterator | ItemsView | KeysView | ValuesView):
        return Listing(value, source)
    return value if type(value).__module__.startswith("jinja2.") else to_prompt_value(value)


def unwrap_value(value: object) -> Any:
    """Return the object that has the attributes and methods."""
    return value.value if isinstance(value, Foreign | Opaque) else value


def _foreign(value: Any) -> Foreign | Opaque:
    text = _format_range(value) if _is_range(value) else str(value)
    if callable(value) or isinstance(value, Iterator) or _ADDRESS.search(text):
        return Opaque(value)
    found = Foreign(text)
    found.value = value
    return found


def _datetime(value: datetime) -> object:
    if value != value:  # pandas' NaT
        return NULL
    zone = None
    if value.utcoffset() is not None:
        try:
            value, zone = value.astimezone(UTC), UTC
        except OverflowError as error:
            raise UnsupportedValue(f"{value} is outside the years 1 to 9999 UTC: cast it to text") from error
    found = DateTime(
        value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond, zone
    )
    if nanosecond := getattr(value, "nanosecond", 0):
        found.nanosecond = nanosecond
    return found


def _time(value: time) -> Time:
    return Time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo)


def _timedelta(value: timedelta) -> Duration:
    found = Duration(value.days, value.seconds, value.microseconds)
    if nanoseconds := getattr(value, "nanoseconds", 0):
        found.nanoseconds = nanoseconds
    return found


def _list(value: Any) -> list[object]:
    return [item if type(item) in PROMPT_TYPES else to_prompt_value(item) for item in value]


def _mapping(value: Any) -> dict[object, object]:
    return {
        key if type(key) is str else to_prompt_value(key): item if type(item) in PROMPT_TYPES else to_prompt_value(item)
        for key, item in value.items()
    }


def _tuple(value: tuple[object, ...]) -> tuple[object, ...]:
    items = tuple(map(to_prompt_value, value))
    make: Callable[[tuple[object, ...]], tuple[object, ...]] | None = getattr(value, "_make", None)
    return make(items) if make else items


def _sorted(value: Set[object]) -> list[object]:
    # First by their text, because the order of a set differs between processes and some values cannot be compared.
    items = sorted(map(to_prompt_value, value), key=repr)
    try:
        return sorted(items)  # type: ignore[type-var]
    except (TypeError, UnsupportedValue):
        return items


def _sequence(value: Sequence[object]) -> object:
    items = _list(value)
    if items and all(_is_range(item) for item in value):  # psycopg's multirange; psycopg2 gives Postgres' own text
        return f"{{{','.join(str(item).replace(', ', ',') for item in items)}}}"
    return items


def _is_range(value: object) -> bool:
    return hasattr(value, "isempty") and hasattr(value, "lower_inc")


def _format_range(value: Any) -> str:
    """Format a range of Postgres as both of its drivers do. An unbounded end is empty."""
    if value.isempty:
        return "empty"
    start, end = ("[" if value.lower_inc else "("), ("]" if value.upper_inc else ")")
    return f"{start}{to_prompt_value(value.lower)}, {to_prompt_value(value.upper)}{end}"


def _from_numpy(value: Any) -> object:
    if value.ndim:
        return [to_prompt_value(item) for item in value]
    kind, size = value.dtype.kind, value.dtype.itemsize
    if kind == "f":
        return float(str(value[()])) if size < 8 else float(value)
    if value.dtype.str.endswith("[ns]"):  # item() would give a number, because Python has no nanoseconds
        found: Any = to_prompt_value(value.astype(f"{kind}8[us]").item())
        if rest := 0 if found is NULL else int(value.astype("int64")) % 1_000:
            setattr(found, "nanosecond" if kind == "M" else "nanoseconds", rest)
        return found
    return to_prompt_value(value.item())


#: The first that fits decides: an enum may also be a text, and a datetime is a date.
_CONVERTERS: tuple[tuple[Any, Callable[[Any], object]], ...] = (
    (Enum, lambda value: to_prompt_value(value.value)),
    (str, str.__str__),
    (Mapping, _mapping),
    (tuple, _tuple),
    (datetime, _datetime),
    (date, lambda value: Date(value.year, value.month, value.day)),
    (time, _time),
    (timedelta, _timedelta),
    (Decimal, Number),
    (bytes | bytearray | memoryview, lambda value: Binary(bytes(value))),
    (int, int),
    (float, float),
    (Set, _sorted),
    (list, _list),
    (Sequence, _sequence),
)
_RESULT_TYPES = PROMPT_TYPES | {list, dict, tuple}
