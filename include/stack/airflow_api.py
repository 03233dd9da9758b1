"""A client of Airflow's public REST API, with the calls that the demo and the tests need."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import httpx2

from include.stack.patience import Patience
from include.stack.stack import Stack

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
HEALTH_SECONDS = 30
ANSWER_SECONDS = 60
RETRY_SECONDS = 1.0
#: Marks a POST that may be sent again after its response was lost, because it never creates anything twice.
REPEATABLE = {"repeatable": True}


@dataclass(frozen=True, kw_only=True)
class TaskInstance:
    """
    One task of a run.

    :param map_index: -1 if the task is not mapped
    """

    task_id: str
    map_index: int
    state: str | None
    try_number: int = 0


class PortTaken(Exception):
    """Another Airflow uses the port of this stack's Airflow."""


def unhealthy(stack: Stack) -> list[str]:
    """
    Return the components that are not up yet: all of them while nothing listens.

    Raises PortTaken if an Airflow responds that rejects this stack's password. The port is free until Airflow listens
    on it, so a second demo that starts at the same time can take it.
    """
    with (
        contextlib.suppress(httpx2.HTTPError, ValueError),
        httpx2.Client(base_url=stack.airflow_url, timeout=HEALTH_SECONDS, trust_env=False) as http,
    ):
        health = http.get("/api/v2/monitor/health").json()
        if down := [name for name in COMPONENTS if (health.get(name) or {}).get("status") != "healthy"]:
            return down
        if http.post("/auth/token", json=_login(stack)).status_code == httpx2.codes.UNAUTHORIZED:
            raise PortTaken(
                f"Another Airflow answers at {stack.airflow_url}: it took the port while this one was starting.\n"
                "No run was started. Start the demo again; it will choose a free port."
            )
        return []
    return ["api-server", *COMPONENTS]


def _login(stack: Stack) -> dict[str, str]:
    return {"username": "admin", "password": stack.ui_password}


class AirflowApi:
    """
    A client that is logged in as the stack's only user while its block lasts.

    It waits for an Airflow that is busy or restarting. Raises OutOfPatience, what ``patience`` raises, and
    httpx2.HTTPError for a request that Airflow rejects.

    :param patience: starts the wait for a response
    """

    def __init__(self, stack: Stack, patience: Callable[[], Patience] = Patience) -> None:
        self._login = _login(stack)
        self._http = httpx2.Client(
            base_url=stack.airflow_url, timeout=ANSWER_SECONDS, transport=_PatientTransport(patience), trust_env=False
        )

    def __enter__(self) -> Self:
        answer = self._http.post("/auth/token", json=self._login, extensions=REPEATABLE)
        token = answer.raise_for_status().json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def has_dag(self, dag_id: str) -> bool:
        """Return whether the Dag processor has loaded the Dag."""
        return self._http.get(f"/api/v2/dags/{dag_id}").status_code == httpx2.codes.OK

    def import_errors(self) -> list[str]:
        """Return the import errors of Dag files, with their stack traces."""
        errors: list[dict[str, str]] = self._get("/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}:\n{error['stack_trace']}" for error in errors]

    def trigger(self, dag_id: str, conf: Mapping[str, object]) -> str:
        """Create a run without a logical date, and return its run id. The run starts once the Dag is not paused."""
        run_id = f"manual__{datetime.now(UTC).isoformat()}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        answer = self._http.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body, extensions=REPEATABLE)
        if (
            answer.status_code != httpx2.codes.CONFLICT
        ):  # a conflict means that the run exists and the first response was lost
            answer.raise_for_status()
        return run_id

    def start_backfill(self, dag_id: str, first: str, last: str) -> None:
        """Backfill the days from first to last, inclusive, with the defaults of the UI's *Backfill* form."""
        body = {
            "dag_id": dag_id,
            "from_date": f"{first}T00:00:00.000Z",
            "to_date": f"{last}T00:00:00.000Z",
            "dag_run_conf": {},
            "max_active_runs": 1,
            "reprocess_behavior": "none",
            "run_backwards": False,
            "run_on_latest_version": True,
        }
        self._http.post("/api/v2/backfills", json=body).raise_for_status()

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler start the Dag's runs, including the scheduled ones."""
        self._http.patch(f"/api/v2/dags/{dag_id}", json={"is_paused": False}).raise_for_status()

    def slots(self) -> dict[str, int]:
        """Return how many task instances hold a pool slot, by state."""
        pools = self._get("/api/v2/pools")["pools"]
        return {state: sum(pool[f"{state}_slots"] for pool in pools) for state in ("running", "queued", "deferred")}

    def run_ids(self, dag_id: str) -> list[str]:
        return [str(run["dag_run_id"]) for run in self._get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]]

    def run_state(self, dag_id: str, run_id: str) -> str:
        return str(self._get(f"{_run(dag_id, run_id)}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """Return the run's tasks in Airflow's order, at most 1,000."""
        instances = self._get(f"{_run(dag_id, run_id)}/taskInstances", limit=1000)["task_instances"]
        return [
            TaskInstance(
                task_id=found["task_id"],
                map_index=found["map_index"],
                state=found["state"],
                try_number=found["try_number"],
            )
            for found in instances
        ]

    def returned(self, dag_id: str, run_id: str, task: TaskInstance) -> str:
        """Return a task's return value as text, empty if there is none."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task.task_id}/xcomEntries/return_value"
        answer = self._http.get(path, params={"map_index": task.map_index, "stringify": True})
        return str(answer.json()["value"]) if answer.status_code == httpx2.codes.OK else ""

    def log(self, dag_id: str, run_id: str, task: TaskInstance) -> list[str]:
        """Return the log lines of a task's last try. The message of an error follows the line of its event."""
        return [line for entry in self._log(dag_id, run_id, task) for line in (_event(entry), *_errors(entry))]

    def errors(self, dag_id: str, run_id: str, task: TaskInstance) -> list[str]:
        """Return the errors in the log of a task's last try."""
        return [error for entry in self._log(dag_id, run_id, task) for error in _errors(entry)]

    def _log(self, dag_id: str, run_id: str, task: TaskInstance) -> list[dict[str, Any]]:
        path = f"{_run(dag_id, run_id)}/taskInstances/{task.task_id}/logs/{task.try_number}"
        content = self._get(path, map_index=task.map_index, full_content=True)["content"]
        return [entry if isinstance(entry, dict) else {"event": entry} for entry in content]

    def _get(self, path: str, **params: int | bool | str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(path, params=params).raise_for_status().json()
        return answer


class _PatientTransport(httpx2.BaseTransport):
    """Sends a request again while Airflow does not respond or responds with 5xx."""

    def __init__(self, patience: Callable[[], Patience]) -> None:
        self._patience = patience
        self._transport = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        patience = self._patience()
        while True:
            repeatable = request.method != "POST" or request.extensions.get("repeatable")
            try:
                response = self._transport.handle_request(request)
            except httpx2.ConnectError:
                fact = "Airflow has not responded"
            except httpx2.TransportError:
                if not repeatable:
                    raise
                fact = "Airflow has not responded"
            else:
                if not repeatable or not response.is_server_error:
                    return response
                response.close()
                fact = f"Airflow has responded to {request.method} {request.url.path} with {response.status_code}"
            patience.waited(fact)
            time.sleep(RETRY_SECONDS)

    def close(self) -> None:
        self._transport.close()


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"


def _event(entry: dict[str, Any]) -> str:
    return f"{entry.get('level') or ''} {entry.get('event', '')}".strip()


def _errors(entry: dict[str, Any]) -> list[str]:
    return [f"{error.get('exc_type')}: {error.get('exc_value')}" for error in entry.get("error_detail") or []]
