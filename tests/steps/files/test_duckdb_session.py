from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from include.steps.files.duckdb_session import open_duckdb


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (folder := tmp_path / "in").mkdir()
    return folder


@pytest.fixture
def connection(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb(folder, memory="32MB", threads=1) as connection:
        yield connection


def test_it_reads_the_files_of_its_folder(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    (folder / "a.csv").write_text("n\n1\n2\n")
    assert connection.read_csv(str(folder / "a.csv")).fetchall() == [(1,), (2,)]


def test_it_takes_times_in_utc(connection: duckdb.DuckDBPyConnection) -> None:
    assert connection.execute("select current_setting('TimeZone')").fetchall() == [("UTC",)]


def test_it_reaches_no_other_file(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("n\n1\n")
    with pytest.raises(duckdb.PermissionException):
        connection.read_csv(str(tmp_path / "b.csv")).fetchall()


@pytest.mark.parametrize(
    "statement", ["set enable_external_access = true", "set memory_limit = '1GB'", "install httpfs"]
)
def test_no_statement_changes_what_it_may(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    with pytest.raises(duckdb.Error):
        connection.execute(statement)


def test_no_name_in_a_statement_refers_to_a_python_variable(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.sql("select 1 as n").to_arrow_table()
    assert len(rows) == 1
    with pytest.raises(duckdb.CatalogException):
        connection.sql("select * from rows")


def test_what_its_memory_cannot_hold_goes_on_in_files(connection: duckdb.DuckDBPyConnection) -> None:
    many = "select range as n, repeat('x', 200) as text from range(500000)"
    assert connection.sql(f"select count(*) from (select * from ({many}) order by hash(n))").fetchall() == [(500_000,)]
