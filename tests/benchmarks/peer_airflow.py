"""
The peer's Airflow: scheduler with LocalExecutor, triggerer, Dag processor and API server, each in its own process.

This module imports nothing of Airflow. It starts runs over the REST API, and reads states from the metadata database.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

LOOPBACK = "127.0.0.1"
BOOT_SECONDS = 120
STOP_SECONDS = 15
BUSY_SECONDS = 60
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
COMMANDS = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
# A task's process is forked from the scheduler's. Without this, every task would spend seconds on importing the SDK.
_LOCAL_SETTINGS = "import anthropic\n"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A Dag run with its only task."""

    run_id: str
    state: str
    task_state: str | None
    try_number: int
    pid: int | None

    @property
    def over(self) -> bool:
        """Return whether the run has ended for good."""
        return self.state in ("success", "failed")


class PeerAirflow:
    """Airflow on this machine; as a context manager it runs inside the block."""

    def __init__(self, home: Path, dags: Path, variables: Mapping[str, str]) -> None:
        self._home = home
        self._port = _free_port()
        self._environment = _inherited() | self._settings(dags) | dict(variables)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""

    def __enter__(self) -> PeerAirflow:
        config = self._home / "config"
        config.mkdir(parents=True)
        (config / "airflow_local_settings.py").write_text(_LOCAL_SETTINGS, encoding="utf-8")
        try:
            if self._start("db", ["db", "migrate"]).wait(timeout=BOOT_SECONDS):
                raise RuntimeError(f"`airflow db migrate` failed: see {self._home}/db.log")
            for name, command in COMMANDS.items():
                self._processes[name] = self._start(name, command)
            self._wait_until_healthy()
            self._token = str(self._call("GET", "/auth/token")["access_token"])
        except BaseException:
            self._stop_all()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_all()

    def wait_for_dags(self, count: int) -> None:
        """Wait until the Dag processor has parsed this number of Dags."""
        deadline = time.monotonic() + BOOT_SECONDS
        while self._call("GET", "/api/v2/dags?limit=1")["total_entries"] < count:
            if errors := self._call("GET", "/api/v2/importErrors")["import_errors"]:
                raise RuntimeError(str(errors[0]["stack_trace"]))
            if time.monotonic() > deadline:
                raise RuntimeError(f"Not all of {count} Dags were parsed: see {self._home}/dag-processor.log")
            time.sleep(0.5)

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Start a run; retry while SQLite is locked, when the API server responds with 500."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"dag_run_id": run_id, "logical_date": None})
                return
            except urllib.error.HTTPError as error:
                if error.code == HTTPStatus.CONFLICT:  # the previous attempt did start it
                    return
                if error.code != HTTPStatus.INTERNAL_SERVER_ERROR or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    def runs(self, dag_id: str) -> list[Run]:
        """Return the runs of a Dag in the order of their start."""
        query = (
            "SELECT r.run_id, r.state, t.state, t.try_number, t.pid FROM dag_run r"
            " LEFT JOIN task_instance t ON t.dag_id = r.dag_id AND t.run_id = r.run_id WHERE r.dag_id = ? ORDER BY r.id"
        )
        database = f"{(self._home / 'airflow.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(database, uri=True, timeout=30)) as connection:
            return [
                Run(run_id=run_id, state=state, task_state=task_state, try_number=tries or 0, pid=pid)
                for run_id, state, task_state, tries, pid in connection.execute(query, (dag_id,))
            ]

    def waits(self, dag_id: str) -> bool:
        """Return whether every run of the Dag waits in the triggerer."""
        runs = self.runs(dag_id)
        return bool(runs) and all(run.task_state == "deferred" for run in runs)

    def kill_worker(self, dag_id: str) -> bool:
        """Kill the process of the Dag's running task with SIGKILL; False if there is none yet."""
        scheduler = self._processes["scheduler"].pid
        for run in self.runs(dag_id):
            if run.task_state == "running" and run.pid:
                worker = psutil.Process(run.pid)
                if scheduler in [parent.pid for parent in worker.parents()]:
                    worker.kill()
                    return True
        return False

    def restart_triggerer(self) -> None:
        """Stop the triggerer as a deployment does, and start another one."""
        self._stop(["triggerer"])
        self._processes["triggerer"] = self._start("triggerer", COMMANDS["triggerer"])

    def check(self) -> None:
        """Raise RuntimeError if one of the processes has ended by itself, which invalidates later measurements."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"The {name} ended: see {self._home}/{name}.log (--keep keeps it)")

    def _settings(self, dags: Path) -> dict[str, str]:
        url = f"http://{LOOPBACK}:{self._port}"
        return {
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self._home / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__BASE_URL": url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            # With the default of 5 s, a triggerer ends when others write for longer.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._home}/airflow.db?timeout=60",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self._home / "logs"),
            # On a small machine a worker's first call can wait behind many others; the default of 5 s fails the task.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
        }

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._home / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "airflow", *command],
                env=self._environment,
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            self.check()
            try:
                health = self._call("GET", "/api/v2/monitor/health")
            except OSError:
                health = {}
            if all((health.get(name) or {}).get("status") == "healthy" for name in COMPONENTS):
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"Airflow did not start within {BOOT_SECONDS} s: see {self._home}/*.log")
            time.sleep(0.5)

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{LOOPBACK}:{self._port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=BOOT_SECONDS) as response:
            answer: dict[str, Any] = json.load(response)
            return answer

    def _stop_all(self) -> None:
        # The scheduler first, so that no more tasks start; an idle LocalExecutor may keep it from ending.
        self._stop(["scheduler", "triggerer", "dag-processor", "api-server"])

    def _stop(self, names: list[str]) -> None:
        """Send SIGTERM, and then SIGKILL to all processes that are left, including children."""
        ours = []
        for name in names:
            if (process := self._processes.pop(name, None)) and process.poll() is None:
                parent = psutil.Process(process.pid)
                ours += [parent, *parent.children(recursive=True)]
                process.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(ours, timeout=STOP_SECONDS)
        for left in alive:
            left.kill()
        psutil.wait_procs(alive, timeout=STOP_SECONDS)


def _inherited() -> dict[str, str]:
    """Return the caller's environment without variables that would change this Airflow or its client."""
    foreign = ("AIRFLOW", "ANTHROPIC", "BENCHMARK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"NO_PROXY": f"{LOOPBACK},localhost", "no_proxy": f"{LOOPBACK},localhost"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
