from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from typing import Any

import psycopg2
import pytest

from include.gateways.sources.postgres import OddValue
from include.gateways.sources.postgres_psycopg2 import report_odd_values
from tests.fixtures.postgres import Database


@pytest.fixture
def connection(postgres_server: Database) -> Iterator[Any]:
    with closing(psycopg2.connect(postgres_server.uri)) as connection:
        report_odd_values(connection)
        yield connection


def test_the_error_has_the_row_with_the_text_of_the_odd_value(connection: Any) -> None:
    with connection.cursor("rows") as cursor:
        cursor.execute("select 'é' as name, null::date as nothing, date 'infinity' as day")
        with pytest.raises(OddValue, match="Python has no infinity") as raised:
            cursor.fetchmany(1)
    assert raised.value.column == "day"
    assert raised.value.row == {"name": "é", "nothing": None, "day": "infinity"}


def test_other_connections_are_unaffected(connection: Any, postgres_server: Database) -> None:
    with closing(psycopg2.connect(postgres_server.uri)) as other, other.cursor() as cursor:
        cursor.execute("select date 'infinity'")
        assert cursor.fetchone() == (date.max,)


def test_errors_of_the_server_are_not_translated(connection: Any) -> None:
    with connection.cursor("rows") as cursor:
        cursor.execute("select date 'epoch' + n, 1 / (3 - n) from generate_series(1, 3) n")
        assert len(cursor.fetchmany(2)) == 2
        with pytest.raises(psycopg2.errors.DivisionByZero):
            cursor.fetchmany(2)
