"""
Postgres through either driver: its types as Arrow's, and its values that Python cannot represent.

A driver is imported only if a connection uses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

#: By the OID of the type. A ``numeric`` has its own precision and scale; other types have no Arrow type here.
_ARROW_TYPES = {
    16: pa.bool_(),
    17: pa.binary(),
    18: pa.string(),  # "char"
    19: pa.string(),  # name
    20: pa.int64(),
    21: pa.int64(),
    23: pa.int64(),
    25: pa.string(),
    26: pa.int64(),  # oid
    700: pa.float32(),
    701: pa.float64(),
    1042: pa.string(),  # char(n)
    1043: pa.string(),
    1082: pa.date32(),
    1083: pa.time64("us"),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", "UTC"),
    2950: pa.string(),  # uuid
}
_NUMERIC = 1700
#: The supported drivers, by SQLAlchemy's name.
DRIVERS = ("psycopg", "psycopg2")


class OddValue(Exception):
    """
    A value that Python cannot represent.

    :param column: the name of its column
    :param row: its row by column, with values for a message only
    """

    def __init__(self, column: str, row: Mapping[str, object], reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.row = row


def arrow_type(column: Any) -> pa.DataType | None:
    """Return the type of a column of a cursor's description, None if the description does not determine it."""
    if column.type_code != _NUMERIC:
        return _ARROW_TYPES.get(column.type_code)
    precision, scale = column.precision or 0, column.scale or 0
    if 0 <= scale <= precision <= 38 and precision:
        return pa.decimal128(precision, scale)
    return None


def report_odd_values(connection: Any, driver: str) -> None:
    """
    Make a connection of one of DRIVERS raise OddValue for a value that Python cannot represent.

    By default psycopg2 turns ``infinity`` into 9999-12-31, and neither driver names the column of a value.
    """
    if driver == "psycopg2":
        from include.gateways.sources.postgres_psycopg2 import report_odd_values
    else:
        from include.gateways.sources.postgres_psycopg import report_odd_values
    report_odd_values(connection)
