"""
An SQL expression over one row, or over a row and its answer: what DuckDB accepts as one, and where it runs.

Every task imports this module and few pipelines have an expression, so DuckDB is imported inside the functions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    import duckdb

#: DuckDB's memory. A batch that is filtered has a few megabytes.
_MEMORY = "256MB"
#: A task asks several times about the one or two expressions of its pipeline. An answer takes a database of its own,
#: which is longer to open than to ask, so the last ones are kept.
_MOST_KEPT = 100
#: What makes an expression read more than its row, by the class of its node in DuckDB's syntax tree.
_FOREIGN = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column's number",
}


@lru_cache(_MOST_KEPT)
def expression_problems(text: str) -> Sequence[tuple[int, str]]:
    """Return why the text is not one expression over a row, each fact with its line in the text. Needs no columns."""
    return tuple(_find_problems(text))


def _find_problems(text: str) -> Iterator[tuple[int, str]]:
    with closing(connect()) as database:
        # Alone it must be a select list, and in parentheses one value: nothing but an expression is both.
        for begin, end in (("", ""), ("(\n", "\n)")):
            found = _serialize(database, f"select {begin}{text}{end}")
            if found["error"]:
                yield _error_line(found, text, f"select {begin}"), f"is not an SQL expression: {found['error_message']}"
                return
        items = parse(database, text)
        if len(items) != 1:
            yield 1, f"must be one SQL expression, not {len(items)}: combine them with `and`"
        changing = _changing_functions()
        for node in nodes(items):
            line = _line_at(text, node.get("query_location", 0) - len("select "))
            if foreign := _FOREIGN.get(node.get("class", "")):
                yield line, f"must be an expression over the columns of one row, without {foreign}"
            name = node.get("function_name", "").casefold()
            # Of one time alone, age() is counted from today.
            if name in changing or (name == "age" and len(node["arguments"]) == 1):
                yield line, f"must give the same result in every run, but {name}() changes"


def connect() -> duckdb.DuckDBPyConnection:
    """Open an empty database in memory that reads and writes no files, loads nothing and takes times in UTC."""
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
    return database


def _serialize(database: duckdb.DuckDBPyConnection, sql: str) -> Any:
    """Return the syntax tree of a query, or its syntax error."""
    (row,) = database.execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()
    return json.loads(row[0])


def parse(database: duckdb.DuckDBPyConnection, text: str) -> list[Any]:
    """Return the syntax tree of the expression."""
    items: list[Any] = _serialize(database, f"select {text}")["statements"][0]["node"]["select_list"]
    return items


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a syntax tree at any depth, in the order of the text."""
    left = [tree]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            yield part
            left += reversed(part.values())
        elif isinstance(part, list):
            left += reversed(part)


def columns_in(text: str, available: Collection[str]) -> list[str]:
    """
    Return the columns that an expression reads, of those available. Upper and lower case are the same, as in DuckDB.
    """
    folded = {name.casefold() for name in _names(_tree(text))}
    return [name for name in available if name.casefold() in folded]


def unknown_columns(text: str, available: Collection[str]) -> list[str]:
    """Return the names in an expression that are neither an available column nor the parameter of a lambda."""
    tree = _tree(text)
    lambdas = [node["lhs"] for node in nodes(tree) if node.get("class") == "LAMBDA"]
    known = {name.casefold() for name in (*available, *_names(lambdas))}
    return sorted({name for name in _names(tree) if name.casefold() not in known})


@lru_cache(_MOST_KEPT)
def _tree(text: str) -> list[Any]:
    with closing(connect()) as database:
        return parse(database, text)


@lru_cache(_MOST_KEPT)
def type_of(text: str, columns: pa.Schema) -> str:
    """
    Return DuckDB's type of an expression over these columns.

    Raises ValueError for a type that DuckDB does not have, an unknown function, or an aggregate.
    """
    import duckdb

    with closing(connect()) as database:
        try:
            database.register("source", (columns if len(columns) else pa.schema([("", pa.bool_())])).empty_table())
            described = database.execute(f"describe select (\n{text}\n) from source").fetchall()
            # DuckDB rejects aggregates here alone.
            database.execute(f"select 1 from source where (\n{text}\n) is null").fetchall()
        except duckdb.Error as error:
            raise ValueError(describe_error(error)) from error
    return str(described[0][1])


def _names(tree: Any) -> Iterator[str]:
    """Yield the names in a syntax tree that may be columns."""
    return (node["column_names"][0] for node in nodes(tree) if node.get("class") == "COLUMN_REF")


@cache
def _changing_functions() -> set[str]:
    """Return the functions that tell the time, draw a random number or depend on a setting."""
    sql = "select function_name from duckdb_functions() where stability <> 'CONSISTENT' and function_name <> 'error'"
    with closing(connect()) as database:
        return {name for (name,) in database.execute(sql).fetchall()}


def _error_line(found: Any, text: str, before: str) -> int:
    position = found.get("position")
    return _line_at(text, int(position) - len(before)) if position else 1


def _line_at(text: str, position: int) -> int:
    """Return the line of a byte of the text."""
    return text.encode()[: max(position, 0)].count(b"\n") + 1


def describe_error(error: duckdb.Error) -> str:
    """Return DuckDB's message without its name for the error and the lines that only point at a column."""
    message = re.sub(r"^[A-Z][\w ]* Error: ", "", str(error)).partition("\nLINE ")[0]
    return " ".join(message.split()).rstrip(".!?")
