"""psycopg2: report a value that Python cannot represent with its row, ``infinity`` included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psycopg2 import extensions

from include.gateways.sources.postgres import OddValue

#: Types that psycopg2 reads without loss: bool, bytea, texts, integers, floats, numeric, and their arrays.
_LOSSLESS = {
    *(16, 17, 18, 19, 20, 21, 23, 25, 26, 700, 701, 1042, 1043, 1700),
    *(1000, 1001, 1002, 1003, 1005, 1007, 1009, 1014, 1015, 1016, 1021, 1022, 1028, 1231),
}
_DATES = (1082, 1114, 1115, 1182, 1184, 1185, 3908, 3909, 3910, 3911, 3912, 3913)
_INTERVALS = (1186, 1187)
_TIMES = (1083, 1183, 1266, 1270)
#: Texts that psycopg2 turns into 9999-12-31, zero and 00:00, alone or in an array or a range.
_MISREAD = dict.fromkeys(_DATES + _INTERVALS, "infinity") | dict.fromkeys(_TIMES, "24:00:00")


class _Odd(str):
    """The text of a value that Python cannot represent. It stays in the row until the cursor finds it."""


_Cast = Callable[[str | None, "_Cursor"], Any]


class _Cursor(extensions.cursor):  # type: ignore[misc]  # psycopg2 ships no types
    #: Why the first odd value cannot be represented, None without one.
    reason: str | None = None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = super().fetchmany(size)
        if self.reason is not None:
            names = [column.name for column in self.description]
            for row in (dict(zip(names, row, strict=True)) for row in rows):
                for name, value in row.items():
                    if isinstance(value, _Odd):
                        raise OddValue(name, row, self.reason)
        return rows


def report_odd_values(connection: Any) -> None:
    """Make the connection's cursors raise OddValue."""
    connection.cursor_factory = _Cursor
    for oid, caster in {**extensions.string_types, **connection.string_types}.items():
        if oid not in _LOSSLESS:
            cast = _reporting(caster, misread=_MISREAD.get(oid))
            extensions.register_type(extensions.new_type((oid,), caster.name, cast), connection)


def _reporting(caster: _Cast, *, misread: str | None) -> _Cast:
    def cast(text: str | None, cursor: _Cursor) -> Any:
        try:
            if text is not None and misread is not None and misread in text:
                raise ValueError(f"Python has no {misread} for this type")
            value = caster(text, cursor)
        except Exception as error:
            cursor.reason = str(error)
        # The bounds of a range are cast separately, within its own cast.
        return value if cursor.reason is None else _Odd(text)

    return cast
