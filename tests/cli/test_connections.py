"""connections.py: the environment's connections, completed by those of the running stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.cli import connections
from include.cli.connections import MissingVariables, connection_variables
from include.stack.folder import StackFolder
from include.stack.stack import AWS, CONNECTION_VARIABLES, LAKE, Stack, new_stack


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    return StackFolder(path=tmp_path)


@pytest.fixture
def stack(folder: StackFolder) -> Stack:
    return new_stack(folder, real_api=False, processing_seconds=5)


@pytest.fixture
def stack_is_up(monkeypatch: pytest.MonkeyPatch, stack: Stack, folder: StackFolder) -> Stack:
    monkeypatch.setattr(connections, "marked_processes", lambda folder: ["supervisord"])
    stack.save(folder)
    return stack


def test_the_environment_overrides_the_running_stack(folder: StackFolder, stack_is_up: Stack) -> None:
    found = connection_variables(folder, {LAKE: "s3://mine", AWS: ""})
    assert found == dict(stack_is_up.connections) | {LAKE: "s3://mine"}


def test_a_complete_environment_needs_no_stack(folder: StackFolder) -> None:
    given = dict.fromkeys(CONNECTION_VARIABLES, "x")
    assert connection_variables(folder, given | {"OTHER": "y"}) == given


def test_a_stack_json_without_processes_is_not_a_running_stack(folder: StackFolder, stack: Stack) -> None:
    stack.save(folder)
    with pytest.raises(MissingVariables, match=r"(?s)AIRFLOW_CONN_AWS_DEFAULT, .*No demo is running.*make demo"):
        connection_variables(folder, {})


@pytest.mark.usefixtures("stack_is_up")
def test_a_stack_on_the_real_api_does_not_share_its_key(folder: StackFolder) -> None:
    new_stack(folder, real_api=True, processing_seconds=5).save(folder)
    with pytest.raises(MissingVariables, match=r"Not set: AIRFLOW_CONN_ANTHROPIC_DEFAULT\. .*its key"):
        connection_variables(folder, {})
