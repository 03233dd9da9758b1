"""
A real scheduler: days reached by the schedule, by hand and by backfills at the same time, and a chunk that fails beside
others. One stack for both.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
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
from include.stack.stack import Stack
from tests.fixtures.emulator import Emulator
from tests.fixtures.stack import running_stack

DAY = "2026-11-01"
#: Days that a backfill brings, one after the other.
EARLIER = [f"2026-10-{day}" for day in range(27, 32)]
CATALOGUE = "catalogue"
SUMMARY = "catalogue_summary"
IN_CHUNKS = "catalogue_in_chunks"
#: The scheduler catches up with the night. Of the deadlines the first has passed when the run is made, the second is
#: brought forward while it runs, and with the third the run is cleared.
DEADLINES = "[deadline for days in (1, 10_000, 20_000) for deadline in done_within(timedelta(days=days))]"
CHANGES = f"{{'catchup': True, 'deadline': {DEADLINES}}}"
#: The catalogue in chunks of 60 requests, without a canary, each task tried once.
IN_CHUNKS_DAG = f"""
from pathlib import Path
from airflow.sdk import dag
from claude_batch import pipelines
from claude_batch.task_group import enrich

pipelines.PIPELINES = Path(__file__).parents[1] / "pipelines"

@dag(dag_id="{IN_CHUNKS}", schedule=None)
def in_chunks():
    enrich("{CATALOGUE}")

in_chunks()
"""
#: What Airflow logs when it answers that it cannot, and when it ends a task that it takes for dead.
TROUBLE = r"status_code=5\d\d|Too many failed heartbeats|task instance without a heartbeat"
#: Far beyond what anything here takes on a machine that has other work, too.
PATIENCE_SECONDS = 1800


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The Dags as they are, but that the scheduler has one night to catch up with: that of DAY. And one more, of a
    catalogue in chunks.
    """
    home = tmp_path_factory.mktemp("doors")
    folder = home / "dags"
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

    source, pipeline = ROOT / "include" / "pipelines" / CATALOGUE, home / "pipelines" / CATALOGUE
    pipeline.mkdir(parents=True)
    for file in source.glob("*.*"):
        (pipeline / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    settings = pipeline / "pipeline.yaml"
    text = settings.read_text(encoding="utf-8")
    assert text.count("canary_rows: 5 ") == 1
    settings.write_text(text.replace("canary_rows: 5 ", "canary_rows: 0\n  batch_requests: 60 "), encoding="utf-8")
    (folder / "in_chunks.py").write_text(IN_CHUNKS_DAG, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def settings(dags: Path) -> dict[str, str]:
    return {"AIRFLOW__CORE__DAGS_FOLDER": str(dags)}


@pytest.fixture(scope="module")
def stack(stack_folder: StackFolder, settings: Mapping[str, str]) -> Iterator[Stack]:
    with running_stack(stack_folder, processing_seconds=1, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[AirflowApi]:
    with AirflowApi(stack) as client:
        wait_for(lambda: all(map(client.has_dag, (CATALOGUE, SUMMARY, IN_CHUNKS))) or client.import_errors() != [])
        assert client.import_errors() == []
        yield client


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s"
        time.sleep(0.5)


def partition(day: str) -> Partition:
    return resolve_partition(param=day, partition_key=None, data_interval_start=None)


def published(stack: Stack, day: str = DAY) -> tuple[Published, bytes]:
    """The partition, and the bytes of its table."""
    found = read_published(stack, CATALOGUE, partition(day))
    assert found is not None
    return found, read(stack, layout.table(CATALOGUE, partition(day)))


def read(stack: Stack, key: str) -> bytes:
    return stack_lake(stack).read(key)


def logged(folder: Path, text: str) -> bool:
    return any(text in file.read_text(encoding="utf-8", errors="replace") for file in folder.rglob("*.log*"))


def bring_a_deadline_forward(stack: Stack, settings: Mapping[str, str]) -> None:
    """The first deadline of the two that are ahead is now."""
    uri = (stack_environment(stack) | dict(settings))["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    with sqlalchemy.create_engine(uri).begin() as connection:
        assert connection.scalar(sqlalchemy.text("select count(*) from deadline")) == 2
        first = "(select min(deadline_time) from deadline)"
        connection.execute(sqlalchemy.text(f"update deadline set deadline_time = now() where deadline_time = {first}"))


def backfill_again(stack: Stack, settings: Mapping[str, str]) -> bool:
    """`airflow backfill create` for DAY, which has been run before; False while the backfill before it goes on."""
    command = ["backfill", "create", "--dag-id", CATALOGUE, "--reprocess-behavior", "completed"]
    arguments = [sys.executable, "-m", "airflow", *command, "--from-date", DAY, "--to-date", DAY]
    environment = stack_environment(stack) | dict(settings)
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 0 or "AlreadyRunningBackfill" in said, said
    return ended.returncode == 0


def test_days_by_schedule_by_hand_and_by_backfill_are_one_object_and_one_payment_each(
    api: AirflowApi, stack: Stack, stack_folder: StackFolder, settings: Mapping[str, str]
) -> None:
    emulator = Emulator(stack.emulator_url, None)
    assert stack.no_postgres == ""

    def succeeded(run_id: str) -> bool:
        state = api.run_state(CATALOGUE, run_id)
        assert state != "failed", [api.errors(CATALOGUE, run_id, one) for one in api.task_instances(CATALOGUE, run_id)]
        return state == "success"

    def backfilled() -> list[str]:
        return sorted(run_id for run_id in api.run_ids(CATALOGUE) if run_id.startswith("backfill"))

    def requests_billed(batches: list[str]) -> int:
        return sum(bill["requests"] for bill in emulator.bills()["bills"] if bill["id"] in batches)

    for dag_id in (CATALOGUE, SUMMARY):
        api.unpause(dag_id)
    wait_for(lambda: len(api.run_ids(CATALOGUE)) == 1)
    (scheduled,) = api.run_ids(CATALOGUE)
    assert scheduled == f"scheduled__{DAY}"
    bring_a_deadline_forward(stack, settings)
    api.start_backfill(CATALOGUE, EARLIER[0], EARLIER[-1])

    wait_for(lambda: succeeded(scheduled))
    first, table = published(stack)
    assert first.manifest.run_id == scheduled
    assert first.manifest.published > 100
    assert len(first.manifest.batches) == 2
    assert requests_billed(first.manifest.batches) == first.manifest.requests

    by_hand = api.trigger(CATALOGUE, {"partition": DAY})
    wait_for(lambda: succeeded(by_hand))
    second, table_by_hand = published(stack)
    assert second.manifest.run_id == by_hand
    assert table_by_hand == table

    wait_for(lambda: len(backfilled()) == len(EARLIER) and all(map(succeeded, backfilled())))
    earlier = [published(stack, day)[0].manifest for day in EARLIER]
    assert [manifest.run_id for manifest in earlier] == backfilled()

    # Cleared a second time, the run has the chunks of its first time, which are `removed`, and plans with none.
    for _ in range(2):
        wait_for(lambda: backfill_again(stack, settings))
        wait_for(lambda: published(stack)[0].manifest.run_id == scheduled and succeeded(scheduled))
        assert published(stack)[1] == table
    assert sorted(api.run_ids(CATALOGUE)) == sorted([scheduled, by_hand, *backfilled()])
    # All that was ever sent is in the days' own batches, each request once.
    known = [batch for manifest in (first.manifest, *earlier) for batch in manifest.batches]
    assert sorted(batch["id"] for batch in emulator.batches_made()) == sorted(known)
    assert emulator.bills()["billed_twice"] == 0

    summary = layout.summary(CATALOGUE, partition(DAY), "category")
    wait_for(lambda: stack_lake(stack).exists(summary))
    late = f"catalogue is late: run {scheduled} is still running at its deadline"
    wait_for(lambda: logged(stack_folder.path, late))

    emulator.set_faults([{"kind": "http_error", "on": "models", "status": 401}])
    refused = api.trigger(CATALOGUE, {"partition": DAY})
    wait_for(lambda: api.run_state(CATALOGUE, refused) == "failed")
    wait_for(lambda: logged(stack_folder.path, f"catalogue {DAY} failed at extract: "))
    assert published(stack)[1] == table

    logs = "\n".join(
        file.read_text(encoding="utf-8", errors="replace")
        for folder in (stack_folder.logs, stack_folder.airflow_home / "logs")
        for file in folder.rglob("*.log*")
    )
    assert re.findall(rf".*(?:{TROUBLE}).*", logs) == []


def test_a_chunk_that_fails_fails_once_and_the_others_are_loaded(api: AirflowApi, stack: Stack) -> None:
    """One chunk cannot be sent, and the wait for another gives up, whose batch is loaded all the same."""
    emulator = Emulator(stack.emulator_url, None)
    emulator.set_faults(
        [
            {"kind": "http_error", "on": "create", "status": 413, "times": 1},
            {"kind": "http_error", "on": "retrieve", "status": 401, "times": 1},
        ]
    )
    api.unpause(IN_CHUNKS)
    run_id = api.trigger(IN_CHUNKS, {"partition": "2026-11-02"})
    wait_for(lambda: api.run_state(IN_CHUNKS, run_id) in ("success", "failed"))
    assert api.run_state(IN_CHUNKS, run_id) == "failed"
    tasks = Counter(
        (task.task_id.removeprefix(f"{CATALOGUE}."), task.state) for task in api.task_instances(IN_CHUNKS, run_id)
    )
    failed = {task: count for (task, how), count in tasks.items() if how == "failed"}
    assert failed == {"main.chunk.submit": 1, "main.chunk.wait": 1}
    assert tasks["main.chunk.load", "upstream_failed"] == 1
    assert tasks["main.chunk.load", "success"] == tasks["main.chunk.submit", "success"] > 1
    assert tasks["publish", "upstream_failed"] == 1
