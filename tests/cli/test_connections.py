"""connections.py: the environment's connections, completed by those of the running stack."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from include.cli import connections
from include.cli.connections import MissingVariables, connection_variables, run_variables
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.stack.folder import ROOT, StackFolder
from include.stack.processes import one_demo_at_a_time
from include.stack.stack import AWS, CONNECTION_VARIABLES, LAKE, REFUNDS, Stack, new_stack


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
    of_the_stack = {name: stack_is_up.connections[name] for name in CONNECTION_VARIABLES}
    assert found == of_the_stack | {LAKE: "s3://mine"}


def test_a_complete_environment_needs_no_stack(folder: StackFolder) -> None:
    given = dict.fromkeys(CONNECTION_VARIABLES, "x")
    assert connection_variables(folder, given | {"OTHER": "y"}) == given


def test_a_stack_json_without_processes_is_not_a_running_stack(folder: StackFolder, stack: Stack) -> None:
    stack.save(folder)
    with pytest.raises(MissingVariables, match=r"(?s)AIRFLOW_CONN_AWS_DEFAULT, .*No demo is running.*make demo"):
        connection_variables(folder, {})


@pytest.mark.parametrize("saved", [True, False])
def test_a_demo_that_is_still_starting_is_waited_for(folder: StackFolder, stack: Stack, saved: bool) -> None:
    if saved:
        stack.model_copy(update={"starting": True}).save(folder)
    with (
        one_demo_at_a_time(folder),
        pytest.raises(MissingVariables, match=rf"Not set: .*The demo \(process {os.getpid()}\) .*still starting. Wait"),
    ):
        connection_variables(folder, {})


def test_a_demo_that_died_while_starting_is_not_running(folder: StackFolder, stack: Stack) -> None:
    stack.model_copy(update={"starting": True}).save(folder)
    with pytest.raises(MissingVariables, match="No demo is running"):
        connection_variables(folder, {})


def test_the_tools_of_a_pipeline_find_the_connections_that_they_name(folder: StackFolder, stack_is_up: Stack) -> None:
    one, other = (load_pipeline(ROOT / "include/pipelines" / name) for name in ("ticket_actions", "catalogue"))
    assert run_variables(folder, {LAKE: "s3://mine", REFUNDS: "http://mine"}, one) == {
        **stack_is_up.connections,
        LAKE: "s3://mine",
        REFUNDS: "http://mine",
    }
    assert REFUNDS not in run_variables(folder, {}, other)


@pytest.mark.usefixtures("stack_is_up")
def test_a_stack_on_the_real_api_does_not_share_its_key(folder: StackFolder) -> None:
    new_stack(folder, real_api=True, processing_seconds=5).save(folder)
    with pytest.raises(MissingVariables, match=r"Not set: AIRFLOW_CONN_ANTHROPIC_DEFAULT\. .*its key"):
        connection_variables(folder, {})
