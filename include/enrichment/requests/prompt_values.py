"""
The types of a row's values in a template. Each value has one text, wherever the template prints it, in every process
and from every source. docs/warehouses.md lists the texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, cast


class UnsupportedValue(Exception):
    """A template prints a value without a text, or reads the clock. The message says what to write instead."""


class NoText:
    """
    A value that a template can use but not print.

    :param why: the kind of value, and what to write instead
    """

    why: str

    def __str__(self) -> str:
        # Not self.why: a namespace has only the attributes that the template sets.
        raise UnsupportedValue(object.__getattribute__(self, "why"))

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)


class Binary(NoText, bytes):
    """Bytes. They can be counted, cut and decoded, but not listed: a list of numbers would be their text."""

    why = "a binary value has no text: decode it in extract.sql or the export"

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return Binary(found) if isinstance(found, bytes) else found

    def __iter__(self) -> Iterator[int]:
        raise UnsupportedValue(self.why)

    __reversed__ = __iter__


class Listing(NoText, list[Any]):
    """
    The result of a filter that generates values (``map``, ``select``, ``unique`` …).

    It must be joined or listed: its text in Jinja would be ``<generator object … at 0x7f…>``.
    """

    def __init__(self, values: Any, source: str) -> None:
        super().__init__(values)
        self.why = (
            f"the result of `{source}` is a series of values, which has no text: add `| join(', ')`, or `| list` for a"
            " list in brackets"
        )


class Null(str):
    """
    A NULL: the empty text in every filter and operator, but ``none`` in the template's tests.

    Comparing it with a number or a date is an error, because only the template's author knows the right order.
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
        return self  # Jinja sorts by it

    def _text(self, other: object) -> str:
        if isinstance(other, str):
            return other
        raise UnsupportedValue(
            f"NULL cannot be compared with {other}: give it a default, as in (column or 0) > 10, or remove it from a"
            " list with | reject('none')"
        )


#: Python names the class of a value that an operator or a function does not accept.
Null.__name__ = "NULL"
NULL = Null()


class _Quoted:
    """A value that is quoted within a list, like a text."""

    def __repr__(self) -> str:
        return repr(str(self))


class _Formatted(_Quoted):
    def strftime(self, format: str) -> str:
        if "%s" in format.replace("%%", ""):
            raise UnsupportedValue("%s of strftime depends on the worker's time zone: write column.timestamp() | int")
        return cast(str, super().strftime(format))  # type: ignore[misc]


class Date(_Formatted, date):
    """``2026-11-01``."""


class Time(_Formatted, time):
    """``08:00:00``."""


class DateTime(_Formatted, datetime):
    """
    ``2026-11-01 08:00:00+00:00``, in UTC if it has a zone. One without a zone counts as UTC.

    :param nanosecond: beyond its microseconds
    """

    nanosecond: int = 0

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        if not self.nanosecond or timespec not in ("auto", "nanoseconds"):
            return super().isoformat(sep, timespec)
        text = super().isoformat(sep, "microseconds")
        end = len("2026-11-01T08:00:00.000000")
        return f"{text[:end]}{self.nanosecond:03}{text[end:]}"

    def timestamp(self) -> float:
        # Python would assume the worker's zone if there is none.
        return datetime.timestamp(self if self.tzinfo else self.replace(tzinfo=UTC))

    def astimezone(self, tz: tzinfo | None = UTC) -> DateTime:
        return datetime.astimezone(self if self.tzinfo else self.replace(tzinfo=UTC), tz or UTC)


class Duration(_Quoted, timedelta):
    """
    ``2 days, 1:30:00``.

    :param nanoseconds: beyond its microseconds
    """

    nanoseconds: int = 0

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text if self.microseconds else text + '.000000'}{self.nanoseconds:03}" if self.nanoseconds else text


class Number(Decimal):
    """``12.50`` with all its places: never ``1E-7``, and no minus before a zero."""

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
    A value of another class, for example a UUID or an IP address: it has the text of ``str()``, as from a source that
    sends it as text, and keeps its attributes.
    """

    __slots__ = ("value",)
    value: object

    def __bool__(self) -> bool:
        return bool(self.value)


class Opaque(NoText):
    """A value without a text, for example an iterator. It keeps its attributes."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.why = f"a value of type {type(value).__name__} has no text: cast it in extract.sql or the export"


#: The types of values that a template gets unchanged.
PROMPT_TYPES = frozenset(
    {str, int, bool, float, Null, Date, Time, DateTime, Duration, Number, Binary, Foreign, Opaque, Listing, range}
)
