from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError
from include.steps.planning.plan_files import read_repairs
from tests.fixtures.flow import Flow
from tests.fixtures.planning import change


def test_a_plan_that_cannot_be_read_is_reported_with_the_task_to_clear(twenty: Flow) -> None:
    twenty.send()
    twenty.lake.write(twenty.folder.plan_json("main"), b"[]")
    with pytest.raises(LakeError, match="Clear the `plan` of pass main"):
        twenty.publish()
    twenty.plan()
    assert twenty.publish().published == 20


def test_a_plan_of_a_pass_that_the_run_no_longer_has_counts_no_more(twenty: Flow, tmp_path: Path) -> None:
    twenty.plan("canary")
    change(twenty, tmp_path, "limits: {canary_rows: 0}")
    twenty.extract()
    assert twenty.send() == {"succeeded": 20}
    assert twenty.publish().published == 20


def test_repairs_that_an_earlier_version_wrote_are_one_deep(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "violates_schema", "times": 1}])
    twenty.send()
    twenty.plan("retry")
    key = twenty.folder.repairs("retry")
    written = pq.read_table(pa.BufferReader(twenty.lake.read(key)))
    pq.write_table(written.select(["request_id", "repair_id"]), sink := pa.BufferOutputStream())
    twenty.lake.write(key, sink.getvalue().to_pybytes())
    found = read_repairs(twenty.lake, twenty.folder, ["main", "retry"])
    assert found.sort_by("repair_id") == written.sort_by("repair_id")
    assert set(found["depth"].to_pylist()) == {1}
