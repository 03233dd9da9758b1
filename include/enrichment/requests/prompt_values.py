"""
A row's values as a template has them: each has one text, wherever the template makes a text of it, in every process and
from every source. docs/warehouses.md says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, Sequence, Set, ValuesView
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, cast

import pyarrow as pa
from jinja2 import Undefined

from include.enrichment.requests.float32 import with_float32_as

#: How Python writes where in memory an object lies: another place in every process.
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}", re.IGNORECASE)


class UnsupportedValue(Exception):
    """A template makes a text of what has none, or asks for the clock. The message says what to write instead."""


class NoText:
    """
    A value that a template can use, but not make a text of.

    :param why: what it is, and what to write instead
    """

    why: str

    def __str__(self) -> str:
        raise UnsupportedValue(
            object.__getattribute__(self, "why")
        )  # a namespace has only what the template puts into it

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)


class Binary(NoText, bytes):
    """Bytes. They can be counted, cut and decoded, but not listed: that would be their text in numbers."""

    why = "a binary value has no text: decode it in extract.sql or the export"

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return Binary(found) if isinstance(found, bytes) else found

    def __iter__(self) -> Iterator[int]:
        raise UnsupportedValue(self.why)

    __reversed__ = __iter__


class Listing(NoText, list[Any]):
    """
    What a filter gives that only walks through values (``map``, ``select``, ``unique`` …).

    As in Jinja, it is there to be joined: its text in Jinja is ``<generator object … at 0x7f…>``.
    """

    def __init__(self, values: Any, source: str) -> None:
        super().__init__(values)
        self.why = (
            f"what `{source}` gives is several values and has no text of its own: add `| join(', ')`, or `| list` for a"
            " list in brackets"
        )


class Null(str):
    """
    A NULL: the empty text in every filter and operator, and still ``none`` to the template's tests.

    To say whether it is more or less than a number or a date is left to the template's author.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other is None or str.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __lt__(self, other: object) -> bool:
        return self._text(other) > ""

    def __le__(self, other: object) -> bool:
        return self._text(other) >= ""

    def __gt__(self, other: object) -> bool:
        return self._text(other) < ""

    def __ge__(self, other: object) -> bool:
        return self._text(other) <= ""

    def lower(self) -> Null:
        return self  # what Jinja sorts by

    def _text(self, other: object) -> str:
        if isinstance(other, str):
            return other
        raise UnsupportedValue(
            f"NULL is neither more nor less than {other}: say what counts for it, as in (column or 0) > 10, or leave it"
            " out of a list with | reject('none')"
        )


#: Python names a value's class where an operator or a function does not take it.
Null.__name__ = "NULL"
NULL = Null()


class _Quoted:
    """Stands in quotes within a list, as a text does."""

    def __repr__(self) -> str:
        return repr(str(self))


class _Formatted(_Quoted):
    def strftime(self, format: str) -> str:
        if "%s" in format.replace("%%", ""):
            raise UnsupportedValue("%s of strftime goes by the worker's time zone: write column.timestamp() | int")
        return cast(str, super().strftime(format))  # type: ignore[misc]


class Date(_Formatted, date):
    """``2026-11-01``."""


class Time(_Formatted, time):
    """``08:00:00``."""


class DateTime(_Formatted, datetime):
    """
    ``2026-11-01 08:00:00+00:00``; one with a zone is in UTC, and one without is taken as UTC's.

    :param nanosecond: what it has beyond microseconds
    """

    nanosecond: int = 0

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        if not self.nanosecond or timespec not in ("auto", "nanoseconds"):
            return super().isoformat(sep, timespec)
        text = super().isoformat(sep, "microseconds")
        end = len("2026-11-01T08:00:00.000000")
        return f"{text[:end]}{self.nanosecond:03}{text[end:]}"

    def timestamp(self) -> float:
        # Python takes one without a zone as the worker's.
        return datetime.timestamp(self if self.tzinfo else self.replace(tzinfo=UTC))

    def astimezone(self, tz: tzinfo | None = UTC) -> DateTime:
        return datetime.astimezone(self if self.tzinfo else self.replace(tzinfo=UTC), tz or UTC)


class Duration(_Quoted, timedelta):
    """
    ``2 days, 1:30:00``.

    :param nanoseconds: what it has beyond microseconds
    """

    nanoseconds: int = 0

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text if self.microseconds else text + '.000000'}{self.nanoseconds:03}" if self.nanoseconds else text


class Number(Decimal):
    """``12.50``, all its places: never ``1E-7``, and no minus before a zero."""

    def __str__(self) -> str:
        if self.is_nan():
            return "NaN"
        return Decimal.__format__(self if self else self.copy_abs(), "f")

    __repr__ = __str__

    def __format__(self, spec: str, /, *arguments: Any) -> str:
        if not spec:
            return str(self)
        plain_places = "." not in spec and not spec[-1].isalpha() and spec[-1] != "%"
        return super().__format__(spec + "f" if plain_places else spec, *arguments)


class Foreign(str):
    """
    A value of a class that is known to none of the above, a UUID or an IP address: its text is ``str()``'s, as where a
    source gives it as text, and its attributes are its own.
    """

    __slots__ = ("value",)
    value: object

    def __bool__(self) -> bool:
        return bool(self.value)


class Opaque(NoText):
    """A value that has no text, an iterator for one: its attributes are its own."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.why = (
            f"a value of type {type(value).__name__} has no text of its own: cast it in extract.sql or the export"
        )


def to_prompt_value(value: object) -> object:
    """``value`` as a template may have it, at any depth."""
    kind = type(value)
    if kind in AS_IT_IS:
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
    if repr(value) == "<NA>":  # pandas'
        return NULL
    return _foreign(value)


def settled(value: object, source: str) -> object:
    """
    What an expression gave, as the template may go on with it: the parts of a list or mapping are settled already.

    :param source: what gave it, for people
    """
    if type(value) in _SETTLED or isinstance(value, str | tuple | NoText | Undefined):
        return value
    if isinstance(value, Iterator | ItemsView | KeysView | ValuesView):
        return Listing(value, source)
    return value if type(value).__module__.startswith("jinja2.") else to_prompt_value(value)


def unwrap_value(value: object) -> Any:
    """What attributes and methods are asked of."""
    return value.value if isinstance(value, Foreign | Opaque) else value


def _foreign(value: Any) -> Foreign | Opaque:
    text = _spell_range(value) if _is_range(value) else str(value)
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
            raise UnsupportedValue(f"{value} is not a time in the years 1 to 9999 UTC: cast it to text") from error
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
    return [item if type(item) in AS_IT_IS else to_prompt_value(item) for item in value]


def _mapping(value: Any) -> dict[object, object]:
    return {
        key if type(key) is str else to_prompt_value(key): item if type(item) in AS_IT_IS else to_prompt_value(item)
        for key, item in value.items()
    }


def _tuple(value: tuple[object, ...]) -> tuple[object, ...]:
    items = tuple(map(to_prompt_value, value))
    make: Callable[[tuple[object, ...]], tuple[object, ...]] | None = getattr(value, "_make", None)
    return make(items) if make else items


def _sorted(value: Set[object]) -> list[object]:
    # First by what they look like: where two are neither more nor less, their order in the set would stay.
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


def _spell_range(value: Any) -> str:
    """A range of Postgres as both of its drivers spell it; where it has no end there is nothing."""
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
    if value.dtype.str.endswith("[ns]"):  # Python has no nanoseconds: they would become a number
        found: Any = to_prompt_value(value.astype(f"{kind}8[us]").item())
        if rest := 0 if found is NULL else int(value.astype("int64")) % 1_000:
            setattr(found, "nanosecond" if kind == "M" else "nanoseconds", rest)
        return found
    return to_prompt_value(value.item())


#: By the first that fits: an enum may be a text too, and a datetime is a date.
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
AS_IT_IS = frozenset(
    {str, int, bool, float, Null, Date, Time, DateTime, Duration, Number, Binary, Foreign, Opaque, Listing, range}
)
_SETTLED = AS_IT_IS | {list, dict, tuple}
