"""Which run `make run` works on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from include.cli.foreground.unfinished import BusyRun, ClaimedRun, claim_run, record_ended
from include.enrichment.errors import LakeError
from include.enrichment.runs.options import RunOptions
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.stack.folder import ROOT, StackFolder
from tests.fixtures.flow import DAY
from tests.fixtures.manifests import make_manifest

#: A process that works on a run until it is killed.
WORKER = """
import sys, time
from datetime import date, datetime
from pathlib import Path
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.gateways.lake import Lake
from include.stack.folder import StackFolder
from include.cli.foreground.unfinished import claim_run
path = Path(sys.argv[1])
home = path / "stack" / "runs" / "worker"
home.mkdir(parents=True)
with claim_run(
    "tickets", Partition(start=date(2026, 11, 1)), options=RunOptions(), start_new=False,
    new_id=lambda at: f"manual__{at.isoformat()}_worker",
    folder=StackFolder(path=path / "stack"), home=home, lake=Lake.in_folder(path / "lake"),
) as claimed:
    print(claimed.run.run_id, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


@contextmanager
def claimed(
    tmp_path: Path,
    lake: Lake,
    name: str,
    *,
    start_new: bool = False,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Iterator[ClaimedRun]:
    """Claim a run as `make run` does in a process of its own."""
    home = tmp_path / "stack" / "runs" / name
    home.mkdir(parents=True, exist_ok=True)

    def new_id(begun_at: datetime) -> str:
        return f"manual__{begun_at.isoformat()}_{name}"

    folder = StackFolder(path=tmp_path / "stack")
    with claim_run(
        "tickets", DAY, options=options, start_new=start_new, new_id=new_id, folder=folder, home=home, lake=lake
    ) as run:
        yield run


def killed(tmp_path: Path, lake: Lake, name: str, *, start_new: bool = False) -> str:
    """Return the id of a run that did not finish."""
    with claimed(tmp_path, lake, name, start_new=start_new) as found:
        return found.run.run_id


def test_an_unfinished_run_is_resumed_under_its_id(tmp_path: Path, lake: Lake) -> None:
    first = killed(tmp_path, lake, "1")
    with claimed(tmp_path, lake, "2") as found:
        assert (found.run.run_id, found.resumed, found.busy) == (first, True, None)


def test_an_ended_run_is_not_resumed(tmp_path: Path, lake: Lake) -> None:
    with claimed(tmp_path, lake, "1") as first:
        record_ended(first.run, "tickets", DAY, lake)
    with claimed(tmp_path, lake, "2") as found:
        assert (found.run.run_id == first.run.run_id, found.resumed) == (False, False)


def test_a_run_killed_after_it_published_is_not_resumed(tmp_path: Path, lake: Lake) -> None:
    first = killed(tmp_path, lake, "1")
    manifest = make_manifest(run_id=first)
    lake.write(layout.manifest("tickets", DAY), manifest.model_dump_json().encode())
    with claimed(tmp_path, lake, "2") as found:
        assert not found.resumed


def test_the_newest_unfinished_run_is_resumed_first(tmp_path: Path, lake: Lake) -> None:
    first, second = killed(tmp_path, lake, "1"), killed(tmp_path, lake, "2", start_new=True)
    assert first != second
    with claimed(tmp_path, lake, "3") as found:
        assert found.run.run_id == second
        record_ended(found.run, "tickets", DAY, lake)
    with claimed(tmp_path, lake, "4") as found:
        assert found.run.run_id == first


def test_start_new_resumes_nothing(tmp_path: Path, lake: Lake) -> None:
    first = killed(tmp_path, lake, "1")
    with claimed(tmp_path, lake, "2", start_new=True) as found:
        assert (found.run.run_id == first, found.resumed) == (False, False)


def test_a_run_with_other_options_is_not_resumed_but_reported(tmp_path: Path, lake: Lake) -> None:
    plain = killed(tmp_path, lake, "1")
    trial = RunOptions(rows=10)
    with claimed(tmp_path, lake, "2", options=trial) as found:
        assert (found.resumed, found.run.options) == (False, trial)
        assert found.different
        assert found.different.run_id == plain
    with claimed(tmp_path, lake, "3", options=trial) as again:
        assert (again.run.run_id, again.resumed, again.different) == (found.run.run_id, True, None)
    with claimed(tmp_path, lake, "4") as found:
        assert (found.run.run_id, found.resumed) == (plain, True)


def test_a_run_is_resumed_with_another_budget(tmp_path: Path, lake: Lake) -> None:
    with claimed(tmp_path, lake, "1", options=RunOptions(reuse=False, budget_usd=Decimal(1))) as first:
        pass
    with claimed(tmp_path, lake, "2", options=RunOptions(reuse=False, budget_usd=Decimal(5))) as found:
        assert (found.run.run_id, found.resumed) == (first.run.run_id, True)


def test_a_living_process_keeps_its_run_until_it_is_killed(tmp_path: Path, lake: Lake) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout
            run_id = worker.stdout.readline().strip()
            with claimed(tmp_path, lake, "1") as found:
                assert (found.run.run_id == run_id, found.resumed) == (False, False)
                assert found.busy
                assert found.busy == BusyRun(run=found.busy.run, pid=worker.pid)
                assert found.busy.run.run_id == run_id
                record_ended(found.run, "tickets", DAY, lake)
        finally:
            worker.kill()
    with claimed(tmp_path, lake, "2") as found:
        assert (found.run.run_id, found.busy) == (run_id, None)


def test_runs_of_another_day_or_of_airflow_are_ignored(tmp_path: Path, lake: Lake) -> None:
    lake.write("runs/tickets/2026-11-02/r/foreground.json", b"{}")
    lake.write("runs/tickets/2026-11-01/scheduled__1/pipeline.json", b"{}")
    with claimed(tmp_path, lake, "1") as found:
        assert not found.resumed


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is damaged: .*Delete it to give up that run"), (b'{"version": 99}', "has version 99, .*a newer")],
)
def test_an_unreadable_run_starts_nothing(tmp_path: Path, lake: Lake, data: bytes, message: str) -> None:
    key = RunFolder(pipeline="tickets", partition=DAY, run_id="r").foreground_json
    lake.write(key, data)
    with pytest.raises(LakeError, match=message), claimed(tmp_path, lake, "1"):
        pass
    assert lake.list("") == [key]
