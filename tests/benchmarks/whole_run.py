"""
A whole run, from its trigger to the published partition, through the embedded stack: the real scheduler, triggerer and
API server, S3, a warehouse with the workload, and an emulator that ends every batch at once.

``python -m tests.benchmarks.whole_run --rows 100000`` prints one JSON object as the last line of stdout: the counts,
``seconds`` from trigger to published, their breakdown, and the peak memory of each process. gantt.py draws it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import psutil

from include.cli.output import published_day
from include.enrichment.runs.partition import Partition
from include.stack import processes
from include.stack.airflow_api import AirflowApi, unhealthy
from include.stack.folder import StackFolder
from include.stack.metadata import give_airflow_home
from include.stack.stack import Stack, new_stack
from include.stack.supervisor import failed_processes
from tests.benchmarks import workload
from tests.benchmarks.contender import FOLDER
from tests.benchmarks.spans import DEFERRED, WAITING, WORKING, Task, last, spans_of, waited_for

DAG = "whole_run"
PIPELINE = "pipeline"
BOOT_SECONDS = 240
TIMEOUT_SECONDS = 1_800
POLL_SECONDS = 1.0
#: The largest page of Airflow's API by default.
PAGE = 100
_MEGABYTE = 1_000_000
#: The names of the servers, by a part of their command. A task's command ends with the id of its instance.
SERVERS = {
    "moto.server": "S3",
    "include.emulator": "emulator",
    "LocalExecutor": "worker",
    "api_server": "api-server",
    "api-server": "api-server",
    "dag-processor": "dag-processor",
    "scheduler": "scheduler",
    "triggerer": "triggerer",
}
#: Airflow's defaults: the stack's own frequent parsing of Dag files would cost as much as a task each time.
SETTINGS: Mapping[str, str] = {
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).with_name("stack_dags")),
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
    # As in production, not as in the demo.
    "ENRICHMENT_SHORTEST_DEFERRAL_SECONDS": "30",
}


class NotPublished(Exception):
    """The stack did not start, or the run did not publish every row. The message says where the logs are."""


class RunApi(AirflowApi):
    """The API calls of a person who triggers a run and records its progress."""

    def tasks(self, dag_id: str, run_id: str, triggered_at: datetime) -> list[Task]:
        """Return the spans of the tasks that ran, in the order of their start."""
        path = f"/api/v2/dags/{dag_id}"
        instances = self._pages(f"{path}/dagRuns/{run_id}/taskInstances", "task_instances")
        # The event log has each state of each try; the task instance has only those of the last one.
        events = self._pages("/api/v2/eventLogs", "event_logs", dag_id=dag_id, run_id=run_id, order_by="when")
        upstream: dict[str, list[str]] = {}
        for task in self._get(f"{path}/tasks")["tasks"]:
            for after in task["downstream_task_ids"]:
                upstream.setdefault(after, []).append(task["task_id"])
        ran = [one for one in instances if one["start_date"] and one["end_date"]]
        found = [
            Task(
                task_id=one["task_id"],
                map_index=one["map_index"],
                instance_id=one["id"],
                spans=spans_of(one, events, ready=last(waited_for(one, ran, upstream)), triggered_at=triggered_at),
            )
            for one in ran
            if one["state"] != "skipped"
        ]
        # A task that only its trigger has run, such as the wait for the source, has no spans.
        return sorted((task for task in found if task.spans), key=lambda task: (task.spans[0].end, task.map_index))

    def _pages(self, path: str, name: str, **params: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._get(path, limit=PAGE, offset=len(found), **params)
            found += page[name]
            if len(found) >= page["total_entries"]:
                return found


def main() -> int:
    """Measure, and print the figures."""
    rows = _rows()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # through every __exit__
    database = FOLDER / str(rows) / "warehouse.db"
    if not database.exists():
        workload.write(rows, database.parent)
    folder = stack_folder()
    with processes.one_demo_at_a_time(folder), stack_with(folder, database) as stack, RunApi(stack) as api:
        found = _run(api, stack, folder)
    if found["rows"] != rows or found["published"] + found["rejected"] != rows:
        raise NotPublished(f"The warehouse has {rows:,} rows, but the manifest says {found}")
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


def _rows() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.whole_run", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="the number of rows of the partition")
    rows: int = parser.parse_args().rows
    return rows


def stack_folder() -> StackFolder:
    """Return ENRICHMENT_STACK_DIR or a folder of the benchmark's own, so that a demo can run at the same time."""
    os.environ.setdefault("ENRICHMENT_STACK_DIR", str(FOLDER / "stack"))
    return StackFolder.of_environment()


def _run(api: RunApi, stack: Stack, folder: StackFolder) -> dict[str, Any]:
    """Run once with an empty day, so that the scheduler has started, and then the measured run."""
    day_before = Partition(start=workload.DAY - timedelta(days=1))
    finish(api, folder, DAG, api.trigger(DAG, {"partition": str(day_before)}))
    partition = Partition(start=workload.DAY)
    with _memory(folder) as peaks:
        triggered_at = datetime.now(UTC)
        run_id = api.trigger(DAG, {"partition": str(partition)})
        finish(api, folder, DAG, run_id)
    tasks = api.tasks(DAG, run_id, triggered_at)
    published = published_day.read_published(stack, PIPELINE, partition)
    if published is None:
        raise NotPublished(f"The run succeeded, but {partition} has no manifest: see {folder.airflow_home}/logs")
    return {
        "rows": published.manifest.rows,
        "published": published.manifest.published,
        "rejected": published.manifest.rejected,
        "batches": len(published.manifest.batches),
        "seconds": max(span.end for task in tasks for span in task.spans if task.task_id == f"{PIPELINE}.publish"),
        "seconds_of": seconds_of(tasks),
        "peak_rss_mb": {name: peak for name, peak in peaks.items() if name in SERVERS.values()},
        "tasks": [as_figures(task) | {"peak_rss_mb": peaks.get(task.instance_id)} for task in tasks],
    }


def as_figures(task: Task) -> dict[str, Any]:
    """Return a task as gantt.py draws it."""
    spans = [[span.kind, round(span.start, 2), round(span.end, 2)] for span in task.spans]
    return {"task": task.task_id, "map_index": task.map_index, "spans": spans}


def seconds_of(tasks: Sequence[Task]) -> dict[str, float]:
    """Return the sum of each kind of span."""
    spans = [span for task in tasks for span in task.spans]
    return {
        kind: round(sum(span.end - span.start for span in spans if span.kind == kind), 2)
        for kind in (WAITING, WORKING, DEFERRED)
    }


def finish(api: RunApi, folder: StackFolder, dag_id: str, run_id: str) -> None:
    """Wait for the run's success. Raises NotPublished if it fails, or takes too long."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (state := api.run_state(dag_id, run_id)) != "success":
        if state == "failed" or time.monotonic() > deadline:
            tasks = [task for task in api.task_instances(dag_id, run_id) if task.state == "failed"]
            errors = [f"{task.task_id}: {error}" for task in tasks for error in api.errors(dag_id, run_id, task)]
            raise NotPublished("\n".join([f"The run {run_id} is {state}: see {folder.airflow_home}/logs", *errors]))
        time.sleep(POLL_SECONDS)


@contextmanager
def _memory(folder: StackFolder) -> Iterator[dict[str, int]]:
    """
    Record the peak memory of each server and each task in MB, sampled about once a second.

    Memory that a process shares with its parent counts for both.
    """
    peaks: dict[str, int] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_SECONDS):
            for process in processes.marked_processes(folder):
                with suppress(psutil.Error):
                    name = _name(" ".join(process.cmdline()).strip())
                    peaks[name] = max(peaks.get(name, 0), process.memory_info().rss // _MEGABYTE)

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def _name(command: str) -> str:
    """Return the name of a server, or the instance id of a task."""
    known = [name for part, name in SERVERS.items() if part in command]
    return known[0] if known else command.rpartition(" ")[2]


@contextmanager
def stack_with(
    folder: StackFolder,
    database: Path,
    *,
    dags: Sequence[str] = (DAG,),
    settings: Mapping[str, str] = SETTINGS,
    processing_seconds: float = 0,
) -> Iterator[Stack]:
    """Start the stack with the workload in its warehouse and with its Dags, and stop it when the block ends."""
    processes.stop_all(folder)
    for old in (folder.airflow_home, folder.logs, folder.emulator_state):
        shutil.rmtree(old, ignore_errors=True)
    folder.logs.mkdir()
    folder.emulator_state.mkdir()
    folder.refunds.unlink(missing_ok=True)
    shutil.copyfile(database, folder.warehouse)
    stack = new_stack(folder, real_api=False, processing_seconds=processing_seconds)
    stack = give_airflow_home(stack, folder)
    stack.save(folder)
    try:
        supervisord = processes.start(stack, folder, settings=settings)

        def wait(ready: Callable[[], bool]) -> None:
            deadline = time.monotonic() + BOOT_SECONDS
            while not ready():
                if failed_processes(stack) or supervisord.poll() is not None or time.monotonic() > deadline:
                    raise NotPublished(f"The stack did not start: see {folder.logs}")
                time.sleep(POLL_SECONDS)

        wait(lambda: _answers(stack.s3_url) and _answers(stack.emulator_url))
        published_day.make_bucket(stack)
        wait(lambda: not unhealthy(stack))
        with AirflowApi(stack) as api:
            wait(lambda: all(map(api.has_dag, dags)))
            for dag_id in dags:
                api.unpause(dag_id)
        yield stack
    finally:
        processes.stop_all(folder)
        folder.stack_json.unlink(missing_ok=True)
        # Keep the logs, but delete these, which are hundreds of megabytes.
        folder.warehouse.unlink(missing_ok=True)
        shutil.rmtree(folder.emulator_state, ignore_errors=True)


def _answers(url: str) -> bool:
    with suppress(httpx2.HTTPError):
        httpx2.get(url, timeout=2, trust_env=False)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
