"""
``source.where``: a boolean SQL expression over the columns of one row. DuckDB parses and evaluates it in memory.

Every task imports this module and few pipelines have a condition, so DuckDB is imported inside the functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from include.enrichment.errors import SpecError, WarehouseError, nearest

if TYPE_CHECKING:
    import duckdb

#: DuckDB's memory. A batch that is filtered has a few megabytes.
_MEMORY = "256MB"
#: What makes an expression read more than its row, by the class of its node in DuckDB's syntax tree.
_FOREIGN = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
}


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
        with _open() as database:
            folded = {name.casefold() for name in _names(_parse(database, self.text))}
        return [name for name in available if name.casefold() in folded]

    def unknown_columns(self, available: Sequence[str]) -> list[str]:
        """Return the names in it that are neither a column, of those available, nor the parameter of a lambda."""
        with _open() as database:
            tree = _parse(database, self.text)
        lambdas = [node["lhs"] for node in _nodes(tree) if node.get("class") == "LAMBDA"]
        known = {name.casefold() for name in (*available, *_names(lambdas))}
        return sorted({name for name in _names(tree) if name.casefold() not in known})

    @contextmanager
    def open(self, schema: pa.Schema) -> Iterator[RowFilter]:
        """
        Check the expression against the source's columns, and return the filter of its rows.

        Raises SpecError for an unknown column, for two columns whose names differ only in case, for a type that DuckDB
        does not have, for an aggregate, and for an expression that is not boolean.
        """
        import duckdb

        used = self.columns(schema.names)
        if unknown := self.unknown_columns(schema.names):
            facts = "; ".join(f"the source has no column {name!r}{nearest(name, schema.names)}" for name in unknown)
            raise self._error(f"{facts}. It has: {', '.join(schema.names)}")
        with _open() as database:
            if len({name.casefold() for name in used}) < len(used):
                raise self._error(f"DuckDB cannot tell the columns {', '.join(used)} apart, whose names differ in case")
            empty = pa.schema([schema.field(name) for name in used] or [("", pa.bool_())]).empty_table()
            try:
                database.register("source", empty)
                described = database.execute(f"describe select (\n{self.text}\n) from source").fetchall()
                # DuckDB rejects aggregates here alone.
                database.execute(f"select 1 from source where (\n{self.text}\n)").fetchall()
            except duckdb.Error as error:
                raise self._error(_fact(error)) from error
            if (kind := described[0][1]) != "BOOLEAN":
                raise self._error(f"is {kind}, not a boolean expression: write a comparison")
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
                f"{self._where.location}: cannot be evaluated for a row of {origin}: {_fact(error)}. Nothing was sent."
                " Write the expression for all values, for example with try_cast, or correct the rows."
            ) from error
        return batch.filter(chosen.column(0).combine_chunks())


def where_problems(text: str) -> Iterator[tuple[int, str]]:
    """Yield why the text is not one expression over a row, each fact with its line in the text. Needs no columns."""
    with _open() as database:
        # Alone it must be a select list, and in parentheses one value: nothing but an expression is both.
        for begin, end in (("", ""), ("(\n", "\n)")):
            found = _serialize(database, f"select {begin}{text}{end}")
            if found["error"]:
                yield _error_line(found, text, f"select {begin}"), f"is not an SQL expression: {found['error_message']}"
                return
        items = _parse(database, text)
        if len(items) != 1:
            yield 1, f"must be one SQL expression, not {len(items)}: combine them with `and`"
        changing = _changing_functions(database)
        for node in _nodes(items):
            line = _line_at(text, node.get("query_location", 0) - len("select "))
            if foreign := _FOREIGN.get(node.get("class", "")):
                yield line, f"must be an expression over the columns of one row, without {foreign}"
            if (name := node.get("function_name", "").casefold()) in changing:
                yield line, f"must select the same rows in every run, but {name}() changes"


def _open() -> closing[duckdb.DuckDBPyConnection]:
    """An empty database without access to files."""
    import duckdb

    database = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": _MEMORY,
            "threads": 1,
            "temp_directory": "",
            "enable_external_file_cache": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        },
    )
    for setting in ("TimeZone = 'UTC'", "enable_external_access = false", "lock_configuration = true"):
        database.execute(f"set {setting}").fetchall()
    return closing(database)


def _serialize(database: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """Return the syntax tree of a query, or its syntax error."""
    (row,) = database.execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()
    return json.loads(row[0])


def _parse(database: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    """Return the syntax tree of the expression."""
    items: list[Any] = _serialize(database, f"select {text}")["statements"][0]["node"]["select_list"]
    return items


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a syntax tree at any depth, in the order of the text."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left += reversed(part.values())
        elif isinstance(part, list):
            left += reversed(part)


def _names(tree: Any) -> Iterator[str]:
    """Yield the names in a syntax tree that may be columns."""
    return (node["column_names"][0] for node in _nodes(tree) if node.get("class") == "COLUMN_REF")


def _changing_functions(database: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the functions that tell the time, draw a random number or depend on a setting."""
    sql = "select function_name from duckdb_functions() where stability <> 'CONSISTENT' and function_name <> 'error'"
    return {name for (name,) in database.execute(sql).fetchall()}


def _error_line(found: Any, text: str, before: str) -> int:
    position = found.get("position")
    return _line_at(text, int(position) - len(before)) if position else 1


def _line_at(text: str, position: int) -> int:
    """Return the line of a byte of the text."""
    return text.encode()[: max(position, 0)].count(b"\n") + 1


def _fact(error: duckdb.Error) -> str:
    """Return DuckDB's message without its name for the error and the lines that only point at a column."""
    message = re.sub(r"^[A-Z][\w ]* Error: ", "", str(error)).partition("\nLINE ")[0]
    return " ".join(message.split()).rstrip(".!?")
