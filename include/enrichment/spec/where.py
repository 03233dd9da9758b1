"""
``source.where``: a boolean SQL expression over the columns of one row, evaluated by DuckDB in memory.

Every task imports this module and few pipelines have a condition, so DuckDB is imported inside the functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from include.enrichment.errors import SpecError, WarehouseError, nearest, sentence
from include.enrichment.requests.row_expression import columns_in, connect, describe_error, type_of, unknown_columns

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, kw_only=True)
class Where:
    """
    The expression of a checked pipeline.

    :param location: the file, line and setting, for errors
    """

    text: str
    location: str

    def columns(self, available: Sequence[str]) -> list[str]:
        """Return the columns it reads, of those available. Upper and lower case are the same, as in DuckDB."""
        return columns_in(self.text, available)

    def unknown_columns(self, available: Sequence[str]) -> list[str]:
        """Return the names in it that are neither a column, of those available, nor the parameter of a lambda."""
        return unknown_columns(self.text, available)

    @contextmanager
    def open(self, schema: pa.Schema) -> Iterator[RowFilter]:
        """
        Check the expression against the source's columns, and return the filter of its rows.

        Raises SpecError for an unknown column, for two columns whose names differ only in case, for a type that DuckDB
        does not have, for an aggregate, and for an expression that is not boolean.
        """
        used = self.columns(schema.names)
        if unknown := self.unknown_columns(schema.names):
            facts = "; ".join(f"the source has no column {name!r}{nearest(name, schema.names)}" for name in unknown)
            raise self._error(f"{sentence(facts)} It has: {', '.join(schema.names)}")
        if len({name.casefold() for name in used}) < len(used):
            raise self._error(f"DuckDB cannot tell the columns {', '.join(used)} apart, whose names differ in case")
        try:
            kind = type_of(self.text, pa.schema([schema.field(name) for name in used]))
        except ValueError as error:
            raise self._error(str(error)) from error
        if kind != "BOOLEAN":
            raise self._error(f"is {kind}, not a boolean expression: write a comparison")
        with closing(connect()) as database:
            yield RowFilter(self, database, used)

    def _error(self, fact: str) -> SpecError:
        return SpecError(f"{self.location}: {fact}. Nothing was sent.")


class RowFilter:
    """
    Selects rows. Only the expression is SQL: the values of the rows are data.

    :param columns: the columns that the expression reads
    """

    def __init__(self, where: Where, database: duckdb.DuckDBPyConnection, columns: list[str]) -> None:
        self._where = where
        self._database = database
        self.columns = columns

    def select(self, batch: pa.RecordBatch, origin: str) -> pa.RecordBatch:
        """
        Return the rows for which the expression is true, unchanged and in order. NULL is not true.

        :param origin: where the rows come from, for errors

        Raises WarehouseError for a value that the expression cannot be evaluated with, for example in a cast.
        """
        import duckdb

        used = pa.Table.from_batches([batch.select(self.columns)])
        if not self.columns:  # a constant: DuckDB needs a column to know the number of rows
            used = pa.table({"": pa.nulls(batch.num_rows, pa.bool_())})
        try:
            chosen = self._database.from_arrow(used).project(f"(\n{self._where.text}\n) is true").to_arrow_table()
        except duckdb.Error as error:
            raise WarehouseError(
                f"{self._where.location}: cannot be evaluated for a row of {origin}: {describe_error(error)}."
                " Nothing was sent. Write the expression for all values, for example with try_cast, or correct the"
                " rows."
            ) from error
        return batch.filter(chosen.column(0).combine_chunks())
