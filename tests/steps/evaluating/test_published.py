from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.gateways.lake import Lake
from include.steps.evaluating.published import Published, check_judges, read_published
from tests.fixtures.flow import DAY
from tests.fixtures.manifests import make_manifest

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def parquet(column: str) -> bytes:
    pq.write_table(pa.table({column: ["a"]}), sink := pa.BufferOutputStream())
    data: bytes = sink.getvalue().to_pybytes()
    return data


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a published partition of tickets."""
    lake = Lake.in_folder(tmp_path / "lake")
    files = {"table": parquet("topic"), "rejects": parquet("reason")}
    lake.write(layout.table("tickets", DAY), files["table"])
    lake.write(layout.rejects("tickets", DAY), files["rejects"])
    sha256 = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    lake.write(layout.manifest("tickets", DAY), make_manifest(sha256=sha256).model_dump_json().encode())
    return lake


def test_table_and_rejects_are_those_of_the_manifest(lake: Lake) -> None:
    found = read_published("tickets", DAY, lake)
    assert (found.table.column_names, found.rejects.column_names) == (["topic"], ["reason"])
    assert found.manifest.run_id == "manual__1"


def test_a_partition_that_is_not_published_is_reported_with_the_command_that_publishes_it(lake: Lake) -> None:
    with pytest.raises(LakeError, match=r"does not exist.*make run PIPELINE=other PARTITION=2026-11-01") as caught:
        read_published("other", DAY, lake)
    assert not caught.value.retryable


def test_a_table_that_is_being_published_is_read_at_the_next_try(lake: Lake) -> None:
    lake.write(layout.table("tickets", DAY), parquet("newer"))
    with pytest.raises(LakeError, match="is not the one in its manifest: it is being published") as caught:
        read_published("tickets", DAY, lake)
    assert caught.value.retryable


@pytest.mark.parametrize("data", [b"", b'{"version": 1}'])
def test_a_damaged_manifest_is_named(lake: Lake, data: bytes) -> None:
    lake.write(layout.manifest("tickets", DAY), data)
    with pytest.raises(LakeError, match=r"manifests/tickets/dt=2026-11-01\.json is damaged"):
        read_published("tickets", DAY, lake)


def judge(name: str, extracted_at: datetime, source_sha256: str | None = None) -> Published:
    manifest = make_manifest(pipeline=name, extracted_at=extracted_at, source_sha256=source_sha256)
    return Published(manifest=manifest, table=pa.table({}), rejects=pa.table({}))


def test_a_judge_that_has_read_an_earlier_table_is_named_with_the_command_that_runs_it_again() -> None:
    published = Published(manifest=make_manifest(published_at=NOON), table=pa.table({}), rejects=pa.table({}))
    newer, older = judge("newer", NOON + timedelta(seconds=1)), judge("older", NOON - timedelta(hours=1))
    check_judges(published, [newer])
    with pytest.raises(LakeError, match="older began to read at 2026-11-02 11:00:00") as caught:
        check_judges(published, [newer, older])
    assert str(caught.value).splitlines()[1:] == ["make run PIPELINE=older PARTITION=2026-11-01"]
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("source_sha256", "seconds", "reads_it"),
    [("a", 60, True), ("a", -60, True), ("b", 60, False), (None, 60, True), (None, -60, False)],
    ids=["it", "the same, published again", "another, while it was published", "unknown, later", "unknown, earlier"],
)
def test_a_judge_grades_the_answers_of_the_very_table_that_it_has_read(
    source_sha256: str | None, seconds: int, *, reads_it: bool
) -> None:
    manifest = make_manifest(published_at=NOON, sha256={"table": "a"})
    published = Published(manifest=manifest, table=pa.table({}), rejects=pa.table({}))
    grader = judge("grader", NOON + timedelta(seconds=seconds), source_sha256)
    if reads_it:
        check_judges(published, [grader])
    else:
        with pytest.raises(LakeError, match="its grades are for other answers"):
            check_judges(published, [grader])
