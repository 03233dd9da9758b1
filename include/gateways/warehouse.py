"""The warehouse: any database that SQLAlchemy knows, read with a server-side cursor."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import CursorResult, Date, Engine, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.partition import Partition

#: What the cursor may bring at once, in rows and in memory.
_ROWS_AT_ONCE = 4_000
_BYTES_AT_ONCE = 4_000_000
_GROWTH = 4
#: SQLSTATEs that the same query will meet again: what is not supported, its data, a write, its syntax, a missing name
#: or right.
_FOR_GOOD = ("0A", "22", "25006", "42")

Row = dict[str, Any]


class Warehouse:
    """A database behind an Airflow connection called ``name``."""

    def __init__(self, engine: Engine, *, name: str) -> None:
        self._engine = engine
        self._name = name

    @contextmanager
    def read(self, sql: str, partition: Partition) -> Iterator[tuple[dict[str, Any], Iterator[Sequence[Row]]]]:
        """
        Run a query for one partition: its column names, and its rows in portions, of which none is empty.

        The first is of one row. From then on they grow as far as 4,000 rows, or 4 MB by the rows of the portion before:
        how much comes at once must be said before anybody knows how long the rows are.
        The days ``[:partition_start, :partition_end)`` are bound as dates, never put into the text. Nothing is ever
        committed; Postgres is told, too, to refuse writes and to take the days as UTC's, wherever this runs.
        Raises SpecError for a query with other parameters or with two columns of one name, WarehouseError for whatever
        the database refuses.
        """
        known = {"partition_start": partition.start, "partition_end": partition.end}
        statement = text(sql)
        used = list(statement.compile().params)
        if unknown := [name for name in used if name not in known]:
            raise SpecError(
                f"extract.sql uses the parameter(s) {', '.join(f':{name}' for name in unknown)}; there are"
                " :partition_start and :partition_end."
            )
        statement = statement.bindparams(*(bindparam(name, known[name], type_=Date) for name in used))
        try:
            with self._engine.connect() as connection:
                if self._engine.dialect.name == "postgresql":
                    connection.execution_options(postgresql_readonly=True)
                    connection.execute(text("set local time zone 'UTC'"))
                with connection.execution_options(stream_results=True).execute(statement) as result:
                    columns = list(result.keys())
                    if twice := sorted({column for column in columns if columns.count(column) > 1}):
                        raise SpecError(
                            f"extract.sql returns two columns of one name: {', '.join(twice)}. Give one of them an"
                            " alias."
                        )
                    yield dict.fromkeys(columns), _portions(result, columns)
        except SQLAlchemyError as error:
            raise WarehouseError(
                f"The warehouse (connection {self._name!r}) could not be read for partition {partition}:"
                f" {type(error).__name__}: {_fact(error)}. Nothing was sent. Mend the connection or extract.sql and"
                " clear this task.",
                retryable=not _is_mistake(error),
            ) from error
        finally:
            self._engine.dispose()


def _fact(error: SQLAlchemyError) -> str:
    """What the database says, with the place in the query and the hint that some give, but not their drawings."""
    said = str(getattr(error, "orig", None) or error)
    return " ".join(line.strip() for line in said.splitlines() if line.strip(" ^"))[:1_000].rstrip(".")


def _is_mistake(error: SQLAlchemyError) -> bool:
    """Whether it lies in the query or the connection, and so comes again however often it is tried."""
    said = getattr(error, "orig", None)
    state = getattr(said, "sqlstate", None) or getattr(said, "pgcode", None) or ""  # psycopg2 has its own name for it
    # SQLite has no states. What is busy, locked or cannot be read has names of its own there.
    return state.startswith(_FOR_GOOD) or getattr(said, "sqlite_errorname", None) == "SQLITE_ERROR"


def _portions(result: CursorResult[Any], columns: list[str]) -> Iterator[list[Row]]:
    count = 1
    while rows := result.fetchmany(count):
        bytes_a_row = sum(sys.getsizeof(value) for row in rows for value in row) / len(rows)
        count = max(1, min(count * _GROWTH, _ROWS_AT_ONCE, int(_BYTES_AT_ONCE / bytes_a_row)))
        portion = [dict(zip(columns, row, strict=True)) for row in rows]
        del rows
        yield portion
