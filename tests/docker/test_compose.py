"""The text of docker-compose.yaml; `make docker-test` runs it."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.new_env import EXAMPLE, new_env
from include.stack.folder import ROOT
from tests.docker import stand_ins
from tests.docker.containers import SERVICES, compose_command, find_compose

TEXT = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
#: The services that end after their work.
ONCE = {"airflow-init", "sample"}
SECRET = re.compile(r"KEY|SECRET|PASSWORD|CONN|LAKE")
#: Name and rest of each ${NAME:-default} and ${NAME:?error}.
VARIABLES = dict(re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", TEXT))
AIRFLOW = {name: service for name, service in COMPOSE.items() if "build" in service}


def _environment(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


@pytest.fixture
def example() -> str:
    return EXAMPLE.read_text(encoding="utf-8")


def test_nothing_starts_with_an_empty_or_a_default_secret() -> None:
    secrets = {name: rest for name, rest in VARIABLES.items() if SECRET.search(name)}
    assert len(secrets) == 10
    assert {rest for rest in secrets.values()} == {":?see .env.example"}


def test_everything_else_has_a_default() -> None:
    others = {name: rest for name, rest in VARIABLES.items() if not SECRET.search(name)}
    assert others
    assert all(rest.startswith(":-") for rest in others.values())


def test_every_variable_is_explained_with_its_default(example: str) -> None:
    explained = dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", example, re.MULTILINE))
    defaults = {name: rest[2:] if rest.startswith(":-") else "" for name, rest in VARIABLES.items()}
    assert explained == defaults


@pytest.mark.parametrize("name", sorted(COMPOSE.keys() - ONCE))
def test_a_lasting_service_has_a_health_check_and_restarts(name: str) -> None:
    assert COMPOSE[name]["healthcheck"]["test"]
    assert COMPOSE[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", COMPOSE)
def test_a_service_has_limits_and_cannot_gain_privileges(name: str) -> None:
    service = COMPOSE[name]
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]


def test_every_airflow_component_has_the_same_image_without_privileges() -> None:
    assert {name for name in COMPOSE if name.startswith("airflow-")} < AIRFLOW.keys()
    assert len({service["image"] for service in AIRFLOW.values()}) == 1
    assert {service["user"] for service in AIRFLOW.values()} == {"50000:0"}
    assert all(service["cap_drop"] == ["ALL"] for service in AIRFLOW.values())


def test_the_code_is_in_the_image_and_only_the_demo_mounts_any() -> None:
    mounting = {name for name, service in AIRFLOW.items() if service["volumes"] != ["logs:/opt/airflow/logs"]}
    assert mounting == {"emulator", "sample"}


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for service in COMPOSE.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith(("127.0.0.1:", "${BIND_ADDRESS:-127.0.0.1}:")) for port in ports)


def test_there_are_two_workers_and_two_triggerers_by_default() -> None:
    scales = {name: service["scale"] for name, service in COMPOSE.items() if "scale" in service}
    assert scales == {"airflow-worker": "${WORKERS:-2}", "airflow-triggerer": "${TRIGGERERS:-2}"}


def test_the_docker_test_waits_for_every_lasting_service() -> None:
    assert {*SERVICES} == COMPOSE.keys() - ONCE


def test_there_is_a_stand_in_for_every_image() -> None:
    pinned = re.findall(r":-([\w./-]+:[\w.-]+)\}", "\n".join(line for line in TEXT.splitlines() if "image:" in line))
    named = {str(service["image"]) for service in COMPOSE.values() if "$" not in str(service["image"])}
    (base,) = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert {base, *pinned, *named} - {"claude-batch:latest"} == stand_ins.IMAGES.keys()
    assert f"BASE: ${{AIRFLOW_BASE:-{base}}}" in TEXT


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^ ;]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_the_image_has_the_versions_that_are_tested() -> None:
    assert _pins("requirements.lock").items() <= _pins("requirements-image.lock").items()


def test_the_base_image_has_the_airflow_version_of_the_lock() -> None:
    assert f"apache/airflow:{_pins('requirements-image.lock')['apache-airflow']}-python3.12" in DOCKERFILE


def test_the_image_gets_the_code_and_no_environment() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    copied = set(re.findall(r"^COPY --chown=airflow:0 (\S+)", DOCKERFILE, re.MULTILINE))
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_a_new_environment_has_fresh_secrets_and_no_address(example: str) -> None:
    first, second = (_environment(new_env(example, local=False)) for _ in range(2))
    filled = {name for name, value in first.items() if value}
    assert len({first[name] for name in filled}) == len(filled) == 6
    assert all(first[name] != second[name] for name in filled)
    assert all(name.startswith(("AIRFLOW_CONN_", "ENRICHMENT_")) for name in first.keys() - filled)


def test_no_password_looks_like_an_option(example: str) -> None:
    made = _environment(new_env(example, local=False))
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for name, value in made.items() if name.endswith("PASSWORD"))
    assert '--password="$$ADMIN_PASSWORD"' in TEXT  # a password chosen by hand may begin with a dash


def test_the_demos_environment_is_complete(example: str) -> None:
    assert all(_environment(new_env(example, local=True)).values())


@pytest.mark.skipif(find_compose() is None, reason="Compose is not installed")
def test_compose_accepts_it_and_rejects_a_missing_secret(example: str, tmp_path: Path) -> None:
    whole = new_env(example, local=True)
    config = yaml.safe_load(_config(tmp_path, whole).stdout)
    assert config["services"].keys() == COMPOSE.keys()
    rejected = _config(tmp_path, re.sub(r"^JWT_SECRET=.*$", "JWT_SECRET=", whole, flags=re.MULTILINE))
    assert rejected.returncode
    assert "see .env.example" in rejected.stderr


def _config(folder: Path, environment: str) -> subprocess.CompletedProcess[str]:
    env_file = folder / ".env"
    env_file.write_text(environment, encoding="utf-8")
    command = [*compose_command(), "--env-file", str(env_file), "--profile", "local", "config"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_workers_can_preload_their_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_BATCH_PRELOAD", "True")
    needed: list[str] = runpy.run_path(str(ROOT / "config/airflow_local_settings.py"))["NEEDED"]
    assert {*needed} <= sys.modules.keys()


def test_nothing_is_preloaded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAUDE_BATCH_PRELOAD", raising=False)
    imported: list[Any] = []
    monkeypatch.setattr("importlib.import_module", imported.append)
    runpy.run_path(str(ROOT / "config/airflow_local_settings.py"))
    assert not imported
