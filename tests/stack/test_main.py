"""Arguments: what is wrong is said at once, with status 2, before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from include.stack.folder import ROOT
from include.stack.stack import CONNECTION_VARIABLES

PYTHONPATH = os.pathsep.join([str(ROOT), str(ROOT / "plugins")])


def stack_command(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in (*CONNECTION_VARIABLES, "ANTHROPIC_API_KEY")
    }
    return subprocess.run(
        [sys.executable, "-m", "include.stack", *arguments],
        env=kept | {"PYTHONPATH": PYTHONPATH, "ENRICHMENT_STACK_DIR": str(folder)} | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "catalog", "2026-11-17"], "There is no pipeline 'catalog'. Nearest: catalogue"),
        (["run", "", "2026-11-17"], "PIPELINE is missing"),
        (["run", "../catalogue", "2026-11-17"], "There is no pipeline '../catalogue'"),
        (["run", "catalogue", "yesterday"], "PARTITION is 'yesterday', which is not a date like 2026-11-01"),
        (["run", "catalogue", "2026-02-30"], "PARTITION is '2026-02-30'"),
        (["run", "catalogue", ""], "PARTITION is missing: make run PIPELINE="),
        (["run", "catalogue"], "PARTITION"),
        (["up"], "invalid choice"),
        ([], "required"),
    ],
)
def test_a_wrong_argument_is_status_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = stack_command(tmp_path, *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""


def test_a_run_without_connections_and_without_a_stack_says_what_is_missing(tmp_path: Path) -> None:
    ended = stack_command(tmp_path, "run", "catalogue", "2026-11-17", ENRICHMENT_LAKE="s3://mine")
    assert ended.returncode == 1
    assert "Not set: AIRFLOW_CONN_ANTHROPIC_DEFAULT, AIRFLOW_CONN_AWS_DEFAULT, AIRFLOW_CONN_WAREHOUSE;" in ended.stderr
    assert "make demo" in ended.stderr


def test_the_real_api_needs_a_key(tmp_path: Path) -> None:
    ended = stack_command(tmp_path, "demo", REAL="1")
    assert ended.returncode == 1
    assert "REAL=1 needs ANTHROPIC_API_KEY" in ended.stderr


def test_down_with_nothing_running_is_no_failure(tmp_path: Path) -> None:
    ended = stack_command(tmp_path, "down")
    assert (ended.returncode, ended.stdout) == (0, "Nothing was running.\n")
