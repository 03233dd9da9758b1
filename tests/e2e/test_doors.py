"""One day reached by the schedule, by hand and by a backfill, on a real scheduler."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy

from include.cli.output.published_day import Published, read_published, stack_lake
from include.enrichment.runs.partition import Partition, resolve_partition
from include.enrichment.storage import layout
from include.stack.airflow_api import AirflowApi
from include.stack.environment import stack_environment
from include.stack.folder import ROOT, StackFolder
from include.stack.stack import BUCKET, Stack
from tests.fixtures.emulator import Emulator
from tests.fixtures.stack import running_stack

DAY = "2026-11-01"
SUMMARY = "catalogue_summary"
#: The scheduler catches up with the night. Of the deadlines the first has passed when the run is made, the second is
#: brought forward while it runs, and with the third the run is cleared.
DEADLINES = "[deadline for days in (1, 10_000, 20_000) for deadline in done_within(timedelta(days=days))]"
CHANGES = f"{{'catchup': True, 'deadline': {DEADLINES}}}"
#: Far beyond what anything here takes on a machine that has other work, too.
PATIENCE_SECONDS = 600


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """The Dags as they are, but that the scheduler has one night to catch up with: that of DAY."""
    folder = tmp_path / "dags"
    folder.mkdir()
    for file in (ROOT / "dags").glob("*.py"):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    dag = folder / "catalogue.py"
    text = dag.read_text(encoding="utf-8")
    for old, new in (
        ("start_date=datetime(2026, 10, 20, tzinfo=UTC)", "start_date=(day := datetime(2026, 11, 1, tzinfo=UTC))"),
        ("import MIDNIGHT, NIGHTLY", "import MIDNIGHT, NIGHTLY, done_within"),
        ("    **NIGHTLY", f"    end_date=day, **NIGHTLY | {CHANGES}"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    dag.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def settings(dags: Path) -> dict[str, str]:
    return {"AIRFLOW__CORE__DAGS_FOLDER": str(dags)}


@pytest.fixture
def stack(stack_folder: StackFolder, settings: Mapping[str, str]) -> Iterator[Stack]:
    with running_stack(stack_folder, processing_seconds=1, settings=settings) as running:
        yield running


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        time.sleep(0.5)


def partition() -> Partition:
    return resolve_partition(param=DAY, partition_key=None, data_interval_start=None)


def published(stack: Stack) -> tuple[Published, bytes]:
    """The partition, and the bytes of its table."""
    found = read_published(stack, "catalogue", partition())
    assert found is not None
    return found, read(stack, layout.table("catalogue", partition()))


def read(stack: Stack, key: str) -> bytes:
    data: bytes = stack_lake(stack).open_input_file(f"{BUCKET}/{key}").read()
    return data


def logged(folder: Path, text: str) -> bool:
    return any(text in file.read_text(encoding="utf-8", errors="replace") for file in folder.rglob("*.log*"))


def bring_a_deadline_forward(stack: Stack, settings: Mapping[str, str]) -> None:
    """The first deadline of the two that are ahead is now."""
    uri = (stack_environment(stack) | dict(settings))["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    with sqlalchemy.create_engine(uri).begin() as connection:
        assert connection.scalar(sqlalchemy.text("select count(*) from deadline")) == 2
        first = "(select min(deadline_time) from deadline)"
        connection.execute(sqlalchemy.text(f"update deadline set deadline_time = now() where deadline_time = {first}"))


def backfill(stack: Stack, settings: Mapping[str, str]) -> None:
    """`airflow backfill create` for DAY, which has been run before."""
    command = ["backfill", "create", "--dag-id", "catalogue", "--reprocess-behavior", "completed"]
    arguments = [sys.executable, "-m", "airflow", *command, "--from-date", DAY, "--to-date", DAY]
    environment = stack_environment(stack) | dict(settings)
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_day_by_schedule_by_hand_and_by_backfill_is_one_object_and_one_payment(
    stack: Stack, stack_folder: StackFolder, settings: Mapping[str, str]
) -> None:
    emulator = Emulator(stack.emulator_url, None)
    with AirflowApi(stack) as api:

        def succeeded(run_id: str) -> bool:
            state = api.run_state("catalogue", run_id)
            assert state != "failed", [
                api.errors("catalogue", run_id, one) for one in api.task_instances("catalogue", run_id)
            ]
            return state == "success"

        wait_for(lambda: api.has_dag("catalogue") and api.has_dag(SUMMARY))
        for dag_id in ("catalogue", SUMMARY):
            api.unpause(dag_id)
        wait_for(lambda: len(api.run_ids("catalogue")) == 1)
        (scheduled,) = api.run_ids("catalogue")
        assert scheduled == f"scheduled__{DAY}"
        bring_a_deadline_forward(stack, settings)
        wait_for(lambda: succeeded(scheduled))
        first, table = published(stack)
        assert first.manifest.run_id == scheduled
        assert first.manifest.published > 100
        paid = emulator.bills()["requests"]
        assert paid == first.manifest.requests

        by_hand = api.trigger("catalogue", {"partition": DAY})
        wait_for(lambda: succeeded(by_hand))
        second, table_by_hand = published(stack)
        assert second.manifest.run_id == by_hand
        assert table_by_hand == table

        backfill(stack, settings)
        wait_for(lambda: published(stack)[0].manifest.run_id == scheduled and succeeded(scheduled))
        assert published(stack)[1] == table
        assert sorted(api.run_ids("catalogue")) == sorted([scheduled, by_hand])
        assert emulator.bills()["requests"] == paid
        assert len(emulator.batches_made()) == 2

        summary = f"{layout.summary('catalogue', partition(), 'category')}"
        wait_for(lambda: stack_lake(stack).get_file_info(f"{BUCKET}/{summary}").is_file)
        late = f"Run {scheduled} of catalogue is not done at its deadline"
        wait_for(lambda: logged(stack_folder.path, late))

        emulator.set_faults([{"kind": "http_error", "on": "models", "status": 401}])
        refused = api.trigger("catalogue", {"partition": DAY})
        wait_for(lambda: api.run_state("catalogue", refused) == "failed")
        wait_for(lambda: logged(stack_folder.path, f"catalogue {DAY} failed at extract: "))
        assert published(stack)[1] == table
