"""psycopg 3: report a value that Python cannot represent with its row."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader, Transformer
from psycopg.pq import Format

from include.gateways.sources.postgres import OddValue


def report_odd_values(connection: psycopg.Connection[Any]) -> None:
    """Make the connection's server-side cursors raise OddValue."""
    connection.server_cursor_factory = _Cursor
    connection.adapters.register_loader("interval", _Interval)


class _Interval(Loader):
    """A loader that rejects ``infinity``, which the default one turns into zero."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        default = psycopg.adapters.get_loader(oid, Format.TEXT)
        assert default is not None
        self._load = default(oid, context).load

    def load(self, data: Buffer) -> Any:
        if b"infinity" in bytes(data):
            raise ValueError("Python has no infinity for this type")
        return self._load(data)


class _Cursor(psycopg.ServerCursor[Any]):
    def fetchmany(self, size: int = 0) -> list[Any]:
        try:
            return super().fetchmany(size)
        except Exception as error:
            # An error of the server has a state, and one of the connection is an OperationalError.
            if isinstance(error, psycopg.OperationalError) or getattr(error, "sqlstate", None):
                raise
            self._find_odd_value()
            raise

    def _find_odd_value(self) -> None:
        """Convert the fetched rows again, value by value. Raises OddValue for the first that fails."""
        result = self.pgresult
        if result is None:
            return
        adapted = Transformer(self)
        loaders = [
            adapted.get_loader(result.ftype(column), Format(result.fformat(column))) for column in range(result.nfields)
        ]
        names = [column.name for column in self.description or ()]
        for number in range(result.ntuples):
            row = [result.get_value(number, column) for column in range(result.nfields)]
            for name, value, loader in zip(names, row, loaders, strict=True):
                try:
                    _ = value is not None and loader.load(value)
                except Exception as error:
                    texts = [value and bytes(value).decode(errors="replace") for value in row]
                    raise OddValue(name, dict(zip(names, texts, strict=True)), str(error)) from error
