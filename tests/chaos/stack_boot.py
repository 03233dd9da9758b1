"""
The chaos stack: the embedded stack with a Dag and a pipeline of its own, and with an Airflow that finds out within
seconds, not minutes, that one of its processes has died.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import httpx2

from include.cli.output import published_day
from include.stack import processes
from include.stack.airflow_api import AirflowApi, TaskInstance, unhealthy
from include.stack.folder import StackFolder
from include.stack.metadata import give_airflow_home
from include.stack.stack import Stack, new_stack
from include.stack.supervisor import failed_processes
from tests.fixtures.emulator import Emulator

PROJECT = Path(__file__).with_name("stack_project")
PIPELINE = "tickets"
BOOT_SECONDS = 240
PROCESSING_SECONDS = 3

#: Airflow's own recovery, from minutes to seconds. No threshold is below three of the heartbeats that it is about.
SETTINGS: Mapping[str, str] = {
    "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
    "AIRFLOW__CORE__EXECUTOR": "tests.chaos.stack_executor.WarmExecutor",
    "AIRFLOW__CORE__PARALLELISM": "4",
    # Also how late a worker may notice that its task has ended (5).
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    # The Dag does not change, and each look at it costs what a task costs.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    # A task whose process is gone: found after 20 s (default 300), looked for every 5 s (10).
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # A scheduler that is gone: its tasks are taken back after 15 s (30), looked for every 5 s (300).
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    # A triggerer that is gone: its triggers go to another one after 10 s (30).
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


class NotUp(Exception):
    """The stack cannot be started. The message says where to look."""


class OnCall(AirflowApi):
    """What the engineer on call does: looks, and clears what has failed."""

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def run_states(self) -> dict[str, str]:
        """The states of the latest hundred runs, in one call."""
        found = self._get(f"/api/v2/dags/{PIPELINE}/dagRuns", limit=100, order_by="-run_after")["dag_runs"]
        return {str(run["dag_run_id"]): str(run["state"]) for run in found}

    def instances(self, state: str) -> dict[str, str]:
        """The tasks in that state: task ids by the ids of their instances, which their processes are named after."""
        found = self._get(f"/api/v2/dags/{PIPELINE}/dagRuns/~/taskInstances", limit=100, state=state)
        return {str(task["id"]): str(task["task_id"]) for task in found["task_instances"]}

    def clear(self, run_id: str, tasks: Sequence[TaskInstance]) -> None:
        """Clear these tasks and everything downstream; the run goes on."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [[task.task_id, task.map_index] if task.map_index >= 0 else task.task_id for task in tasks],
            "only_failed": False,
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self._http.post(f"/api/v2/dags/{PIPELINE}/clearTaskInstances", json=body).raise_for_status()


@dataclass(frozen=True, kw_only=True)
class ChaosStack:
    """The stack while it runs."""

    stack: Stack
    folder: StackFolder
    emulator: Emulator

    def add_day(self, day: date, tickets: Mapping[str, str]) -> None:
        """Put a day's tickets into the warehouse: bodies by their key."""
        with closing(sqlite3.connect(self.folder.warehouse)) as warehouse, warehouse:
            warehouse.execute("create table if not exists tickets (ticket text, body text, day date)")
            warehouse.executemany(
                "insert into tickets values (?, ?, ?)",
                [(ticket, body, day.isoformat()) for ticket, body in tickets.items()],
            )

    def log_lines(self, pattern: str) -> int:
        """How many lines of the processes' logs match."""
        logs = [file.read_text(encoding="utf-8", errors="replace") for file in self.folder.logs.glob("*.log*")]
        return sum(len(re.findall(pattern, text)) for text in logs)


@contextmanager
def chaos_stack(folder: StackFolder, *, say: Callable[[str], None]) -> Iterator[ChaosStack]:
    """
    The stack, up and with its Dag, for as long as the block lasts; stopped however it ends, its files stay for looking
    at. Raises NotUp, and AlreadyRunning if it runs already.
    """
    with processes.one_demo_at_a_time(folder):
        try:
            yield _start(folder, say)
        finally:
            stopped = processes.stop_all(folder)
            say(f"stopped {stopped} processes; logs: {folder.logs}")


def _start(folder: StackFolder, say: Callable[[str], None]) -> ChaosStack:
    processes.stop_all(folder)
    for old in (folder.airflow_home, folder.logs, folder.emulator_state):
        shutil.rmtree(old, ignore_errors=True)
    folder.warehouse.unlink(missing_ok=True)
    folder.logs.mkdir()
    folder.emulator_state.mkdir()
    stack = new_stack(folder, real_api=False, processing_seconds=PROCESSING_SECONDS)
    say("making Airflow's metadata database")
    stack = give_airflow_home(stack, folder)
    stack.save(folder)
    say("starting Airflow, S3 and the emulator")
    supervisord = processes.start(stack, folder, settings=SETTINGS)
    _wait(stack, supervisord, lambda: _answers(stack.s3_url) and _answers(stack.emulator_url))
    published_day.make_bucket(stack)
    _wait(stack, supervisord, lambda: not unhealthy(stack))
    with OnCall(stack) as api:
        _wait(stack, supervisord, lambda: api.has_dag(PIPELINE) or _broken(api.import_errors()))
        api.unpause(PIPELINE)
    return ChaosStack(stack=stack, folder=folder, emulator=Emulator(stack.emulator_url, None))


def _broken(import_errors: list[str]) -> bool:
    if import_errors:
        raise NotUp("A Dag file cannot be imported:\n" + "\n".join(import_errors))
    return False


def _wait(stack: Stack, supervisord: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while not ready():
        failed = failed_processes(stack)
        if failed or supervisord.poll() is not None or time.monotonic() > deadline:
            raise NotUp(f"Not up (given up: {', '.join(failed) or 'none'}): see the logs in {stack.folder}/logs.")
        time.sleep(0.5)


def _answers(url: str) -> bool:
    with suppress(httpx2.HTTPError):
        httpx2.get(url, timeout=2, trust_env=False)
        return True
    return False
