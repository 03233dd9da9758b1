"""extract with each kind of source: the same row becomes the same request, wherever it is read from."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import extract
from tests.fixtures.flow import FILES, Flow, write_pipeline
from tests.fixtures.postgres import Database
from tests.fixtures.s3_export import FOLDER, Export

PART = FOLDER.format(partition="2026-11-01") + "part.parquet"
SQL = "select * from tickets where day >= :partition_start and day < :partition_end order by ticket"
TABLE = """
create table tickets (ticket bigint, body text, price numeric, seen timestamptz, day date, done boolean, note text)
"""
ROWS = [
    {
        "ticket": number,
        "body": f"It costs 100 % more: {number}",
        "price": Decimal("12.50"),
        "seen": datetime(2026, 11, 1, 23, 30, tzinfo=UTC),
        "day": date(2026, 11, 1),
        "done": True,
        "note": None,
    }
    for number in range(1, 4)
]
SCHEMA = pa.schema(
    [
        ("ticket", pa.int64()),
        ("body", pa.string()),
        ("price", pa.decimal128(10, 2)),
        ("seen", pa.timestamp("us", "UTC")),
        ("day", pa.date32()),
        ("done", pa.bool_()),
        ("note", pa.string()),
    ]
)
PROMPT = "{{ body }}|{{ price }}|{{ seen }}|{{ day }}|{{ done }}|{{ note }}"

Extract = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def from_postgres(flow: Flow, tmp_path: Path, database: Database) -> Extract:
    """Extract with other files of the pipeline, from a Postgres with the table ``tickets``."""
    database.execute(TABLE)
    for row in ROWS:
        values = ", ".join("null" if value is None else f"'{value}'" for value in row.values())
        database.execute(f"insert into tickets values ({values})")

    def extracted(**changes: str) -> list[dict[str, Any]]:
        files = {"extract_sql": SQL, "user_md": PROMPT} | changes
        pipeline = load_pipeline(write_pipeline(tmp_path / "postgres" / "tickets", **files))
        source = Warehouse(database.engine(), pipeline.sql, name="warehouse")
        extract(pipeline, flow.folder, source=source, lake=flow.lake)
        return _rows(flow)

    return extracted


@pytest.fixture
def from_files(flow: Flow, tmp_path: Path, export: Export) -> Extract:
    """Extract these rows with another prompt, from Parquet files on S3."""

    def extracted(rows: list[dict[str, Any]], prompt: str = PROMPT, carry: str = "[]") -> list[dict[str, Any]]:
        export.write(PART, rows, SCHEMA)
        source = f"{{connection: exports, files: '{export.bucket.uri}/{FOLDER}', key: [ticket], carry: {carry}}}"
        settings = FILES["pipeline.yaml"].replace("{connection: warehouse, key: [ticket]}", source)
        folder = write_pipeline(tmp_path / "files" / "tickets", pipeline_yaml=settings, user_md=prompt)
        (folder / "extract.sql").unlink()
        extract(load_pipeline(folder), flow.folder, source=export.open(), lake=flow.lake)
        return _rows(flow)

    return extracted


def _rows(flow: Flow) -> list[dict[str, Any]]:
    return list(pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rows))).to_pylist())


def _prompt(row: dict[str, Any]) -> str:
    return str(json.loads(row["params"])["messages"][0]["content"])


def test_a_row_is_the_same_request_wherever_it_is_read_from(from_postgres: Extract, from_files: Extract) -> None:
    """Who moves from a query to an export pays for nothing again."""
    queried, exported = from_postgres(), from_files(ROWS)
    assert _prompt(queried[0]) == "It costs 100 % more: 1|12.50|2026-11-01 23:30:00+00:00|2026-11-01|True|"
    assert queried == exported
    assert [row["ticket"] for row in queried] == [1, 2, 3]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("12.50::numeric", "12.50"),
        ("'2026-11-01 10:00+02'::timestamptz", "2026-11-01 08:00:00+00:00"),
        ("'2026-11-01 10:00'::timestamp", "2026-11-01 10:00:00"),
        ("'0b1c2d3e-0000-4000-8000-000000000001'::uuid", "0b1c2d3e-0000-4000-8000-000000000001"),
        ("""'{"b": [1, null], "a": "x"}'::jsonb""", "{'a': 'x', 'b': [1, '']}"),
        ("array['x', null]::text[]", "['x', '']"),
        ("'urgent'::mood", "urgent"),
        ("null::text", ""),
        ("0.1::double precision", "0.1"),
        ("true", "True"),
        ("'2 days 90 minutes'::interval", "2 days, 1:30:00"),
    ],
)
def test_a_value_of_postgres_appears_in_the_prompt_as_documented(
    from_postgres: Extract, database: Database, expression: str, text: str
) -> None:
    database.execute("create type mood as enum ('calm', 'urgent')")
    sql = f"select ticket, {expression} as value from tickets where day = :partition_start"
    rows = from_postgres(extract_sql=sql, user_md="It is: {{ value }}.")
    assert {_prompt(row) for row in rows} == {f"It is: {text}."}


def test_json_and_arrays_have_a_spelling_of_their_own(from_postgres: Extract) -> None:
    sql = """select ticket, '{"a": [1, null]}'::jsonb as payload, array['x', 'y'] as tags from tickets"""
    prompt = "{{ payload | tojson }} {{ payload.a[0] }} {{ tags | join(', ') }}"
    rows = from_postgres(extract_sql=f"{sql} where day = :partition_start", user_md=prompt)
    assert {_prompt(row) for row in rows} == {'{"a": [1, null]} 1 x, y'}


def test_a_uuid_is_cut_and_counted_as_the_text_that_it_is(from_postgres: Extract) -> None:
    sql = "select ticket, '0b1c2d3e-0000-4000-8000-000000000001'::uuid as value from tickets"
    prompt = "{{ value[:8] }} {{ value | length }} {{ value.split('-') | last }}"
    rows = from_postgres(extract_sql=f"{sql} where day = :partition_start", user_md=prompt)
    assert {_prompt(row) for row in rows} == {"0b1c2d3e 36 000000000001"}


def test_bytes_have_no_text(from_postgres: Extract) -> None:
    sql = "select ticket, 'x'::bytea as picture from tickets where day = :partition_start"
    with pytest.raises(SpecError, match=r"user\.md:1: .*binary value has no text: decode it in extract\.sql"):
        from_postgres(extract_sql=sql, user_md="{{ picture }}")


@pytest.mark.parametrize(
    ("expression", "key"),
    [
        ("ticket::text", "1"),
        ("ticket", 1),
        ("day", date(2026, 11, 1)),
        ("seen", datetime(2026, 11, 1, 23, 30, tzinfo=UTC)),
        ("'0b1c2d3e-0000-4000-8000-000000000001'::uuid", "0b1c2d3e-0000-4000-8000-000000000001"),
    ],
)
def test_a_type_of_postgres_may_be_the_key(from_postgres: Extract, expression: str, key: object) -> None:
    sql = f"select {expression} as ticket, body from tickets where day = :partition_start limit 1"
    (row,) = from_postgres(extract_sql=sql, user_md="{{ body }}")
    assert row["ticket"] == key


@pytest.mark.parametrize(
    ("expression", "named", "kind"),
    [
        ("ticket::numeric", None, pa.decimal128(38, 0)),
        ("ticket::numeric", "int64", pa.int64()),
        ("ticket::numeric(10, 2)", None, pa.decimal128(10, 2)),
        ("ticket::numeric", "decimal(12,3)", pa.decimal128(12, 3)),
    ],
)
def test_a_numeric_key_has_the_described_or_named_type_and_else_is_a_whole_number(
    flow: Flow, from_postgres: Extract, expression: str, named: str | None, kind: pa.DataType
) -> None:
    sql = f"select {expression} as ticket, body from tickets where day = :partition_start limit 1"
    settings = FILES["pipeline.yaml"].replace("[ticket]", f"{{ticket: '{named}'}}" if named else "[ticket]")
    (row,) = from_postgres(extract_sql=sql, user_md="{{ body }}", pipeline_yaml=settings)
    assert row["ticket"] == 1
    assert pq.read_schema(pa.BufferReader(flow.lake.read(flow.folder.rows))).field("ticket").type == kind


def test_a_numeric_key_with_a_fraction_has_to_say_which_type_it_is(from_postgres: Extract) -> None:
    sql = "select ticket::numeric / 2 as ticket, body from tickets where day = :partition_start limit 1"
    with pytest.raises(SpecError, match=r"'ticket' comes from the warehouse as Decimal.*one of string.*decimal\(p,s\)"):
        from_postgres(extract_sql=sql, user_md="{{ body }}")


def test_a_uuid_key_of_that_type_is_a_uuid_in_parquet(flow: Flow, from_postgres: Extract) -> None:
    sql = "select gen_random_uuid() as ticket, body from tickets where day = :partition_start"
    settings = FILES["pipeline.yaml"].replace("[ticket]", "{ticket: uuid}")
    assert len(from_postgres(extract_sql=sql, user_md="{{ body }}", pipeline_yaml=settings)) == 3
    file = pq.ParquetFile(pa.BufferReader(flow.lake.read(flow.folder.rows)))
    assert str(file.schema.column(0).logical_type) == "UUID"


def test_a_key_that_is_repeated_stops_the_run_whatever_the_source_is(
    flow: Flow, from_postgres: Extract, from_files: Extract
) -> None:
    with pytest.raises(WarehouseError, match=r"3 keys occur more than once, for example ticket=1 \(2 times\)"):
        from_postgres(extract_sql=f"select t.* from ({SQL}) t, generate_series(1, 2)")
    with pytest.raises(WarehouseError, match=r"1 keys occur more than once, for example ticket=2 \(2 times\)"):
        from_files([*ROWS, ROWS[1]])
    with pytest.raises(WarehouseError, match=r"key 'ticket' is NULL in 1 of the last 3 rows .*part\.parquet"):
        from_files([*ROWS, ROWS[1] | {"ticket": None}])
    assert flow.lake.list("runs/") == []


def test_a_column_of_the_files_that_nothing_uses_does_not_stop_the_run(from_files: Extract) -> None:
    rows = from_files([ROWS[0] | {"seen": 2**62}], prompt="{{ body }}")
    assert _prompt(rows[0]) == ROWS[0]["body"]
    with pytest.raises(WarehouseError, match=r"part\.parquet has .*: column 'seen' \(.*\) where ticket=1: "):
        from_files([ROWS[0] | {"seen": 2**62}], prompt="{{ seen }}")


def test_a_carried_column_is_read_from_the_files_though_no_prompt_uses_it(
    flow: Flow, from_postgres: Extract, from_files: Extract
) -> None:
    carried = ("price", "seen", "note")
    rows = from_files(ROWS, prompt="{{ body }}", carry="[price, seen, note]")
    assert [[row[name] for name in carried] for row in rows] == [[row[name] for name in carried] for row in ROWS]
    schema = pq.read_schema(pa.BufferReader(flow.lake.read(flow.folder.rows)))
    assert [schema.field(name) for name in carried] == [SCHEMA.field(name) for name in carried]
    carry = "carry: {price: 'decimal(10,2)', seen: null, note: null}"  # the table's numeric describes no precision
    settings = FILES["pipeline.yaml"].replace("key: [ticket]", f"key: [ticket], {carry}")
    queried = from_postgres(user_md="{{ body }}", pipeline_yaml=settings)
    assert queried == rows


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("ticket::smallint", pa.int64(), 1),
        ("12.5::numeric(9, 2)", pa.decimal128(9, 2), Decimal("12.50")),
        ("12.5::numeric", pa.decimal128(38, 9), Decimal("12.5")),
        ("'0b1c2d3e-0000-4000-8000-000000000001'::uuid", pa.string(), "0b1c2d3e-0000-4000-8000-000000000001"),
        ("""'{"b": [1, null], "a": "x"}'::jsonb""", pa.string(), '{"a": "x", "b": [1, null]}'),
        ("array['x', null]::text[]", pa.string(), '["x", null]'),
        ("'urgent'::mood", pa.string(), "urgent"),
        ("'10.0.0.1'::inet", pa.string(), "10.0.0.1"),
        ("daterange('2026-11-01', '2026-12-01')", pa.string(), "[2026-11-01, 2026-12-01)"),
        ("0.1::real", pa.float32(), 0.1),
        ("'2026-11-01 10:00'::timestamp", pa.timestamp("us"), datetime(2026, 11, 1, 10)),  # noqa: DTZ001 (as Postgres gives it)
        ("'10:00'::time", pa.time64("us"), time(10)),
        ("'x'::bytea", pa.binary(), b"x"),
    ],
)
def test_a_type_of_postgres_may_be_carried(
    flow: Flow, from_postgres: Extract, database: Database, expression: str, kind: pa.DataType, value: object
) -> None:
    database.execute("create type mood as enum ('calm', 'urgent')")
    sql = f"select ticket, body, {expression} as value from tickets where day = :partition_start order by ticket"
    settings = FILES["pipeline.yaml"].replace("key: [ticket]", "key: [ticket], carry: [value]")
    row, *_ = from_postgres(extract_sql=sql, user_md="{{ body }}", pipeline_yaml=settings)
    assert row["value"] == (pytest.approx(value) if kind == pa.float32() else value)
    assert pq.read_schema(pa.BufferReader(flow.lake.read(flow.folder.rows))).field("value").type == kind


def test_an_interval_of_postgres_cannot_be_carried(from_postgres: Extract) -> None:
    sql = "select ticket, body, '2 days'::interval as value from tickets where day = :partition_start"
    settings = FILES["pipeline.yaml"].replace("key: [ticket]", "key: [ticket], carry: [value]")
    with pytest.raises(SpecError, match="'value' is timedelta in the source, a type that Parquet does not have"):
        from_postgres(extract_sql=sql, user_md="{{ body }}", pipeline_yaml=settings)


def test_an_odd_value_is_reported_with_the_key_of_its_row(from_postgres: Extract) -> None:
    sql = "select ticket, 'infinity'::date as value from tickets where day = :partition_start order by ticket"
    with pytest.raises(WarehouseError, match="column 'value' is 'infinity' where ticket=1"):
        from_postgres(extract_sql=sql, user_md="{{ value }}")


def test_a_prompt_that_names_no_column_of_the_files_is_found_before_the_first_row(from_files: Extract) -> None:
    with pytest.raises(SpecError, match=r"no column 'bodi'; did you mean 'body'\?\nColumns of s3://.*: ticket, body"):
        from_files(ROWS, prompt="{{ bodi }}")
