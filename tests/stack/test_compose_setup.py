"""What the containers' demo needs before its first run."""

from __future__ import annotations

import dataclasses
import json
import uuid
from datetime import date

import pandas
import pytest
from pyarrow.fs import FileType

from include.stack import compose_setup
from include.stack.folder import ROOT
from include.stack.sample_products import SAMPLE
from include.stack.stack import AWS, LAKE, LOOPBACK, WAREHOUSE, aws_connection
from tests.fixtures.postgres import Database
from tests.fixtures.s3 import filesystem

EXTRACT = (ROOT / "include/pipelines/catalogue/extract.sql").read_text(encoding="utf-8")


def test_both_are_made_once_and_a_second_time_changes_nothing(
    postgres_server: Database, s3_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"sample_{uuid.uuid4().hex}"
    warehouse = {"conn_type": "postgres", "host": LOOPBACK, "port": postgres_server.port, "schema": name}
    monkeypatch.setenv(WAREHOUSE, json.dumps(warehouse | {"login": "postgres", "password": postgres_server.password}))
    monkeypatch.setenv(AWS, aws_connection(s3_server))
    monkeypatch.setenv(LAKE, f"s3://{name.replace('_', '-')}/enrichment")
    for _ in range(2):
        compose_setup.main()
    made = dataclasses.replace(postgres_server, name=name)
    assert made.execute("select count(*) from products") == [(len(pandas.read_parquet(SAMPLE)),)]
    assert filesystem(s3_server).get_file_info(name.replace("_", "-")).type == FileType.Directory
    day = EXTRACT.replace(":partition_start", "date '2026-11-17'").replace(":partition_end", "date '2026-11-18'")
    rows = made.execute(day)
    assert len(rows) == 188
    assert all(isinstance(json.loads(row[-1]), list) for row in rows)
    assert made.execute("select min(updated_on), max(updated_on) from products") == [
        (date(2026, 10, 20), date(2026, 11, 18))
    ]
    assert made.execute("select count(*), min(updated_on), pg_typeof(max(max_characters)) from ui_strings") == [
        (200, date(2026, 11, 18), "bigint")
    ]
    assert made.execute("select count(*), min(created_on), max(created_on) from tickets") == [
        (200, date(2026, 11, 17), date(2026, 11, 17))
    ]
    assert made.execute("select count(*), pg_typeof(max(charged_cents)) from orders") == [(354, "bigint")]
