"""The warehouse: any database that SQLAlchemy supports, read with a server-side cursor."""

from __future__ import annotations

import re
import reprlib
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from sqlalchemy import CursorResult, Date, Engine, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import DataError, SQLAlchemyError

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.query import Parameter, error_line, parameters, query_problems
from include.gateways.sources.portions import Row, read_portions
from include.gateways.sources.postgres import DRIVERS, OddValue, arrow_type, report_odd_values
from include.gateways.sources.source import Columns

#: The most rows of a portion.
_ROWS_AT_ONCE = 4_000
#: The most rows of a fetch. On Postgres a fetch is a round trip to the server, so it brings a whole portion there.
_ROWS_A_FETCH = 8
#: SQLSTATEs that a retry cannot change: unsupported features, the data, a write, the syntax, a missing name or
#: permission.
_PERMANENT = ("0A", "22", "25006", "42")
#: Errors of drivers that convert fetched values to Python.
_CONVERSION_ERRORS = (OddValue, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


class Warehouse:
    """
    A query of a database behind an Airflow connection called ``name``.

    :param pipeline: whose extract.sql the errors name
    """

    def __init__(self, engine: Engine, sql: str, *, name: str, pipeline: str = "") -> None:
        self._engine = engine
        self._sql = sql
        self._name = name
        self._folder = f"{pipeline}/" if pipeline else ""

    @contextmanager
    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[Columns, Iterator[Sequence[Row]]]]:
        """
        Run the query for one partition. Yields its columns, and its rows in portions, none of them empty.

        A column has its Arrow type if the database provides it, else None. A portion has up to 4,000 rows or 4 MB. The
        first has one row, as the fetch size must be chosen before the length of the rows is known. The days
        ``[:partition_start, :partition_end)`` are bound as dates, never inserted into the text. Nothing is committed.
        On Postgres the transaction is read-only and its time zone is UTC.

        :param key: the columns that identify a row in an error
        :param needed: the columns in use, None for all. The remedy for a bad value in another column is to drop it

        Raises SpecError for wrong or missing parameters, a second statement or two columns with the same name.
        Raises WarehouseError for an error of the database and for a value that Python cannot represent.
        """
        sql, dialect = self._sql, self._engine.dialect
        if problems := query_problems(sql, dialect.name):
            raise SpecError(
                "\n".join([*(f"{self._folder}{problem}" for problem in problems), "Nothing was read or sent."])
            )
        statement = _statement(sql, parameters(sql, dialect.name), partition)
        is_postgres = dialect.name == "postgresql"
        is_known = is_postgres and dialect.driver in DRIVERS
        conversions = partial(self._conversions, partition, key, needed)
        try:
            with self._engine.connect() as connection:
                if is_postgres:
                    connection.execution_options(postgresql_readonly=True)
                    connection.execute(text("set local time zone 'UTC'"))
                if is_known:
                    report_odd_values(connection.connection.dbapi_connection, dialect.driver)
                with conversions():  # psycopg2 fetches the first row here
                    result = connection.execution_options(stream_results=True).execute(statement)
                with result:
                    columns = self._column_names(result)
                    types = [arrow_type(column) if is_known else None for column in result.cursor.description]
                    rows_a_fetch = _ROWS_AT_ONCE if isinstance(dialect, PGDialect) else _ROWS_A_FETCH
                    portions = _portions(result, columns, rows_a_fetch=rows_a_fetch, conversions=conversions)
                    yield dict(zip(columns, types, strict=True)), portions
        except SQLAlchemyError as error:
            if _is_permanent(error):
                raise self._query_error(partition, error) from error
            raise WarehouseError(
                f"The warehouse (connection {self._name!r}) could not be read for partition {partition}:"
                f" {type(error).__name__}: {_fact(error)}. Nothing was sent. Check the connection, then start the run"
                " again.",
                retryable=True,
            ) from error
        finally:
            self._engine.dispose()

    def _column_names(self, result: CursorResult[Any]) -> list[str]:
        columns = list(result.keys())
        if twice := sorted({column for column in columns if columns.count(column) > 1}):
            raise SpecError(
                f"{self._folder}extract.sql returns two columns with the same name: {', '.join(twice)}. Give one of"
                " them an alias. Nothing was sent."
            )
        return columns

    def _query_error(self, partition: Partition, error: SQLAlchemyError) -> WarehouseError:
        fact = _fact(error)
        line = error_line(self._sql, fact, self._engine.dialect.name)
        return WarehouseError(
            f"{self._folder}extract.sql{f':{line}' if line else ''}: {fact} ({type(error).__name__}, connection"
            f" {self._name!r}, partition {partition}). Nothing was sent. Correct the query or the connection, then"
            " start the run again."
        )

    @contextmanager
    def _conversions(self, partition: Partition, key: Sequence[str], needed: Collection[str] | None) -> Iterator[None]:
        """Raise WarehouseError for a value that the driver cannot convert, with column and key if known."""
        try:
            yield
        except _CONVERSION_ERRORS as error:
            fact = f"{type(error).__name__}: {error}"
            remedy = "Cast the column to text in extract.sql or filter out such rows"
            if isinstance(error, OddValue):
                keys = ", ".join(f"{name}={error.row[name]}" for name in key if name in error.row)
                fact = f"column {error.column!r} is {reprlib.repr(str(error.row[error.column]))}"
                fact += f" where {keys} ({error})" if keys else f" ({error})"
                if needed is not None and error.column not in needed:
                    remedy = "Remove the column from extract.sql: neither a prompt nor the key uses it"
            raise WarehouseError(
                f"The warehouse (connection {self._name!r}) has a value for partition {partition} that Python cannot"
                f" represent: {fact}. Nothing was sent. {remedy}, then start the run again."
            ) from error


def _statement(sql: str, found: Sequence[Parameter], partition: Partition) -> TextClause:
    """Return the query with its days bound. All other colons are escaped: SQLAlchemy would read them as parameters."""
    days = {"partition_start": partition.start, "partition_end": partition.end}
    starts = {parameter.start for parameter in found}
    escaped = re.sub(r"(?<!\\):", lambda colon: ":" if colon.start() in starts else r"\:", sql)
    names = {parameter.name for parameter in found}
    return text(escaped).bindparams(*(bindparam(name, days[name], type_=Date) for name in names))


def _fact(error: SQLAlchemyError) -> str:
    """Return the database's message with its position and hint, but without the lines that only point at a column."""
    message = str(getattr(error, "orig", None) or error)
    return " ".join(line.strip() for line in message.splitlines() if line.strip(" ^"))[:1_000].rstrip(".")


def _is_permanent(error: SQLAlchemyError) -> bool:
    """Return whether the error is in the query or the connection, so that a retry cannot help."""
    cause = getattr(error, "orig", None)
    state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or ""  # pgcode: psycopg2
    if isinstance(cause, sqlite3.Error):
        # SQLite has no states. Busy, locked and unreadable databases have their own error names, and errors raised by
        # Python have none. A syntax error in a connection's first query is SQLITE_SCHEMA.
        return getattr(cause, "sqlite_errorname", "SQLITE_ERROR") in ("SQLITE_ERROR", "SQLITE_SCHEMA")
    return isinstance(error, DataError) or state.startswith(_PERMANENT)


def _portions(
    result: CursorResult[Any],
    columns: list[str],
    *,
    rows_a_fetch: int,
    conversions: Callable[[], AbstractContextManager[None]],
) -> Iterator[list[Row]]:
    def fetch(count: int) -> list[Row]:
        with conversions():
            return [dict(zip(columns, row, strict=True)) for row in result.fetchmany(count)]

    return read_portions(fetch, rows_at_once=_ROWS_AT_ONCE, rows_a_fetch=rows_a_fetch)
