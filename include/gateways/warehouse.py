"""The warehouse: any database that SQLAlchemy knows, read with a server-side cursor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Date, Engine, bindparam, text
from sqlalchemy.exc import SQLAlchemyError

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.partition import Partition

#: Rows the cursor brings at once, and so the most that are held in memory.
_ROWS_AT_ONCE = 1_000

Row = dict[str, Any]


class Warehouse:
    """A database behind an Airflow connection called ``name``."""

    def __init__(self, engine: Engine, *, name: str) -> None:
        self._engine = engine
        self._name = name

    @contextmanager
    def read(self, sql: str, partition: Partition) -> Iterator[tuple[list[str], Iterator[Sequence[Row]]]]:
        """
        Run a query for one partition: its column names, and its rows in portions of at most 1,000.

        The days ``[:partition_start, :partition_end)`` are bound as dates, never put into the text.
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
                result = connection.execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE).execute(statement)
                columns = list(result.keys())
                if twice := sorted({column for column in columns if columns.count(column) > 1}):
                    raise SpecError(
                        f"extract.sql returns two columns of one name: {', '.join(twice)}. Give one of them an alias."
                    )
                portions = result.partitions(_ROWS_AT_ONCE)
                yield (
                    columns,
                    ([dict(zip(columns, row, strict=True)) for row in portion] for portion in portions),
                )
        except SQLAlchemyError as error:
            raise WarehouseError(
                f"The warehouse (connection {self._name!r}) could not be read for partition {partition}:"
                f" {type(error).__name__}:"
                f" {str(error).splitlines()[0]} Nothing was sent. Mend the connection or extract.sql and clear this"
                " task.",
                retryable=True,
            ) from error
        finally:
            self._engine.dispose()
