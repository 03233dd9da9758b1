"""A stack as a value: what is written to disk, what never is, and the environment of its processes."""

from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

import pytest

from include.stack.environment import MARKER, ignored_variables, stack_environment
from include.stack.folder import StackFolder
from include.stack.stack import (
    ANTHROPIC,
    CONNECTION_VARIABLES,
    LAKE,
    WAREHOUSE,
    Stack,
    anthropic_connection,
    new_stack,
    read_stack,
)
from include.stack.supervisor import configuration


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    return StackFolder(path=tmp_path)


@pytest.fixture
def stack(folder: StackFolder) -> Stack:
    return new_stack(folder, real_api=False, processing_seconds=5)


def test_a_stack_is_read_back_as_it_was_saved(folder: StackFolder, stack: Stack) -> None:
    stack.save(folder)
    assert read_stack(folder) == stack


def test_only_the_owner_may_read_the_secrets(folder: StackFolder, stack: Stack) -> None:
    stack.save(folder)
    assert stat.S_IMODE(folder.stack_json.stat().st_mode) == 0o600


def test_a_stack_of_an_older_version_counts_as_none(folder: StackFolder) -> None:
    folder.stack_json.write_text('{"ports": {}}', encoding="utf-8")
    assert read_stack(folder) is None


def test_no_two_ports_are_the_same(stack: Stack) -> None:
    ports = list(stack.ports.model_dump().values())
    assert len(set(ports)) == len(ports)


def test_airflow_takes_the_port_it_is_given_unless_that_is_taken(folder: StackFolder) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        wanted = other.getsockname()[1]
        assert new_stack(folder, real_api=False, processing_seconds=5, airflow_port=wanted).ports.airflow != wanted
    assert new_stack(folder, real_api=False, processing_seconds=5, airflow_port=wanted).ports.airflow == wanted


def test_a_real_key_reaches_the_processes_but_no_file(folder: StackFolder) -> None:
    stack = new_stack(folder, real_api=True, processing_seconds=5)
    environment = stack_environment(stack, anthropic=anthropic_connection("sk-secret"))
    assert json.loads(environment[ANTHROPIC]) == {"conn_type": "anthropic", "password": "sk-secret"}
    stack.save(folder)
    assert "sk-secret" not in folder.stack_json.read_text(encoding="utf-8") + configuration(stack)
    assert "include.emulator" not in configuration(stack)


def test_the_callers_airflow_and_aws_do_not_leak_into_the_stack(
    monkeypatch: pytest.MonkeyPatch, stack: Stack, folder: StackFolder
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "production")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("NO_PROXY", "example.org")
    environment = stack_environment(stack)
    assert environment[WAREHOUSE] == stack.connections[WAREHOUSE]
    assert not environment.keys() & {"AWS_PROFILE", "ANTHROPIC_API_KEY"}
    assert environment["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert environment[MARKER] == str(folder.path)


def test_a_connection_of_the_callers_own_reaches_the_stack(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgres://shop")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    environment = stack_environment(stack)
    assert environment["AIRFLOW_CONN_SHOP"] == "postgres://shop"
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"


def test_what_the_caller_sets_in_vain_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*CONNECTION_VARIABLES, "AIRFLOW_CONN_SHOP"):
        monkeypatch.delenv(name, raising=False)
    assert ignored_variables() == []
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", "postgres://shop")
    monkeypatch.setenv(WAREHOUSE, "postgres://mine")
    assert ignored_variables() == [WAREHOUSE]


def test_a_stack_that_is_kept_has_all_that_it_keeps_in_one_folder(tmp_path: Path) -> None:
    stack = new_stack(StackFolder(path=tmp_path, kept="kept"), real_api=False, processing_seconds=5)
    assert stack.connections[LAKE] == str(tmp_path / "kept" / "lake")
    assert json.loads(stack.connections[WAREHOUSE])["host"] == str(tmp_path / "kept" / "warehouse.db")
    assert f"--state {tmp_path}/kept/emulator" in configuration(stack)


def test_supervisor_does_not_expand_a_percent_sign_in_the_path(tmp_path: Path) -> None:
    stack = new_stack(StackFolder(path=tmp_path / "100%s"), real_api=False, processing_seconds=5)
    assert "100%%s" in configuration(stack)
