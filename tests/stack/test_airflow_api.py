"""Airflow's API as the demo asks it, from a server that is busy, hangs, loses answers or is not there yet."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from include.stack import airflow_api
from include.stack.airflow_api import COMPONENTS, AirflowApi, PortTaken, unhealthy
from include.stack.folder import StackFolder
from include.stack.patience import OutOfPatience, Patience
from include.stack.stack import LOOPBACK, Stack, free_port, new_stack

HANG, LOSE = "hang", "lose the answer"


class Airflow(ThreadingHTTPServer):
    """
    Answers what ``troubles`` says (a status, HANG or LOSE), one for each request, and then as Airflow would.

    ``requests`` has each request's method, path and body.
    """

    def __init__(self, port: int) -> None:
        self.troubles: list[int | str] = []
        self.requests: list[tuple[str, str, str]] = []
        self.runs: set[str] = set()
        self.password = ""
        super().__init__((LOOPBACK, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Airflow

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if self.path == "/auth/token":
            known = self.server.password in ("", json.loads(body)["password"])
            self._send(201 if known else 401, {"access_token": "token"})
            return
        if self.path == "/api/v2/monitor/health":
            self._send(200, {name: {"status": "healthy"} for name in COMPONENTS})
            return
        self.server.requests.append((self.command, self.path, body))
        trouble = self.server.troubles.pop(0) if self.server.troubles else 200
        if isinstance(trouble, int) and trouble >= 400:
            self._send(trouble, {})
            return
        status = 200
        if self.command == "POST" and self.path.endswith("/dagRuns"):
            run_id = json.loads(body)["dag_run_id"]
            status = 409 if run_id in self.server.runs else 200
            self.server.runs.add(run_id)
        if trouble == HANG:
            time.sleep(2)
        if trouble in (HANG, LOSE):
            return
        self._send(status, {"state": "running"})

    def _send(self, status: int, answer: object) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(airflow_api, "RETRY_SECONDS", 0.01)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return new_stack(StackFolder(path=tmp_path), real_api=False, processing_seconds=5, airflow_port=free_port())


@pytest.fixture
def airflow(stack: Stack) -> Iterator[Airflow]:
    with Airflow(stack.ports.airflow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_an_airflow_that_rejects_the_stacks_password_is_another_ones(stack: Stack, airflow: Airflow) -> None:
    airflow.password = stack.ui_password
    assert unhealthy(stack) == []
    airflow.password = "of the other demo"
    with pytest.raises(PortTaken, match=rf"Another Airflow answers at {stack.airflow_url}"):
        unhealthy(stack)


@pytest.mark.parametrize("trouble", [500, 503, HANG, LOSE])
def test_an_airflow_that_is_busy_is_asked_again(stack: Stack, airflow: Airflow, trouble: int | str) -> None:
    with AirflowApi(stack) as api:
        airflow.troubles = [trouble, trouble]
        assert api.run_state("catalogue", "one") == "running"
        # More on a machine that is too busy to answer in a second.
        assert len(airflow.requests) >= 3


def test_an_airflow_that_is_not_there_yet_is_waited_for(stack: Stack) -> None:
    servers: list[Airflow] = []

    def start_after_some_looks() -> None:
        looks.append(1)
        if len(looks) == 3:
            servers.append(Airflow(stack.ports.airflow))
            threading.Thread(target=servers[0].serve_forever, daemon=True).start()

    looks: list[int] = []
    with AirflowApi(stack, lambda: Patience(start_after_some_looks)) as api:
        assert api.run_state("catalogue", "one") == "running"
    servers[0].shutdown()
    servers[0].server_close()


@pytest.mark.parametrize("trouble", [503, HANG, LOSE])
def test_a_run_whose_answer_was_lost_is_made_once(stack: Stack, airflow: Airflow, trouble: int | str) -> None:
    with AirflowApi(stack) as api:
        airflow.troubles = [trouble]
        run_id = api.trigger("catalogue", {"partition": "2026-11-01"})
    assert airflow.runs == {run_id}
    asked = [json.loads(body)["dag_run_id"] for _, _, body in airflow.requests]
    assert len(asked) >= 2
    assert set(asked) == {run_id}


@pytest.mark.parametrize("trouble", [HANG, LOSE])
def test_what_could_be_made_twice_is_not_sent_again(stack: Stack, airflow: Airflow, trouble: str) -> None:
    with AirflowApi(stack) as api:
        airflow.troubles = [trouble, trouble]
        with pytest.raises(httpx2.TransportError):
            api.start_backfill("catalogue", "2026-11-01", "2026-11-05")
    assert len(airflow.requests) == 1


def test_a_refusal_is_told_at_once(stack: Stack, airflow: Airflow) -> None:
    with AirflowApi(stack) as api:
        airflow.troubles = [404]
        with pytest.raises(httpx2.HTTPStatusError, match="404"):
            api.run_state("catalogue", "one")
    assert len(airflow.requests) == 1


def test_patience_ends_with_what_airflow_has_answered(stack: Stack, airflow: Airflow) -> None:
    with AirflowApi(stack, lambda: Patience(give_up_after=0.1)) as api:
        airflow.troubles = [503] * 1000
        told = r"Airflow has responded to GET /api/v2/dags/catalogue/dagRuns/one with 503 for \d s; the machine is"
        with pytest.raises(OutOfPatience, match=told):
            api.run_state("catalogue", "one")
