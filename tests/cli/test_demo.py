"""
The demo without a running stack: its data, its planted faults, and its behavior when a run fails.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from include.cli import demo
from include.enrichment.runs.partition import parse_partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.stack import sample_products
from include.stack.folder import ROOT, StackFolder
from include.stack.stack import LOOPBACK, Stack, new_stack
from tests.fixtures.flow import Flow


def products(folder: StackFolder) -> int:
    with closing(sqlite3.connect(folder.warehouse)) as connection:
        found: int = connection.execute("select count(*) from products").fetchone()[0]
        return found


def test_a_demo_starts_with_the_sample_and_no_batches(tmp_path: Path) -> None:
    folder = StackFolder(path=tmp_path)
    for _ in range(2):
        demo._prepare_data(folder, real_api=False)
        assert products(folder) == 5078
        assert list(folder.emulator_state.iterdir()) == []
        (folder.emulator_state / "emulator.db").touch()
        folder.warehouse.write_bytes(b"")


def test_kept_data_stays_as_the_last_demo_left_it(tmp_path: Path) -> None:
    folder = StackFolder(path=tmp_path, kept="kept")
    demo._prepare_data(folder, real_api=False)
    (folder.emulator_state / "emulator.db").touch()
    with closing(sqlite3.connect(folder.warehouse)) as connection, connection:
        connection.execute("create table mine (id)")
    demo._prepare_data(folder, real_api=False)
    assert (folder.emulator_state / "emulator.db").exists()
    with closing(sqlite3.connect(folder.warehouse)) as connection:
        assert connection.execute("select count(*) from mine").fetchone() == (0,)


def test_a_demo_without_keep_leaves_kept_data_alone(tmp_path: Path) -> None:
    kept, plain = StackFolder(path=tmp_path, kept="kept"), StackFolder(path=tmp_path)
    demo._prepare_data(kept, real_api=False)
    before = kept.warehouse.stat()
    demo._prepare_data(plain, real_api=False)
    assert kept.warehouse.stat() == before
    assert not {kept.warehouse, kept.emulator_state, kept.lake} & {plain.warehouse, plain.emulator_state, plain.lake}


def test_planted_faults_are_repaired_except_one_reject_and_the_day_is_published(flow: Flow, tmp_path: Path) -> None:
    database = tmp_path / "sample.db"
    sample_products.load_sample(database)
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


def test_planted_faults_strike_no_pipeline_but_the_demos() -> None:
    system = (ROOT / "include" / "pipelines" / demo.PIPELINE / "system.md").read_text(encoding="utf-8")
    for fault in yaml.safe_load(demo.PLANTED.read_text(encoding="utf-8")):
        end_of_system, _, begin_of_user = fault["match"].partition('","cache_control"')
        assert system.rstrip().endswith(end_of_system)
        assert '"content":"<product name=' in begin_of_user


class BrokenDag(BaseHTTPRequestHandler):
    """A fake Airflow whose only Dag file cannot be imported."""

    def do_POST(self) -> None:
        self._send(201, {"access_token": "token"})

    def do_GET(self) -> None:
        broken = {"filename": "catalogue.py", "stack_trace": "SpecError: unknown key"}
        found = self.path.endswith("/importErrors")
        self._send(200 if found else 404, {"import_errors": [broken]} if found else {})

    def _send(self, status: int, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack in which only an Airflow with a broken Dag is running."""
    stack = new_stack(StackFolder(path=tmp_path), real_api=False, processing_seconds=5)
    with ThreadingHTTPServer((LOOPBACK, stack.ports.airflow), BrokenDag) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield stack
        server.shutdown()


@pytest.fixture
def supervisord() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def test_a_failed_run_is_reported_and_leaves_the_stack_up(
    stack: Stack, tmp_path: Path, supervisord: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert not demo._run_or_report(stack, StackFolder(path=tmp_path), supervisord)
    printed = capsys.readouterr().err
    assert "A Dag file cannot be imported:\ncatalogue.py:\nSpecError: unknown key" in printed
    assert f"See Airflow at {stack.airflow_url} and the logs in {tmp_path}/logs" in printed
    assert supervisord.poll() is None


def test_a_wait_ends_when_supervisord_dies(stack: Stack, supervisord: subprocess.Popen[bytes]) -> None:
    supervisord.kill()
    supervisord.wait()
    with pytest.raises(demo.StackDied, match="supervisord ended with status -9"):
        demo._wait(demo._patience(stack, supervisord)(), lambda: ["s3"])
