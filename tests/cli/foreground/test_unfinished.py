"""Which run `make run` goes on with."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from include.cli.foreground.unfinished import Taken, record_ended, taken_run
from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import LakeError
from include.enrichment.runs.options import RunOptions
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.stack.folder import ROOT, StackFolder
from tests.fixtures.flow import DAY

#: Another process that works on a run until it is killed.
WORKER = """
import sys, time
from datetime import date, datetime
from pathlib import Path
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.gateways.lake import Lake
from include.stack.folder import StackFolder
from include.cli.foreground.unfinished import taken_run
path = Path(sys.argv[1])
home = path / "stack" / "runs" / "worker"
home.mkdir(parents=True)
with taken_run(
    "tickets", Partition(start=date(2026, 11, 1)), options=RunOptions(), anew=False,
    new_id=lambda at: f"manual__{at.isoformat()}_worker",
    folder=StackFolder(path=path / "stack"), home=home, lake=Lake.in_folder(path / "lake"),
) as taken:
    print(taken.run.run_id, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


@contextmanager
def taken(
    tmp_path: Path,
    lake: Lake,
    name: str,
    *,
    anew: bool = False,
    options: RunOptions = RunOptions(),  # noqa: B008
) -> Iterator[Taken]:
    """The run of a `make run`, as in a process of its own."""
    home = tmp_path / "stack" / "runs" / name
    home.mkdir(parents=True, exist_ok=True)

    def new_id(begun_at: datetime) -> str:
        return f"manual__{begun_at.isoformat()}_{name}"

    folder = StackFolder(path=tmp_path / "stack")
    with taken_run(
        "tickets", DAY, options=options, anew=anew, new_id=new_id, folder=folder, home=home, lake=lake
    ) as run:
        yield run


def killed(tmp_path: Path, lake: Lake, name: str, *, anew: bool = False) -> str:
    """The id of a run that did not end."""
    with taken(tmp_path, lake, name, anew=anew) as found:
        return found.run.run_id


def test_a_run_that_did_not_end_is_gone_on_with_under_its_id(tmp_path: Path, lake: Lake) -> None:
    first = killed(tmp_path, lake, "1")
    with taken(tmp_path, lake, "2") as found:
        assert (found.run.run_id, found.gone_on, found.beside) == (first, True, None)


def test_one_that_has_ended_is_not(tmp_path: Path, lake: Lake) -> None:
    with taken(tmp_path, lake, "1") as first:
        record_ended(first.run, "tickets", DAY, lake)
    with taken(tmp_path, lake, "2") as found:
        assert (found.run.run_id == first.run.run_id, found.gone_on) == (False, False)


def test_one_that_was_killed_right_after_it_had_published_is_not(tmp_path: Path, lake: Lake) -> None:
    first = killed(tmp_path, lake, "1")
    manifest = Manifest.model_validate(
        {
            "pipeline": "tickets",
            "partition": str(DAY),
            "run_id": first,
            "extracted_at": "2026-11-29T12:00:00Z",
            "published_at": "2026-11-29T12:00:00Z",
            **dict.fromkeys(("rows", "requests", "published", "rejected"), 0),
            **{name: [] for name in ("batches", "reused")},
            **{name: {} for name in ("rejected_by", "columns")},
            **dict.fromkeys(("model", "table", "rejects"), "x"),
        }
    )
    lake.write(layout.manifest("tickets", DAY), manifest.model_dump_json().encode())
    with taken(tmp_path, lake, "2") as found:
        assert not found.gone_on


def test_of_several_the_newest_comes_first_and_then_the_others(tmp_path: Path, lake: Lake) -> None:
    first, second = killed(tmp_path, lake, "1"), killed(tmp_path, lake, "2", anew=True)
    assert first != second
    with taken(tmp_path, lake, "3") as found:
        assert found.run.run_id == second
        record_ended(found.run, "tickets", DAY, lake)
    with taken(tmp_path, lake, "4") as found:
        assert found.run.run_id == first


def test_a_run_anew_leaves_it_alone(tmp_path: Path, lake: Lake) -> None:
    first = killed(tmp_path, lake, "1")
    with taken(tmp_path, lake, "2", anew=True) as found:
        assert (found.run.run_id == first, found.gone_on) == (False, False)


def test_one_with_other_options_is_left_alone_and_told(tmp_path: Path, lake: Lake) -> None:
    plain = killed(tmp_path, lake, "1")
    trial = RunOptions(rows=10)
    with taken(tmp_path, lake, "2", options=trial) as found:
        assert (found.gone_on, found.run.options) == (False, trial)
        assert found.other
        assert found.other.run_id == plain
    with taken(tmp_path, lake, "3", options=trial) as again:
        assert (again.run.run_id, again.gone_on, again.other) == (found.run.run_id, True, None)
    with taken(tmp_path, lake, "4") as found:
        assert (found.run.run_id, found.gone_on) == (plain, True)


def test_another_budget_goes_on_with_the_run_that_had_too_little(tmp_path: Path, lake: Lake) -> None:
    with taken(tmp_path, lake, "1", options=RunOptions(reuse=False, budget_usd=Decimal(1))) as first:
        pass
    with taken(tmp_path, lake, "2", options=RunOptions(reuse=False, budget_usd=Decimal(5))) as found:
        assert (found.run.run_id, found.gone_on) == (first.run.run_id, True)


def test_a_living_process_keeps_its_run_until_it_is_killed(tmp_path: Path, lake: Lake) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout
            run_id = worker.stdout.readline().strip()
            with taken(tmp_path, lake, "1") as found:
                assert (found.run.run_id == run_id, found.gone_on) == (False, False)
                assert found.beside
                assert found.beside.run_id == run_id
                record_ended(found.run, "tickets", DAY, lake)
        finally:
            worker.kill()
    with taken(tmp_path, lake, "2") as found:
        assert (found.run.run_id, found.beside) == (run_id, None)


def test_a_run_of_another_day_or_of_airflow_is_none_of_its_business(tmp_path: Path, lake: Lake) -> None:
    lake.write("runs/tickets/2026-11-02/r/foreground.json", b"{}")
    lake.write("runs/tickets/2026-11-01/scheduled__1/pipeline.json", b"{}")
    with taken(tmp_path, lake, "1") as found:
        assert not found.gone_on


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "is damaged: .*Delete it to give that run up"), (b'{"version": 99}', "has version 99, .*a newer")],
)
def test_one_that_cannot_be_read_starts_nothing(tmp_path: Path, lake: Lake, data: bytes, told: str) -> None:
    key = RunFolder(pipeline="tickets", partition=DAY, run_id="r").foreground_json
    lake.write(key, data)
    with pytest.raises(LakeError, match=told), taken(tmp_path, lake, "1"):
        pass
    assert lake.list("") == [key]
