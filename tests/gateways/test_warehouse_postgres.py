"""warehouse.py against a real Postgres, through both drivers that its Airflow connection can use."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.requests.template import Template
from include.gateways.sources.portions import Row
from include.gateways.sources.warehouse import Warehouse
from tests.fixtures.flow import DAY
from tests.fixtures.postgres import Database
from tests.gateways.sources.test_warehouse import Query

SQL = "select ticket, body from tickets where day >= :partition_start and day < :partition_end"


@pytest.fixture(params=["psycopg", "psycopg2"])
def driver(request: pytest.FixtureRequest) -> str:
    """The connection's default, and the driver for ``"sqlalchemy_scheme": "postgresql+psycopg2"`` in its extra."""
    return str(request.param)


@pytest.fixture
def warehouse(database: Database, driver: str) -> Query:
    """A thousand tickets a day for three days, in a real Postgres."""
    database.execute("create table tickets (ticket text, body text, day date)")
    database.execute(
        "insert into tickets select day || '-' || n, 'body', day from generate_series(1, 1000) n,"
        " unnest(array['2026-10-31', '2026-11-01', '2026-11-02']::date[]) day"
    )
    return lambda sql: Warehouse(database.engine(driver), sql, name="warehouse")


def read(warehouse: Query, sql: str) -> list[Row]:
    with warehouse(sql).read(DAY) as (_, portions):
        return [row for portion in portions for row in portion]


def test_rows_are_read_through_a_server_side_cursor(warehouse: Query, database: Database) -> None:
    assert {row["ticket"] for row in read(warehouse, SQL)} == {f"2026-11-01-{n}" for n in range(1, 1_001)}
    statements = database.statements()
    declared = next(number for number, line in enumerate(statements) if 'DECLARE "' in line)
    assert any(line.endswith("BEGIN READ ONLY") for line in statements[:declared])
    fetched = [int(count) for line in statements[declared:] for count in re.findall(r"FETCH FORWARD (\d+) FROM", line)]
    assert fetched == [1, 4, 16, 64, 256, 1024, 4000]
    assert statements[-1].endswith("ROLLBACK")


def test_the_days_are_bound_and_not_inserted_into_the_text(warehouse: Query, database: Database, driver: str) -> None:
    assert len(read(warehouse, f"{SQL} and body <> '100%'")) == 1_000
    statements = "\n".join(database.statements())
    if driver == "psycopg":
        assert "day >= $1::DATE and day < $2::DATE" in statements
        assert "Parameters: $1 = '2026-11-01', $2 = '2026-11-02'" in statements
    else:  # it inserts them itself, as dates
        assert "day >= '2026-11-01'::date and day < '2026-11-02'::date" in statements


READING = """
import sys, psutil, sqlalchemy
from include.gateways.sources.warehouse import Warehouse
from tests.fixtures.flow import DAY

engine = sqlalchemy.create_engine(sys.argv[1])
process, most, rows = psutil.Process(), [], []
for count in (1, 125000):
    sql = f"select repeat(md5(n::text), 50) as body from generate_series(1, {count}) n"
    with Warehouse(engine, f"{sql} where :partition_start is not null", name="warehouse").read(DAY) as (_, portions):
        held = [(len(portion), process.memory_info().rss) for portion in portions]
    rows.append(sum(length for length, _ in held))
    most.append(max(memory for _, memory in held))
print(rows[1], most[1] - most[0])
"""


def test_memory_stays_flat(database: Database, driver: str) -> None:
    """200 MB of rows, in a fresh process, which has no freed memory to reuse."""
    command = [sys.executable, "-c", READING, database.uri.replace("://", f"+{driver}://")]
    rows, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(rows) == 125_000
    assert int(grown) < 40_000_000


TYPES = """
select 12.50::numeric                                   as price,
       '2026-11-01 10:00+02'::timestamptz               as at,
       '2026-11-01 10:00'::timestamp                    as local,
       '2026-11-01'::date                               as day,
       '0b1c2d3e-0000-4000-8000-000000000001'::uuid     as id,
       '{"b": [1, null], "a": "x"}'::jsonb              as payload,
       array['x', null]::text[]                         as tags,
       '\\x00ff'::bytea                                  as picture,
       'urgent'::mood                                   as mood,
       null::text                                       as nothing,
       9223372036854775807::bigint                      as large,
       0.1::double precision                            as ratio,
       interval '90 minutes'                            as took,
       true                                             as done
where :partition_start < :partition_end
"""


def test_values_have_their_python_types(warehouse: Query, database: Database) -> None:
    database.execute("create type mood as enum ('calm', 'urgent')")
    (row,) = read(warehouse, TYPES)
    described = {name: f"{type(value).__name__} {value}" for name, value in row.items() if name != "picture"}
    assert described == {
        "price": "Decimal 12.50",
        "at": "datetime 2026-11-01 08:00:00+00:00",
        "local": "datetime 2026-11-01 10:00:00",
        "day": "date 2026-11-01",
        "id": "UUID 0b1c2d3e-0000-4000-8000-000000000001",
        "payload": "dict {'a': 'x', 'b': [1, None]}",
        "tags": "list ['x', None]",
        "mood": "str urgent",
        "nothing": "NoneType None",
        "large": "int 9223372036854775807",
        "ratio": "float 0.1",
        "took": "timedelta 1:30:00",
        "done": "bool True",
    }
    assert bytes(row["picture"]) == b"\x00\xff"


def test_a_day_is_in_utc_regardless_of_the_session(warehouse: Query, database: Database) -> None:
    database.execute(f"alter database {database.name} set time zone 'Asia/Tokyo'")
    sql = (
        "select '2026-10-31 23:59Z'::timestamptz < :partition_start as before, :partition_start <= '2026-11-01 00:00Z'"
    )
    assert read(warehouse, f"{sql}::timestamptz as within") == [{"before": True, "within": True}]


def test_a_query_can_use_another_time_zone_and_a_colon(warehouse: Query) -> None:
    start = "cast(:partition_start as timestamp) at time zone 'Europe/Berlin'"
    assert read(warehouse, rf"select {start} = '2026-10-31 23:00Z'::timestamptz as berlin, '\:x' as colon") == [
        {"berlin": True, "colon": ":x"}
    ]


@pytest.mark.parametrize(
    ("sql", "fact"),
    [
        (
            "select ticket,\n body form tickets where day = :partition_start",
            r'^extract\.sql:2: syntax error at or near "tickets" LINE 2:',
        ),
        ("select bodi from tickets where day = :partition_start", r'HINT:  Perhaps you meant .*"tickets\.body"'),
        ("select * from ticketz where day = :partition_start", r'^extract\.sql:1: relation "ticketz" does not exist'),
        ("select 1/0 as a where :partition_start is not null", r"^extract\.sql: division by zero"),
    ],
)
def test_a_query_error_names_its_position_and_is_not_retried(warehouse: Query, sql: str, fact: str) -> None:
    with pytest.raises(WarehouseError, match=fact) as raised:
        read(warehouse, sql)
    assert not raised.value.retryable
    assert "^" not in str(raised.value)


@pytest.mark.parametrize(
    "sql",
    [
        "select pay(), :partition_start as a",
        "delete from tickets where day = :partition_start returning ticket",
        "with gone as (delete from tickets where day = :partition_start returning *) select * from gone",
    ],
)
def test_a_query_that_writes_is_rejected(warehouse: Query, database: Database, sql: str) -> None:
    database.execute(
        "create function pay() returns bigint language sql as 'insert into tickets values (1) returning 1'"
    )
    with pytest.raises(WarehouseError, match=r"read-only transaction|syntax error|must not contain") as raised:
        read(warehouse, sql)
    assert not raised.value.retryable
    assert database.execute("select count(*) from tickets") == [(3_000,)]


def test_a_connection_lost_while_reading_can_be_retried(warehouse: Query, database: Database) -> None:
    kill = "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
    with pytest.raises(WarehouseError, match=r"connection 'warehouse'.*2026-11-01: OperationalError: ") as raised:
        lose_it_after_the_first(warehouse, lambda: database.execute(f"{kill} and datname = '{database.name}'"))
    assert raised.value.retryable
    assert len(read(warehouse, SQL)) == 1_000


def lose_it_after_the_first(warehouse: Query, kill: Callable[[], Any]) -> None:
    with warehouse(SQL).read(DAY) as (_, portions):
        assert len(next(portions)) == 1
        assert kill() == [(True,)]
        list(portions)


def test_stopping_early_leaves_no_connection_behind(warehouse: Query, database: Database) -> None:
    with warehouse(SQL).read(DAY) as (_, portions):
        next(portions)
    others = f"select count(*) from pg_stat_activity where datname = '{database.name}' and pid <> pg_backend_pid()"
    assert database.execute(others) == [(0,)]


VALUES = """
select 0.0000001::numeric                                             as small,
       0.1::real                                                      as ratio,
       array[0.1::real, null]                                         as ratios,
       array[12.50::numeric, null]                                    as prices,
       array['2026-11-01'::date]                                      as days,
       array['2026-11-01 10\\:00+02'::timestamptz]                    as times,
       array['0b1c2d3e-0000-4000-8000-000000000001'::uuid]            as ids,
       array[interval '90 minutes']                                   as took,
       daterange('2026-11-01', null)                                  as valid,
       int4multirange(int4range(1, 5), int4range(7, 9))               as parts,
       inet '10.0.0.1'                                                as host,
       array[true, null]                                              as flags,
       '{"items"\\: [1, null], "price"\\: 1.5}'::jsonb               as payload
where :partition_start < :partition_end
"""


def test_a_prompt_is_the_same_from_both_drivers(warehouse: Query) -> None:
    (row,) = read(warehouse, VALUES)
    prompt = "\n".join(f"{name} {{{{ {name} }}}} {{{{ [{name}] | tojson }}}}" for name in row)
    assert Template(prompt, file="user.md").render(row).splitlines() == [
        "small 0.0000001 [0.0000001]",
        "ratio 0.1 [0.1]",
        "ratios [0.1, ''] [[0.1, null]]",
        "prices [12.50, ''] [[12.50, null]]",
        "days ['2026-11-01'] [[\"2026-11-01\"]]",
        "times ['2026-11-01 08:00:00+00:00'] [[\"2026-11-01 08:00:00+00:00\"]]",
        "ids ['0b1c2d3e-0000-4000-8000-000000000001'] [[\"0b1c2d3e-0000-4000-8000-000000000001\"]]",
        "took ['1:30:00'] [[\"1:30:00\"]]",
        'valid [2026-11-01, ) ["[2026-11-01, )"]',
        'parts {[1,5),[7,9)} ["{[1,5),[7,9)}"]',
        'host 10.0.0.1 ["10.0.0.1"]',
        "flags [True, ''] [[true, null]]",
        "payload {'items': [1, ''], 'price': 1.5} [{\"items\": [1, null], \"price\": 1.5}]",
    ]


def test_an_array_of_bytes_has_no_text_from_either_driver(warehouse: Query) -> None:
    (row,) = read(warehouse, "select array['x'::bytea] as pictures where :partition_start < :partition_end")
    with pytest.raises(SpecError, match="a binary value has no text"):
        Template("{{ pictures }}", file="user.md").render(row)
