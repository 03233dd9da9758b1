"""The whole stack of docker-compose.yaml, whose containers can crash, restart and lose the network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from deploy.new_env import EXAMPLE, new_env
from include.stack.folder import ROOT
from include.stack.stack import Ports, Stack, free_port
from tests.fixtures.clearing import ClearingApi
from tests.fixtures.emulator import Emulator

PROJECT = "claude-batch-docker-test"
FILES = ("docker-compose.yaml", "tests/docker/override.yaml")
UP_SECONDS = 900
#: Every service that keeps running.
SERVICES = (
    *("postgres", "redis", "s3", "emulator"),
    *("airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-worker", "airflow-triggerer"),
)


class CommandFailed(Exception):
    """A Docker command failed. The message is the end of its output."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """One container."""

    id: str
    service: str
    health: str

    @property
    def host(self) -> str:
        """The host name inside the container, which Airflow uses for its worker or triggerer."""
        return self.id[:12]

    def crash(self) -> None:
        """Kill all its processes with SIGKILL and start it again, as after the crash of a machine."""
        _run("docker", "kill", "--signal", "KILL", self.id)
        _run("docker", "start", self.id)

    def run(self, *command: str) -> str:
        """Run a command inside the container, and return its output."""
        return _run("docker", "exec", self.id, *command)


class OnCall(ClearingApi):
    """The engineer on call: checks runs, and clears failed tasks."""

    def instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return all task instances of a run, as in Airflow's API."""
        found: list[dict[str, Any]] = []
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        while True:
            page = self._get(path, limit=100, offset=len(found))
            found += page["task_instances"]
            if len(found) >= page["total_entries"]:
                return found

    def widen_pool(self, pool: str, slots: int) -> None:
        """Set the number of slots of a pool."""
        body = {"name": pool, "slots": slots, "include_deferred": True}
        response = self._http.patch(f"/api/v2/pools/{pool}", json=body, params={"update_mask": "slots"})
        response.raise_for_status()


@dataclass(frozen=True, kw_only=True)
class Containers:
    """The running stack. ``stack`` has its ports on this machine."""

    stack: Stack
    env_file: Path

    @property
    def emulator(self) -> Emulator:
        """The emulated API, with its faults, log and bills."""
        return Emulator(self.stack.emulator_url, None)

    def compose(self, *words: str) -> str:
        """Run a command of Compose, and return its output."""
        files = [word for file in FILES for word in ("--file", file)]
        where = ["--project-name", PROJECT, "--env-file", str(self.env_file), "--profile", "local"]
        return _run(*compose_command(), *files, *where, *words)

    def of(self, service: str = "") -> list[Container]:
        """Return the running containers of a service, or of all services."""
        labels = {"com.docker.compose.project": PROJECT} | ({"com.docker.compose.service": service} if service else {})
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
        ids = _run("docker", "ps", "--quiet", "--no-trunc", *filters).split()
        return [_container(found) for found in json.loads(_run("docker", "inspect", *ids))] if ids else []

    def crash(self, service: str) -> None:
        """Crash every container of a service."""
        for container in self.of(service):
            container.crash()

    def restart(self, service: str) -> None:
        """Restart the containers of a service in an orderly way."""
        _run("docker", "restart", *(container.id for container in self.of(service)))

    @contextmanager
    def cut_off(self, service: str) -> Iterator[None]:
        """Disconnect a service from the network while the block runs."""
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
        """Return the services that are not healthy, each with its status."""
        containers = self.of()
        found = {service: [one.health for one in containers if one.service == service] for service in SERVICES}
        return [
            f"{service}: {', '.join(healths) or 'not running'}"
            for service, healths in found.items()
            if set(healths) != {"healthy"}
        ]

    def wait_until_healthy(self) -> None:
        """Wait until every service is healthy. Raises TimeoutError with those that are not."""
        wait_for(lambda: not self.unhealthy(), seconds=UP_SECONDS, what=lambda: "; ".join(self.unhealthy()))


@contextmanager
def containers(folder: Path, *, keep: bool) -> Iterator[Containers]:
    """
    Build and start the whole stack until it is healthy, and remove it with all its volumes when the block ends.

    :param folder: for its .env
    :param keep: leave it running when the block ends
    """
    ports = Ports(airflow=free_port(), s3=free_port(), emulator=free_port(), refunds=0, control=0, postgres=0)
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
    """Return the command of the installed Compose: v2 or docker-compose 1.29. Raises SystemExit if there is none."""
    if command := find_compose():
        return command
    raise SystemExit("Neither `docker compose` nor docker-compose is installed.")


def find_compose() -> list[str] | None:
    """Find the command of the installed Compose; None if there is none."""
    if shutil.which("docker"):
        version = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if version.returncode == 0:
            return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


def wait_for(ready: Callable[[], bool], *, seconds: float, what: Callable[[], str]) -> None:
    """Wait until ``ready`` returns true; connection errors count as false. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx2.HTTPError, CommandFailed, OSError):
            if ready():
                return
        time.sleep(0.3)
    raise TimeoutError(f"Not within {seconds:.0f} s: {what()}")


def _stack(folder: Path, ports: Ports, env: str) -> Stack:
    """Return the stack as seen from this machine: its ports, and the password of its user."""
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
        output = "\n".join((finished.stdout + finished.stderr).splitlines()[-15:])
        raise CommandFailed(f"{' '.join(command)}: status {finished.returncode}\n{output}")
    return finished.stdout
