"""A wrong argument is reported at once, with status 2, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.commands import command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "catalog", "2026-11-17"], "There is no pipeline 'catalog'; did you mean 'catalogue'?"),
        (["run", "", "2026-11-17"], "PIPELINE is missing. Example: make run PIPELINE=catalogue"),
        (["run", "../catalogue", "2026-11-17"], "There is no pipeline '../catalogue'"),
        (
            ["run", "catalogue", "yesterday"],
            "PARTITION is 'yesterday'. That is not a date like 2026-11-21. Example: make run",
        ),
        (["run", "catalogue", "2026-02-30"], "PARTITION is '2026-02-30'. There is no such day."),
        (["run", "catalogue", ""], "PARTITION is missing. Example: make run PIPELINE="),
        (["run", "catalogue"], "PARTITION"),
        (["run", "catalogue", "2999-01-01"], "Partition 2999-01-01 is in the future"),
        (["evaluate", "catalogue_evaluatoin", "2026-11-17"], "did you mean 'catalogue_evaluation'?"),
        (["evaluate", "catalogue", "2026-11-17"], "catalogue/evaluation.yaml: is missing"),
        (["evaluate", "catalogue_evaluation", ""], "PARTITION is missing. Example: make evaluate PIPELINE="),
        (["up"], "invalid choice"),
        ([], "required"),
    ],
)
def test_a_wrong_argument_is_status_2(tmp_path: Path, arguments: list[str], said: str) -> None:
    ended = command(tmp_path, *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""


def test_run_without_connections_or_a_demo_names_the_missing_variables(tmp_path: Path) -> None:
    ended = command(tmp_path, "run", "catalogue", "2026-11-17", ENRICHMENT_LAKE="s3://mine")
    assert ended.returncode == 2
    assert "Not set: AIRFLOW_CONN_ANTHROPIC_DEFAULT, AIRFLOW_CONN_AWS_DEFAULT, AIRFLOW_CONN_WAREHOUSE. No demo is" in (
        ended.stderr
    )
    assert "make demo" in ended.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ROWS": "-3"}, "ROWS is '-3'. It must be a whole number, 1 or more."),
        (
            {"ROWS": "ten", "DRY_RUN": "yep"},
            "ROWS is 'ten'. It must be a whole number, 1 or more.\nDRY_RUN is 'yep'. It must be 1 or 0.\n",
        ),
        ({"BUDGET": "9999"}, "BUDGET=9999: The run's param `budget_usd` is 9999, but catalogue/pipeline.yaml allows"),
        ({"MODEL": "claude-sonet-5"}, "did you mean 'claude-sonnet-5'?"),
        ({"ONLY_REJECTS": "1", "REUSE": "0"}, "REUSE=0 ONLY_REJECTS=1: The run's param `only_rejects` requires reuse"),
    ],
)
def test_an_invalid_option_is_reported_as_it_was_typed(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    ended = command(tmp_path, "run", "catalogue", "2026-11-17", **variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert ended.stderr.endswith("No run was started. Fix this, then run the same command again.\n")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DRY_RUN": "1"}, "DRY_RUN=1 is not an option of an evaluation. Options: ROWS, BUDGET, VARIANTS, BASELINE"),
        ({"VARIANTS": "curent"}, "did you mean 'current'?"),
        ({"GRADE_ONLY": "1", "ROWS": "5"}, "ROWS has no effect on GRADE_ONLY"),
        ({"GRADE_ONLY": "1", "VARIANTS": "current"}, "VARIANTS has no effect on GRADE_ONLY"),
        ({"VARIANTS": "brief"}, "The variants brief have no baseline: the others are compared with 'current'."),
    ],
)
def test_an_option_that_an_evaluation_does_not_have_is_status_2(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    ended = command(tmp_path, "evaluate", "catalogue_evaluation", "2026-11-17", **variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_the_real_api_needs_a_key(tmp_path: Path) -> None:
    ended = command(tmp_path, "demo", REAL="1")
    assert ended.returncode == 1
    assert "REAL=1 needs ANTHROPIC_API_KEY" in ended.stderr


def test_down_succeeds_if_nothing_is_running(tmp_path: Path) -> None:
    ended = command(tmp_path, "down")
    assert (ended.returncode, ended.stdout) == (0, "Nothing was running.\n")
