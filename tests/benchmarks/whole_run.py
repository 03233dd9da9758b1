"""
A whole run, from its trigger to the published partition, through the embedded stack: the real scheduler, triggerer and
API server, S3, a warehouse with the workload, and an emulator that ends every batch at once.

``python -m tests.benchmarks.whole_run --rows 100000`` prints one JSON object as the last line of stdout: the counts,
``seconds`` from trigger to published, where they went, and the most memory that each process was seen to have.
gantt.py draws it.
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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

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

DAG = "whole_run"
PIPELINE = "pipeline"
BOOT_SECONDS = 240
PATIENCE_SECONDS = 1_800
LOOK_SECONDS = 1.0
#: The most that Airflow's API lists at once, unless it is told otherwise.
PAGE = 100
_MEGABYTE = 1_000_000
#: The processes that stay, by a part of their command. A task's ends with the id of its instance.
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
#: Where a task's time goes: until a worker has begun with it, on the worker, in the triggerer.
WAITING, WORKING, DEFERRED = "waiting", "working", "deferred"
#: What a task does after an event of Airflow's log. One that has ended does nothing, unless it is tried again.
_NEXT = {
    "running": WORKING,
    "deferred": DEFERRED,
    **dict.fromkeys(("success", "failed", "skipped", "up_for_retry"), WAITING),
}
#: As the stack is for people, but for the frequent looks at Dag files, each of which costs what a task costs: these are
#: Airflow's defaults.
SETTINGS: Mapping[str, str] = {
    "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).with_name("stack_dags")),
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
}


class NotPublished(Exception):
    """The stack did not come up, or the run did not publish every row. The message says where to look."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """
    What a task did for a while.

    :param kind: WAITING, WORKING or DEFERRED
    :param start: seconds since the run was triggered, as is ``end``
    """

    kind: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Task:
    """
    One task instance of the run.

    :param instance_id: what its process is named after
    :param spans: in their order, without a gap; they begin when all that it had to wait for was over
    """

    task_id: str
    map_index: int
    instance_id: str
    spans: list[Span]


class Clerk(AirflowApi):
    """Airflow as somebody sees it who triggers a run and writes down what became of it when."""

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def tasks(self, run_id: str, triggered_at: datetime) -> list[Task]:
        """What the tasks that ran did when, in the order in which they began."""
        path = f"/api/v2/dags/{DAG}"
        instances = self._pages(f"{path}/dagRuns/{run_id}/taskInstances", "task_instances")
        # Each state of each try, which the task instance itself forgets when the next one begins.
        events = self._pages("/api/v2/eventLogs", "event_logs", dag_id=DAG, run_id=run_id, order_by="when")
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
                spans=spans_of(one, events, ready=_last(waited_for(one, ran, upstream)), triggered_at=triggered_at),
            )
            for one in ran
            if one["state"] != "skipped"
        ]
        return sorted(found, key=lambda task: (task.spans[0].end, task.map_index))

    def _pages(self, path: str, name: str, **params: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self._get(path, limit=PAGE, offset=len(found), **params)
            found += page[name]
            if len(found) >= page["total_entries"]:
                return found


def main() -> int:
    """Measure, and print what was found."""
    rows = _rows()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # through every __exit__
    database = FOLDER / str(rows) / "warehouse.db"
    if not database.exists():
        workload.write(rows, database.parent)
    folder = _stack_folder()
    with processes.one_demo_at_a_time(folder), _stack(folder, database) as stack, Clerk(stack) as api:
        found = _run(api, stack, folder)
    if found["rows"] != rows or found["published"] + found["rejected"] != rows:
        raise NotPublished(f"{rows:,} rows are in the warehouse, and the manifest says {found}")
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


def _rows() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.whole_run", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="how many rows the partition has")
    rows: int = parser.parse_args().rows
    return rows


def _stack_folder() -> StackFolder:
    """A folder of the benchmark's own, unless ENRICHMENT_STACK_DIR says otherwise: a demo runs on beside it."""
    os.environ.setdefault("ENRICHMENT_STACK_DIR", str(FOLDER / "stack"))
    return StackFolder.of_environment()


def _run(api: Clerk, stack: Stack, folder: StackFolder) -> dict[str, Any]:
    """The measured run, after one of an empty day: a scheduler at work is measured, and not one that boots."""
    _finish(api, folder, api.trigger(DAG, {"partition": str(Partition(start=workload.DAY - timedelta(days=1)))}))
    partition = Partition(start=workload.DAY)
    with _memory(folder) as peaks:
        triggered_at = datetime.now(UTC)
        run_id = api.trigger(DAG, {"partition": str(partition)})
        _finish(api, folder, run_id)
    tasks = api.tasks(run_id, triggered_at)
    published = published_day.read_published(stack, PIPELINE, partition)
    if published is None:
        raise NotPublished(f"The run has succeeded, and {partition} has no manifest: see {folder.airflow_home}/logs")
    spans = [span for task in tasks for span in task.spans]
    return {
        "rows": published.manifest.rows,
        "published": published.manifest.published,
        "rejected": published.manifest.rejected,
        "batches": len(published.manifest.batches),
        "seconds": max(span.end for task in tasks for span in task.spans if task.task_id == f"{PIPELINE}.publish"),
        "seconds_of": {
            kind: round(sum(span.end - span.start for span in spans if span.kind == kind), 2)
            for kind in (WAITING, WORKING, DEFERRED)
        },
        "peak_rss_mb": {name: peak for name, peak in peaks.items() if name in SERVERS.values()},
        "tasks": [
            {
                "task": task.task_id,
                "map_index": task.map_index,
                "peak_rss_mb": peaks.get(task.instance_id),
                "spans": [[span.kind, round(span.start, 2), round(span.end, 2)] for span in task.spans],
            }
            for task in tasks
        ],
    }


def _finish(api: Clerk, folder: StackFolder, run_id: str) -> None:
    """Wait for the run's success. Raises NotPublished if it fails, or takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (state := api.run_state(DAG, run_id)) != "success":
        if state == "failed" or time.monotonic() > deadline:
            tasks = [task for task in api.task_instances(DAG, run_id) if task.state == "failed"]
            errors = [f"{task.task_id}: {error}" for task in tasks for error in api.errors(DAG, run_id, task)]
            raise NotPublished("\n".join([f"The run {run_id} is {state}: see {folder.airflow_home}/logs", *errors]))
        time.sleep(LOOK_SECONDS)


def waited_for(
    one: Mapping[str, Any], instances: Sequence[Mapping[str, Any]], upstream: Mapping[str, Sequence[str]]
) -> list[str]:
    """
    When the instances ended that this one had to wait for: of a mapped group those of its own index. A task that was
    skipped is the scheduler's work alone, so in its place stand those before it.

    :param instances: of the run, as the REST API tells of them, as ``one``
    :param upstream: for each task those right before it
    """
    ends: list[str] = []
    for other in instances:
        if other["task_id"] not in upstream.get(one["task_id"], ()):
            continue
        if -1 not in (one["map_index"], other["map_index"]) and one["map_index"] != other["map_index"]:
            continue
        skipped = other["state"] == "skipped"
        ends += waited_for(other, instances, upstream) if skipped else [other["end_date"]]
    return ends


def _last(moments: Sequence[str]) -> str | None:
    return max(moments, key=datetime.fromisoformat, default=None)


def spans_of(
    one: Mapping[str, Any], events: Sequence[Mapping[str, Any]], *, ready: str | None, triggered_at: datetime
) -> list[Span]:
    """
    What an instance did when.

    :param events: the run's event log, in the order of time
    :param ready: when the last of those that it waited for had ended; None: it waited for the trigger only
    """

    def seconds(moment: str) -> float:
        return (datetime.fromisoformat(moment) - triggered_at).total_seconds()

    spans: list[Span] = []
    at, kind = seconds(ready) if ready else 0.0, WAITING
    for event in events:
        if (event["task_id"], event["map_index"]) != (one["task_id"], one["map_index"]) or event["event"] not in _NEXT:
            continue
        moment = seconds(event["when"])
        if kind == DEFERRED:
            # Airflow keeps the last time only that a task was scheduled: an earlier stay counts up to the worker's
            # start.
            scheduled = seconds(one["scheduled_when"])
            fired = scheduled if at < scheduled < moment else moment
            spans.append(Span(kind=DEFERRED, start=at, end=fired))
            at, kind = fired, WAITING
        spans.append(Span(kind=kind, start=at, end=moment))
        at, kind = moment, _NEXT[event["event"]]
    return spans


@contextmanager
def _memory(folder: StackFolder) -> Iterator[dict[str, int]]:
    """
    The most memory, in MB, that each server and each task was seen to have, looked at about once a second. What a
    process has in common with the one that it was forked from, counts for both.
    """
    peaks: dict[str, int] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
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
    """A server by its name, a task by the id of its instance."""
    known = [name for part, name in SERVERS.items() if part in command]
    return known[0] if known else command.rpartition(" ")[2]


@contextmanager
def _stack(folder: StackFolder, database: Path) -> Iterator[Stack]:
    """The stack with the workload in its warehouse, up and with its Dag; stopped when the block ends."""
    processes.stop_all(folder)
    for old in (folder.airflow_home, folder.logs, folder.emulator_state):
        shutil.rmtree(old, ignore_errors=True)
    folder.logs.mkdir()
    folder.emulator_state.mkdir()
    shutil.copyfile(database, folder.warehouse)
    stack = new_stack(folder, real_api=False, processing_seconds=0)
    stack = give_airflow_home(stack, folder)
    stack.save(folder)
    try:
        supervisord = processes.start(stack, folder, settings=SETTINGS)

        def wait(ready: Callable[[], bool]) -> None:
            deadline = time.monotonic() + BOOT_SECONDS
            while not ready():
                if failed_processes(stack) or supervisord.poll() is not None or time.monotonic() > deadline:
                    raise NotPublished(f"The stack does not come up: see {folder.logs}")
                time.sleep(LOOK_SECONDS)

        wait(lambda: _answers(stack.s3_url) and _answers(stack.emulator_url))
        published_day.make_bucket(stack)
        wait(lambda: not unhealthy(stack))
        with AirflowApi(stack) as api:
            wait(lambda: api.has_dag(DAG))
            api.unpause(DAG)
        yield stack
    finally:
        processes.stop_all(folder)
        folder.stack_json.unlink(missing_ok=True)
        # Logs stay for looking at; these are hundreds of megabytes.
        folder.warehouse.unlink(missing_ok=True)
        shutil.rmtree(folder.emulator_state, ignore_errors=True)


def _answers(url: str) -> bool:
    with suppress(httpx2.HTTPError):
        httpx2.get(url, timeout=2, trust_env=False)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
