"""`make clean-lake`: lists first, and deletes only on request."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from include.gateways.lake import Lake
from include.stack.stack import aws_connection
from tests.fixtures.commands import Command, command, quick_command
from tests.fixtures.s3 import Bucket

RUN, CHUNK, TABLE = "runs/p/2026-11-01/r/pipeline.json", "chunks/p/c.parquet", "tables/p/dt=2026-11-01/data.parquet"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake with objects that are 40 days old."""
    lake = Lake.in_folder(tmp_path / "lake")
    then = time.time() - 40 * 24 * 3600
    for key in (RUN, CHUNK, TABLE):
        lake.write(key, b"x" * 1_000_000)
        os.utime(lake.locate(key), (then, then))
    return lake


def clean_lake(run: Command, lake: Lake, *arguments: str, **variables: str) -> tuple[int, str, str]:
    settings = {"ENRICHMENT_LAKE": lake.uri, "AIRFLOW_CONN_AWS_DEFAULT": aws_connection("http://127.0.0.1:1")}
    ended = run(Path(lake.uri).parent / "stack", "clean-lake", *arguments, **(settings | variables))
    return ended.returncode, ended.stdout, ended.stderr


def test_it_lists_what_it_would_delete_and_deletes_on_request(lake: Lake) -> None:
    status, shown, _ = clean_lake(quick_command, lake)
    assert status == 0
    assert [line.split() for line in shown.splitlines()][:3] == [
        ["runs", "1", "objects", "1.0", "MB"],
        ["their", "working", "files", "0", "objects", "0.0", "MB"],
        ["chunk", "files", "1", "objects", "1.0", "MB"],
    ]
    assert f"older than 30 days and no longer needed. Nothing was deleted from {lake.uri}. YES=1 deletes them" in shown
    assert len(lake.list("")) == 3
    status, shown, _ = clean_lake(command, lake, YES="1")
    assert (status, lake.list("")) == (0, [TABLE])
    assert f"Deleted 2 objects older than 30 days from {lake.uri}." in shown


def test_younger_objects_stay(lake: Lake) -> None:
    status, shown, _ = clean_lake(quick_command, lake, "--days", "50", "--yes")
    assert (status, len(lake.list(""))) == (0, 3)
    assert f"Nothing to delete on {lake.uri}: no unneeded object is older than 50 days." in shown
    assert "YES=1" not in shown


def test_yes_0_deletes_nothing(lake: Lake) -> None:
    assert clean_lake(quick_command, lake, YES="0")[0] == 0
    assert len(lake.list("")) == 3


def test_it_prints_no_airflow_logs(s3_bucket: Bucket, tmp_path: Path) -> None:
    settings = {"ENRICHMENT_LAKE": s3_bucket.uri, "AIRFLOW_CONN_AWS_DEFAULT": s3_bucket.aws_connection}
    ended = command(tmp_path, "clean-lake", **settings)
    assert ended.stdout.startswith("runs ")
    assert ended.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "said"),
    [
        (["--days", "1"], {}, 2, "DAYS is 1"),
        (["--days", "many"], {}, 2, "invalid int value"),
        ([], {"ENRICHMENT_LAKE": "s3:/nowhere"}, 1, "ENRICHMENT_LAKE is 's3:/nowhere'"),
        ([], {"ENRICHMENT_LAKE": ""}, 1, "Not set: ENRICHMENT_LAKE"),
    ],
)
def test_errors_are_reported_and_delete_nothing(
    lake: Lake, arguments: list[str], variables: dict[str, str], status: int, said: str
) -> None:
    ended, _, complaint = clean_lake(quick_command, lake, *arguments, "--yes", **variables)
    assert (ended, said in complaint) == (status, True), complaint
    assert len(lake.list("")) == 3
