"""
The stack of docker-compose.yaml, whole, with what breaks it: containers that crash, restart, are cut off or run full.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2

from deploy.new_env import EXAMPLE, new_env
from include.stack.airflow_api import AirflowApi, TaskInstance
from include.stack.folder import ROOT
from include.stack.stack import Ports, Stack, free_port
from tests.fixtures.emulator import Emulator

PROJECT = "claude-batch-docker-test"
FILES = ("docker-compose.yaml", "tests/docker/override.yaml")
UP_SECONDS = 900
#: Every Airflow component that stays, and what they stand on.
SERVICES = (
    *("postgres", "redis", "s3", "emulator"),
    *("airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-worker", "airflow-triggerer"),
)


class CommandFailed(Exception):
    """A command of Docker ended with an error. The message is the end of what it said."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """
    One container.

    :param host: its name within, which Airflow has for its worker or triggerer
    """

    id: str
    service: str
    health: str

    @property
    def host(self) -> str:
        return self.id[:12]

    def crash(self) -> None:
        """SIGKILL to all its processes, and up again, as after the crash of a machine."""
        _run("docker", "kill", "--signal", "KILL", self.id)
        _run("docker", "start", self.id)

    def run(self, *command: str) -> str:
        """Run a command within, and return what it says."""
        return _run("docker", "exec", self.id, *command)


class OnCall(AirflowApi):
    """What the engineer on call does: looks, and clears what has failed."""

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """The run's task instances as Airflow tells them, all of them."""
        found: list[dict[str, Any]] = []
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        while True:
            page = self._get(path, limit=100, offset=len(found))
            found += page["task_instances"]
            if len(found) >= page["total_entries"]:
                return found

    def clear(self, dag_id: str, run_id: str, tasks: Sequence[TaskInstance]) -> None:
        """Clear these tasks and everything downstream; the run goes on."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [[task.task_id, task.map_index] if task.map_index >= 0 else task.task_id for task in tasks],
            "only_failed": False,
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self._http.post(f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body).raise_for_status()

    def widen_pool(self, pool: str, slots: int) -> None:
        """Give a pool so many slots."""
        body = {"name": pool, "slots": slots, "include_deferred": True}
        answer = self._http.patch(f"/api/v2/pools/{pool}", json=body, params={"update_mask": "slots"})
        answer.raise_for_status()


@dataclass(frozen=True, kw_only=True)
class Containers:
    """The stack while it is up. ``stack`` says where it is reached from here."""

    stack: Stack
    env_file: Path

    @property
    def emulator(self) -> Emulator:
        """The emulated API: its faults, its log, its bills."""
        return Emulator(self.stack.emulator_url, None)

    def compose(self, *words: str) -> str:
        """A command of docker compose, whichever of the two is here."""
        files = [word for file in FILES for word in ("--file", file)]
        where = ["--project-name", PROJECT, "--env-file", str(self.env_file), "--profile", "local"]
        return _run(*compose_command(), *files, *where, *words)

    def of(self, service: str = "") -> list[Container]:
        """The containers of a service, or all that are running."""
        labels = {"com.docker.compose.project": PROJECT} | ({"com.docker.compose.service": service} if service else {})
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
        ids = _run("docker", "ps", "--quiet", "--no-trunc", *filters).split()
        return [_container(found) for found in json.loads(_run("docker", "inspect", *ids))] if ids else []

    def crash(self, service: str) -> None:
        """SIGKILL to every container of a service."""
        for container in self.of(service):
            container.crash()

    def restart(self, service: str) -> None:
        """Stop the containers of a service in good order, and start them again."""
        _run("docker", "restart", *(container.id for container in self.of(service)))

    @contextmanager
    def cut_off(self, service: str) -> Iterator[None]:
        """Take a service off the network while the block runs."""
        network = f"{PROJECT}_default"
        ids = [container.id for container in self.of(service)]
        for each in ids:
            _run("docker", "network", "disconnect", network, each)
        try:
            yield
        finally:
            for each in ids:
                _run("docker", "network", "connect", "--alias", service, network, each)

    def unhealthy(self) -> list[str]:
        """The services that are not up and healthy, with what they are instead."""
        containers = self.of()
        found = {service: [one.health for one in containers if one.service == service] for service in SERVICES}
        return [
            f"{service}: {', '.join(healths) or 'not running'}"
            for service, healths in found.items()
            if set(healths) != {"healthy"}
        ]

    def wait_until_healthy(self) -> None:
        """Raises TimeoutError with the services that did not come up."""
        wait_for(lambda: not self.unhealthy(), seconds=UP_SECONDS, what=lambda: "; ".join(self.unhealthy()))


@contextmanager
def containers(folder: Path, *, keep: bool) -> Iterator[Containers]:
    """
    The whole stack, built, up and healthy; taken down with all its volumes at the end.

    :param folder: for its .env
    :param keep: let it run when the block ends
    """
    ports = Ports(airflow=free_port(), s3=free_port(), emulator=free_port(), control=0, postgres=0)
    text = new_env(EXAMPLE.read_text(encoding="utf-8"), local=True)
    text += f"\nAIRFLOW_PORT={ports.airflow}\nS3_PORT={ports.s3}\nEMULATOR_PORT={ports.emulator}\n"
    env_file = folder / ".env"
    env_file.touch(mode=0o600)
    env_file.write_text(text, encoding="utf-8")
    up = Containers(stack=_stack(folder, ports, text), env_file=env_file)
    up.compose("down", "--volumes")
    try:
        up.compose("build", "airflow-init")
        up.compose("up", "--detach", "--no-build")
        up.wait_until_healthy()
        yield up
    finally:
        if not keep:
            up.compose("down", "--volumes")


def compose_command() -> list[str]:
    """Compose v2 where it is installed, else docker-compose 1.29."""
    v2 = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
    if not v2 and not shutil.which("docker-compose"):
        raise SystemExit("Neither `docker compose` nor docker-compose is installed.")
    return ["docker", "compose"] if v2 else ["docker-compose"]


def wait_for(ready: Callable[[], bool], *, seconds: float, what: Callable[[], str]) -> None:
    """Wait until ``ready`` is true; what is asked may be away for a while. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx2.HTTPError, CommandFailed, OSError):
            if ready():
                return
        time.sleep(0.3)
    raise TimeoutError(f"Not within {seconds:.0f} s: {what()}")


def _stack(folder: Path, ports: Ports, env: str) -> Stack:
    """The stack as those see it who speak to it from outside: by its ports, with the password of its user."""
    password = re.search(r"^ADMIN_PASSWORD=(.+)$", env, re.MULTILINE)
    assert password
    return Stack(
        folder=folder,
        real_api=False,
        processing_seconds=5,
        ports=ports,
        connections={},
        ui_password=password[1],
        control_password="",
        postgres_password="",
        fernet_key="",
        jwt_secret="",
        session_secret="",
    )


def _container(found: dict[str, Any]) -> Container:
    return Container(
        id=found["Id"],
        service=found["Config"]["Labels"]["com.docker.compose.service"],
        health=found["State"].get("Health", {}).get("Status", found["State"]["Status"]),
    )


def _run(*command: str) -> str:
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if finished.returncode:
        said = "\n".join((finished.stdout + finished.stderr).splitlines()[-15:])
        raise CommandFailed(f"{' '.join(command)}: status {finished.returncode}\n{said}")
    return finished.stdout
