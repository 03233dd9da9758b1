"""The warehouse: any database that SQLAlchemy knows, read with a server-side cursor."""

from __future__ import annotations

import re
import reprlib
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from sqlalchemy import CursorResult, Date, Engine, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import DataError, SQLAlchemyError

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.query import Parameter, error_line, parameters, query_problems
from include.gateways.sources.portions import Row, read_portions
from include.gateways.sources.postgres import DRIVERS, OddValue, arrow_type, report_odd_values

#: What a portion may have, in rows.
_ROWS_AT_ONCE = 4_000
#: What is fetched at once. With Postgres' cursors each fetch goes to the server and back, and brings a whole portion.
_ROWS_A_FETCH = 8
#: SQLSTATEs that the same query will meet again: what is not supported, its data, a write, its syntax, a missing name
#: or right.
_FOR_GOOD = ("0A", "22", "25006", "42")
#: What drivers raise where they make Python's values of what was fetched.
_UNCONVERTED = (OddValue, ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


class Warehouse:
    """
    A database behind an Airflow connection called ``name``.

    :param pipeline: whose extract.sql errors name
    """

    def __init__(self, engine: Engine, *, name: str, pipeline: str = "") -> None:
        self._engine = engine
        self._name = name
        self._folder = f"{pipeline}/" if pipeline else ""

    @contextmanager
    def read(
        self, sql: str, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[dict[str, pa.DataType | None], Iterator[Sequence[Row]]]]:
        """
        Run a query for one partition: its columns, and its rows in portions, of which none is empty.

        A column has its Arrow type where the database tells it, else None. A portion has up to 4,000 rows or 4 MB, and
        the first one row: how much comes at once must be said before anybody knows how long the rows are.
        The days ``[:partition_start, :partition_end)`` are bound as dates, never put into the text. Nothing is ever
        committed; Postgres is told, too, to refuse writes and to take the days as UTC's, wherever this runs.

        :param key: the columns by which an error names a row
        :param needed: the columns that are used, which an error tells from the others; None for all

        Raises SpecError for a query with other parameters or none, with a second statement or with two columns of one
        name, WarehouseError for whatever the database refuses and for a value that Python cannot hold.
        """
        dialect = self._engine.dialect
        if problems := query_problems(sql, dialect.name):
            raise SpecError(
                "\n".join([*(f"{self._folder}{problem}" for problem in problems), "Nothing was read or sent."])
            )
        statement = _statement(sql, parameters(sql, dialect.name), partition)
        is_postgres = dialect.name == "postgresql"
        is_known = is_postgres and dialect.driver in DRIVERS
        try:
            with self._engine.connect() as connection:
                if is_postgres:
                    connection.execution_options(postgresql_readonly=True)
                    connection.execute(text("set local time zone 'UTC'"))
                if is_known:
                    report_odd_values(connection.connection.dbapi_connection, dialect.driver)
                with self._conversions(partition, key, needed):  # psycopg2 fetches the first row here
                    result = connection.execution_options(stream_results=True).execute(statement)
                with result:
                    columns = list(result.keys())
                    if twice := sorted({column for column in columns if columns.count(column) > 1}):
                        raise SpecError(
                            f"{self._folder}extract.sql returns two columns of one name: {', '.join(twice)}. Give one"
                            " of them an alias."
                        )
                    types = [arrow_type(column) if is_known else None for column in result.cursor.description]
                    rows_a_fetch = _ROWS_AT_ONCE if isinstance(dialect, PGDialect) else _ROWS_A_FETCH
                    portions = _portions(result, columns, rows_a_fetch=rows_a_fetch)
                    yield dict(zip(columns, types, strict=True)), self._converted(portions, partition, key, needed)
        except SQLAlchemyError as error:
            if _is_mistake(error):
                raise self._mistake(sql, partition, error) from error
            raise WarehouseError(
                f"The warehouse (connection {self._name!r}) could not be read for partition {partition}:"
                f" {type(error).__name__}: {_fact(error)}. Nothing was sent. Check the connection, then run it again.",
                retryable=True,
            ) from error
        finally:
            self._engine.dispose()

    def _mistake(self, sql: str, partition: Partition, error: SQLAlchemyError) -> WarehouseError:
        fact = _fact(error)
        line = error_line(sql, fact, self._engine.dialect.name)
        return WarehouseError(
            f"{self._folder}extract.sql{f':{line}' if line else ''}: {fact} ({type(error).__name__}, connection"
            f" {self._name!r}, partition {partition}). Nothing was sent. Correct the query or the connection, then run"
            " it again."
        )

    def _converted(
        self, portions: Iterator[list[Row]], partition: Partition, key: Sequence[str], needed: Collection[str] | None
    ) -> Iterator[list[Row]]:
        with self._conversions(partition, key, needed):
            yield from portions

    @contextmanager
    def _conversions(self, partition: Partition, key: Sequence[str], needed: Collection[str] | None) -> Iterator[None]:
        """Raises WarehouseError for a value that the driver cannot convert, with column and key if they are known."""
        try:
            yield
        except _UNCONVERTED as error:
            fact = f"{type(error).__name__}: {error}"
            remedy = "Cast the column to text in extract.sql, or leave out such rows"
            if isinstance(error, OddValue):
                keys = ", ".join(f"{name}={error.row[name]}" for name in key if name in error.row)
                fact = f"column {error.column!r} is {reprlib.repr(str(error.row[error.column]))}"
                fact += f" where {keys} ({error})" if keys else f" ({error})"
                if needed is not None and error.column not in needed:
                    remedy = "Leave the column out of extract.sql, as neither a prompt nor the key uses it"
            raise WarehouseError(
                f"The warehouse (connection {self._name!r}) has a value for partition {partition} that Python cannot"
                f" hold: {fact}. Nothing was sent. {remedy}, then run it again."
            ) from error


def _statement(sql: str, found: Sequence[Parameter], partition: Partition) -> TextClause:
    """
    The query with its days bound. SQLAlchemy takes other colons for parameters, too: all of them are escaped, if they
    are not in the query already.
    """
    days = {"partition_start": partition.start, "partition_end": partition.end}
    starts = {parameter.start for parameter in found}
    escaped = re.sub(r"(?<!\\):", lambda colon: ":" if colon.start() in starts else r"\:", sql)
    names = {parameter.name for parameter in found}
    return text(escaped).bindparams(*(bindparam(name, days[name], type_=Date) for name in names))


def _fact(error: SQLAlchemyError) -> str:
    """What the database says, with the place in the query and the hint that some give, but not their drawings."""
    said = str(getattr(error, "orig", None) or error)
    return " ".join(line.strip() for line in said.splitlines() if line.strip(" ^"))[:1_000].rstrip(".")


def _is_mistake(error: SQLAlchemyError) -> bool:
    """Whether it lies in the query or the connection, and so comes again however often it is tried."""
    said = getattr(error, "orig", None)
    state = getattr(said, "sqlstate", None) or getattr(said, "pgcode", None) or ""  # psycopg2 has its own name for it
    if isinstance(said, sqlite3.Error):
        # It has no states. What is busy, locked or cannot be read has names of its own, what Python raises has none. A
        # syntax error in the first query of a connection, which has not read the schema yet, is named after that.
        return getattr(said, "sqlite_errorname", "SQLITE_ERROR") in ("SQLITE_ERROR", "SQLITE_SCHEMA")
    return isinstance(error, DataError) or state.startswith(_FOR_GOOD)


def _portions(
    result: CursorResult[Any], columns: list[str], *, rows_a_fetch: int = _ROWS_A_FETCH
) -> Iterator[list[Row]]:
    def fetch(count: int) -> list[Row]:
        return [dict(zip(columns, row, strict=True)) for row in result.fetchmany(count)]

    return read_portions(fetch, rows_at_once=_ROWS_AT_ONCE, rows_a_fetch=rows_a_fetch)
