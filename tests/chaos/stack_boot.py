"""
The chaos stack: the embedded stack with its own Dag and pipeline.

Its Airflow notices within seconds, not minutes, that one of its processes has died.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx2

from include.cli.output import published_day
from include.stack import processes
from include.stack.airflow_api import unhealthy
from include.stack.folder import StackFolder
from include.stack.metadata import give_airflow_home
from include.stack.stack import Stack, new_stack
from include.stack.supervisor import failed_processes
from tests.fixtures.clearing import ClearingApi
from tests.fixtures.emulator import Emulator

PROJECT = Path(__file__).with_name("stack_project")
PIPELINE = "tickets"
BOOT_SECONDS = 240
PROCESSING_SECONDS = 3

#: Airflow's own recovery within seconds instead of minutes. Each threshold is at least three of its heartbeats.
SETTINGS: Mapping[str, str] = {
    "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
    "AIRFLOW__CORE__PARALLELISM": "4",
    # Also the delay with which a worker may notice that its task has ended (default 5).
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    # The Dag does not change, and parsing it costs as much as a task.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    # A task whose process is dead: detected after 20 s (default 300), checked every 5 s (10).
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # A dead scheduler: its tasks are adopted after 15 s (30), checked every 5 s (300).
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    # A dead triggerer: its triggers move to another one after 10 s (30).
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
}


class NotUp(Exception):
    """The stack did not start. The message says where the logs are."""


class OnCall(ClearingApi):
    """The engineer on call: checks runs, and clears failed tasks."""

    def run_states(self) -> dict[str, str]:
        """Return the states of the latest hundred runs, by run id."""
        found = self._get(f"/api/v2/dags/{PIPELINE}/dagRuns", limit=100, order_by="-run_after")["dag_runs"]
        return {str(run["dag_run_id"]): str(run["state"]) for run in found}

    def instances(self, state: str) -> dict[str, str]:
        """Return the tasks in a state: task ids by task instance id, which is in the title of the task's process."""
        found = self._get(f"/api/v2/dags/{PIPELINE}/dagRuns/~/taskInstances", limit=100, state=state)
        return {str(task["id"]): str(task["task_id"]) for task in found["task_instances"]}


@dataclass(frozen=True, kw_only=True)
class ChaosStack:
    """The stack while it runs."""

    stack: Stack
    folder: StackFolder
    emulator: Emulator

    def add_day(self, day: date, tickets: Mapping[str, str]) -> None:
        """Insert a day's tickets (bodies by key) into the warehouse."""
        with closing(sqlite3.connect(self.folder.warehouse)) as warehouse, warehouse:
            warehouse.execute("create table if not exists tickets (ticket text, body text, day date)")
            warehouse.executemany(
                "insert into tickets values (?, ?, ?)",
                [(ticket, body, day.isoformat()) for ticket, body in tickets.items()],
            )

    def log_lines(self, pattern: str) -> int:
        """Count the matches of a pattern in the logs of all processes."""
        logs = [file.read_text(encoding="utf-8", errors="replace") for file in self.folder.logs.glob("*.log*")]
        return sum(len(re.findall(pattern, text)) for text in logs)


@contextmanager
def chaos_stack(folder: StackFolder, *, say: Callable[[str], None]) -> Iterator[ChaosStack]:
    """
    Start the stack with its Dag, and stop it when the block ends; its files are kept.

    Raises NotUp, and AlreadyRunning if it runs already.
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
    say("creating Airflow's metadata database")
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
            processes_failed = ", ".join(failed) or "none"
            raise NotUp(f"The stack did not start (failed processes: {processes_failed}). Logs: {stack.folder}/logs.")
        time.sleep(0.5)


def _answers(url: str) -> bool:
    with suppress(httpx2.HTTPError):
        httpx2.get(url, timeout=2, trust_env=False, verify=False)
        return True
    return False
