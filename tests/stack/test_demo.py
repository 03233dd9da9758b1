"""What the demo prepares, without starting it: its data, and the faults it plants."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import yaml

from include.enrichment.layout import RunFolder
from include.enrichment.partition import parse_partition
from include.enrichment.spec import load_pipeline
from include.stack import demo, warehouse
from include.stack.folder import ROOT, StackFolder
from tests.fixtures.flow import Flow


def products(folder: StackFolder) -> int:
    with closing(sqlite3.connect(folder.warehouse)) as connection:
        found: int = connection.execute("select count(*) from products").fetchone()[0]
        return found


def test_a_demo_begins_with_the_sample_and_no_batches(tmp_path: Path) -> None:
    folder = StackFolder(path=tmp_path)
    for _ in range(2):
        demo._prepare_data(folder, real_api=False)
        assert products(folder) == 5078
        assert list(folder.emulator_state.iterdir()) == []
        (folder.emulator_state / "emulator.db").touch()
        folder.warehouse.write_bytes(b"")


def test_what_is_kept_stays_as_the_last_demo_left_it(tmp_path: Path) -> None:
    folder = StackFolder(path=tmp_path, kept="kept")
    demo._prepare_data(folder, real_api=False)
    (folder.emulator_state / "emulator.db").touch()
    with closing(sqlite3.connect(folder.warehouse)) as connection, connection:
        connection.execute("create table mine (id)")
    demo._prepare_data(folder, real_api=False)
    assert (folder.emulator_state / "emulator.db").exists()
    with closing(sqlite3.connect(folder.warehouse)) as connection:
        assert connection.execute("select count(*) from mine").fetchone() == (0,)


def test_a_demo_that_keeps_nothing_leaves_what_is_kept_alone(tmp_path: Path) -> None:
    kept, plain = StackFolder(path=tmp_path, kept="kept"), StackFolder(path=tmp_path)
    demo._prepare_data(kept, real_api=False)
    before = kept.warehouse.stat()
    demo._prepare_data(plain, real_api=False)
    assert kept.warehouse.stat() == before
    assert not {kept.warehouse, kept.emulator_state, kept.lake} & {plain.warehouse, plain.emulator_state, plain.lake}


def test_planted_faults_are_repaired_but_for_one_reject_and_the_day_is_published(flow: Flow, tmp_path: Path) -> None:
    database = tmp_path / "sample.db"
    warehouse.load_sample(database)
    catalogue = replace(
        flow,
        pipeline=load_pipeline(ROOT / "include" / "pipelines" / demo.PIPELINE),
        folder=RunFolder(
            pipeline=demo.PIPELINE, partition=parse_partition(demo.PARTITION, "PARTITION"), run_id="manual__1"
        ),
        database=database,
    )
    flow.emulator.set_faults(yaml.safe_load(demo.PLANTED.read_text(encoding="utf-8")))
    catalogue.extract()
    assert catalogue.send("canary") == {"succeeded": 5}
    assert catalogue.send("main") == {"succeeded": 178, "invalid": 4, "expired": 1}
    assert catalogue.send("retry") == {"succeeded": 4}
    manifest = catalogue.publish()
    assert (manifest.published, manifest.rejected_by) == (187, {"invalid": 1})
    assert manifest.rejected / manifest.rows < catalogue.pipeline.settings.limits.max_reject_ratio
