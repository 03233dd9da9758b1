from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.errors import SpecError, WarehouseError
from include.gateways.sources.warehouse import Warehouse
from tests.fixtures.flow import DAY, ROWS, write_tickets

#: Opens a database with a query.
Query = Callable[[str], Warehouse]
SQL = "select ticket, body from tickets where day >= :partition_start and day < :partition_end order by ticket"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    write_tickets(tmp_path / "w.db", ROWS)
    write_tickets(tmp_path / "w.db", [("T0", "the day before")], day="2026-10-31")
    return write_tickets(tmp_path / "w.db", [("T9", "the day after")], day="2026-11-02")


@pytest.fixture
def warehouse(database: Path) -> Query:
    return lambda sql: Warehouse(sqlalchemy.create_engine(f"sqlite:///{database}"), sql, name="warehouse")


def test_a_partition_is_its_day_from_midnight_to_midnight(warehouse: Query) -> None:
    with warehouse(SQL).read(DAY) as (columns, portions):
        rows = [row for portion in portions for row in portion]
    assert columns == {"ticket": None, "body": None}  # SQLite has types for values, not for columns
    assert [(row["ticket"], row["body"]) for row in rows] == ROWS


def test_a_time_belongs_to_its_day(warehouse: Query, database: Path) -> None:
    write_tickets(database, [("late", "x")], day="2026-11-01 23:59:59")
    with warehouse(SQL).read(DAY) as (_, portions):
        assert "late" in [row["ticket"] for portion in portions for row in portion]


def _portions(warehouse: Query) -> list[int]:
    """Return the number of rows of each portion."""
    with warehouse(SQL).read(DAY) as (_, portions):
        return [len(portion) for portion in portions]


def test_portions_grow_from_one_row_to_four_thousand(warehouse: Query, database: Path) -> None:
    write_tickets(database, [(f"N{n}", "x") for n in range(10_000)])
    assert _portions(warehouse) == [1, 4, 16, 64, 256, 1024, 4000, 4000, 638]


@pytest.mark.parametrize(
    ("characters", "rows", "most"), [(1_500, 8_000, 2_500), (100_000, 200, 39), (1_000_000, 20, 3), (5_000_000, 3, 1)]
)
def test_a_portion_of_long_rows_has_a_few_megabytes(
    warehouse: Query, database: Path, characters: int, rows: int, most: int
) -> None:
    write_tickets(database, [(f"N{n}", "x" * characters) for n in range(rows)])
    first, *portions, _ = _portions(warehouse)
    assert first == 1
    assert most * 0.9 < max(portions) <= most


def test_portions_shrink_where_rows_grow(warehouse: Query, database: Path) -> None:
    write_tickets(database, [(f"A{n:03}", "x") for n in range(82)])
    write_tickets(database, [(f"B{n:03}", "x" * 1_000_000) for n in range(100)])
    assert _portions(warehouse)[:7] == [1, 4, 16, 64, 3, 3, 3]


def test_a_partition_without_rows_has_no_portions(warehouse: Query, database: Path) -> None:
    with warehouse("select 1 as a where :partition_end is null").read(DAY) as (columns, portions):
        assert (columns, list(portions)) == ({"a": None}, [])


PIECES = [
    *(":partition_start", ":x", "::text", ":", "'", '"', "\\", "--", "/*", "*/", "[", "$$", "%", "%s", "%(x)s", "?"),
    *("\n", " ", "a", "é"),
]


@settings(deadline=None, max_examples=100, derandomize=True)
@given(texts=st.lists(st.lists(st.sampled_from(PIECES)).map("".join), max_size=4))
def test_text_that_is_not_a_parameter_reaches_the_database_unchanged(texts: list[str]) -> None:
    """Except for a colon after a backslash, which loses the backslash."""
    literals = ["'" + text.replace("'", "''") + "'" for text in texts]
    sql = "\n, -- :x it's\n".join(
        ["select :partition_start as a", *(f"{each} as c{n}" for n, each in enumerate(literals))]
    )
    with Warehouse(sqlalchemy.create_engine("sqlite://"), sql, name="warehouse").read(DAY) as (_, portions):
        (row,) = next(portions)
    assert list(row.values()) == ["2026-11-01", *(text.replace("\\:", ":") for text in texts)]


def test_the_example_of_the_documentation_is_bound(warehouse: Query) -> None:
    sql = r"select '\:x' as a, '1::text' as b, '(?:sale|deal)' as c where :partition_start < :partition_end;"
    with warehouse(sql).read(DAY) as (_, portions):
        assert next(portions) == [{"a": ":x", "b": "1::text", "c": "(?:sale|deal)"}]


def test_brackets_quote_a_name_in_sqlite(warehouse: Query) -> None:
    with warehouse("select 1 as [a :x] where :partition_start").read(DAY) as (columns, _):
        assert list(columns) == ["a :x"]


@pytest.mark.parametrize(
    ("sql", "fact"),
    [
        (
            "select 1 as a\nwhere :partition_strat",
            "extract.sql:2: unknown parameter :partition_strat; did you mean",
        ),
        ("select 1 as a -- where :partition_start", "every run would read, and pay for, the whole table"),
        ("select 1 as a where :partition_start; select 2", "a second statement begins"),
        ("select 1 as a, 2 as a where :partition_start", "two columns with the same name: a"),
    ],
)
def test_a_query_that_no_run_can_use_is_a_spec_error(warehouse: Query, sql: str, fact: str) -> None:
    with pytest.raises(SpecError, match=fact), warehouse(sql).read(DAY):
        pytest.fail("the query was accepted")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select ticket,\n  nowhere\nfrom tickets where :partition_start", ":2: no such column: nowhere"),
        ("select ticket\nform tickets where day = :partition_start", ':2: near "tickets": syntax error'),
        ("select ticket\nfrom tickts where day = :partition_start", ":2: no such table: tickts"),
        ("select from\n:partition_start", ':1: near "from": syntax error'),
        ("select ticket from tickets, where\n1, where :partition_start", ': near "where": syntax error'),
    ],
)
def test_a_query_error_names_its_line_if_known_and_is_not_retried(database: Path, sql: str, message: str) -> None:
    warehouse = Warehouse(sqlalchemy.create_engine(f"sqlite:///{database}"), sql, name="shop", pipeline="tickets")
    with (
        pytest.raises(WarehouseError, match=re.escape(f"tickets/extract.sql{message} (OperationalError, ")) as caught,
        warehouse.read(DAY),
    ):
        pytest.fail("the query was accepted")
    assert "connection 'shop', partition 2026-11-01). Nothing was sent." in str(caught.value)
    assert not caught.value.retryable


def test_a_database_that_cannot_be_opened_is_retried(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/nowhere/w.db")
    nowhere = Warehouse(engine, "select 1 where :partition_start", name="warehouse")
    with pytest.raises(WarehouseError) as caught, nowhere.read(DAY):
        pytest.fail("there is no database")
    assert caught.value.retryable


def test_text_that_is_not_utf8_is_an_error(warehouse: Query, database: Path) -> None:
    write_tickets(database, [("bad", None)])
    engine = sqlalchemy.create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("update tickets set body = cast(x'ff' as text) where ticket = 'bad'"))
    with (
        pytest.raises(WarehouseError, match=r"^extract\.sql: Could not decode to UTF-8 column 'body'") as caught,
        warehouse(SQL).read(DAY) as (_, portions),
    ):
        list(portions)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "sql",
    [
        "delete from tickets where day = :partition_start",
        "delete from tickets where day = :partition_start returning ticket",
    ],
)
def test_writes_of_a_query_are_never_committed(warehouse: Query, sql: str) -> None:
    with suppress(WarehouseError), warehouse(sql).read(DAY) as (_, portions):
        list(portions)
    assert sum(_portions(warehouse)) == len(ROWS)
