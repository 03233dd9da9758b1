from __future__ import annotations

import psycopg
import pytest

from include.gateways.sources.postgres import OddValue
from include.gateways.sources.postgres_psycopg import report_odd_values
from tests.fixtures.postgres import Database


def test_the_error_has_the_row_as_postgres_writes_it(postgres_server: Database) -> None:
    with psycopg.connect(postgres_server.uri) as connection:
        report_odd_values(connection)
        with connection.cursor("rows") as cursor:
            cursor.execute("select 'é' as name, null as nothing, date 'infinity' as day")
            with pytest.raises(OddValue, match="date too large") as raised:
                cursor.fetchmany(1)
    assert raised.value.column == "day"
    assert raised.value.row == {"name": "é", "nothing": None, "day": "infinity"}


def test_errors_of_the_server_are_not_translated(postgres_server: Database) -> None:
    with psycopg.connect(postgres_server.uri) as connection:
        report_odd_values(connection)
        with connection.cursor("rows") as cursor:
            cursor.execute("select date 'epoch' + n, 1 / (3 - n) from generate_series(1, 3) n")
            assert len(cursor.fetchmany(2)) == 2
            with pytest.raises(psycopg.errors.DivisionByZero):
                cursor.fetchmany(2)
