"""Both drivers, against a real Postgres."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.enrichment.errors import WarehouseError
from include.gateways.sources.postgres import DRIVERS
from include.gateways.sources.warehouse import Warehouse
from tests.fixtures.flow import DAY
from tests.fixtures.postgres import Database
from tests.gateways.sources.test_warehouse import PIECES, Query


@pytest.fixture(params=DRIVERS)
def warehouse(request: pytest.FixtureRequest, postgres_server: Database) -> Query:
    """The server's default database, which is empty."""
    return lambda sql: Warehouse(postgres_server.engine(request.param), sql, name="warehouse")


ODD = [
    ("'infinity'::date", "infinity"),
    ("'-infinity'::timestamp", "-infinity"),
    ("'infinity'::timestamptz", "infinity"),
    ("'0044-03-15 BC'::date", "0044-03-15 BC"),
    ("'0044-03-15 BC'::timestamp", "0044-03-15 00:00:00 BC"),
    ("'20000-01-01'::date", "20000-01-01"),
    ("'20000-01-01'::timestamptz", "20000-01-01 00:00:00+00"),
    ("'24:00'::time", "24:00:00"),
    ("'24:00+02'::timetz", "24:00:00+02"),
    ("'infinity'::interval", "infinity"),
    ("array['infinity']::date[]", "{infinity}"),
    ("array[null, '20000-01-01']::date[]", "{NULL,20000-01-01}"),
    ("array['24:00']::time[]", "{24:00:00}"),
    ("'[2026-01-01,infinity)'::daterange", "[2026-01-01,infinity)"),
    ("'[2026-01-01,20000-01-01)'::daterange", "[2026-01-01,20000-01-01)"),
    ("('[' || repeat('9', 5000) || ']')::json", "[99999999999...999999999999]"),
    ("(repeat('[', 3000) || repeat(']', 3000))::jsonb", "[[[[[[[[[[[[...]]]]]]]]]]]]]"),
]


@pytest.mark.parametrize(("value", "text"), ODD)
def test_the_error_for_a_value_that_python_cannot_represent_names_column_and_key(
    warehouse: Query, value: str, text: str
) -> None:
    sql = f"select 'T' || n as ticket, n as line, case n when 3 then {value} end as seen from generate_series(1, 9) n"
    with pytest.raises(WarehouseError) as raised:
        _read(warehouse, f"{sql} where :partition_start is not null order by n", key=("ticket", "line"))
    assert f"column 'seen' is {text!r} where ticket=T3, line=3 (" in str(raised.value)
    assert str(raised.value).endswith(
        "). Nothing was sent. Cast the column to text in extract.sql or filter out such rows, then start the run again."
    )
    assert not raised.value.retryable


def test_an_odd_value_in_the_first_row_is_reported(warehouse: Query) -> None:
    with pytest.raises(WarehouseError, match=r"column 'seen' is 'infinity' \("):
        _read(warehouse, "select 'infinity'::date as seen where :partition_start is not null")


def test_the_remedy_for_an_odd_value_in_an_unused_column_is_to_drop_it(warehouse: Query) -> None:
    sql = "select 1 as ticket, 'infinity'::date as seen where :partition_start is not null"
    with pytest.raises(WarehouseError, match=r"Remove the column from extract\.sql: neither a prompt nor the key"):
        _read(warehouse, sql, needed={"ticket"})


def _read(warehouse: Query, sql: str, *, key: tuple[str, ...] = (), needed: set[str] | None = None) -> None:
    with warehouse(sql).read(DAY, key=key, needed=needed) as (_, portions):
        list(portions)


def test_extreme_values_that_python_can_represent_are_read(warehouse: Query) -> None:
    sql = """
    select '0001-01-01'::date as a, '9999-12-31'::date as b, '9999-12-31 23:59:59.999999Z'::timestamptz as c,
           '23:59:59.999999'::time as d, 'NaN'::numeric as e, '-Infinity'::numeric as f, '12.30'::money as g,
           '[1,)'::int4range is not null as h, row('infinity'::date, 'x')::text as i, 'infinity'::text as j,
           '{"to": "infinity"}'::jsonb as k, array['infinity']::text[] as l, '1 year'::interval as m
    where :partition_start is not null
    """
    with warehouse(sql).read(DAY) as (_, portions):
        (row,) = next(portions)
    assert [str(value) for value in row.values()] == [
        *("0001-01-01", "9999-12-31", "9999-12-31 23:59:59.999999+00:00", "23:59:59.999999", "NaN", "-Infinity"),
        *("$12.30", "True", "(infinity,x)", "infinity", "{'to': 'infinity'}", "['infinity']", "365 days, 0:00:00"),
    ]


def test_each_column_has_its_type_in_postgres(warehouse: Query) -> None:
    types = {
        **dict.fromkeys(("smallint", "integer", "bigint", "oid"), pa.int64()),
        **dict.fromkeys(("text", "varchar", "varchar(3)", "char(3)", "name", "uuid"), pa.string()),
        **{"boolean": pa.bool_(), "bytea": pa.binary(), "real": pa.float32(), "double precision": pa.float64()},
        **{"date": pa.date32(), "time": pa.time64("us"), "timestamp": pa.timestamp("us")},
        **{"timestamptz": pa.timestamp("us", "UTC"), "numeric(12, 2)": pa.decimal128(12, 2)},
        **dict.fromkeys(("numeric", "numeric(50, 2)", "numeric(2, -3)", "jsonb", "text[]", "interval", "point")),
    }
    columns = ", ".join(f'null::{name} as "{name}"' for name in types)
    with warehouse(f"select {columns} where :partition_start is null").read(DAY) as (found, portions):
        assert (found, list(portions)) == (types, [])


@settings(deadline=None, max_examples=50, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.lists(st.sampled_from(PIECES)).map("".join), min_size=1, max_size=4))
def test_text_that_is_not_a_parameter_reaches_postgres_unchanged(warehouse: Query, texts: list[str]) -> None:
    literals = [
        literal
        for text in texts
        for literal in (
            "'" + text.replace("'", "''") + "'",
            "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
            f"$tag${text}$tag$",
        )
    ]
    columns = "\n, /* it's /* :x */ */\n".join(f'{literal} as "a:{n}"' for n, literal in enumerate(literals))
    sql = f"-- it's :x\nselect {columns} where :partition_start::timestamp < :partition_end -- :x"
    with warehouse(sql).read(DAY) as (_, portions):
        (row,) = next(portions)
    assert list(row.values()) == [text.replace("\\:", ":") for text in texts for _ in range(3)]


def test_slices_and_patterns_of_postgres_need_no_backslash(warehouse: Query) -> None:
    sql = r"""
    select (array[1, 2, 3])[:2] as a, (array[1, 2, 3])[2:n] as b, (array[1, 2, 3])[2 :n] as c,
           'a sale' ~ '(?:sale|deal)' as d, array['2026-11-01'::date] = array[:partition_start] as e, '\:x' as f,
           '100%' as g -- open :todo
    from (select 3 as n) t where date '2026-11-01' = :partition_start;
    """
    with warehouse(sql).read(DAY) as (_, portions):
        assert [list(row.values()) for row in next(portions)] == [[[1, 2], [2, 3], [2, 3], True, True, ":x", "100%"]]
