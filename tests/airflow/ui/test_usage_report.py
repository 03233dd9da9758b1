"""usage_report.py: the form, the operator and its link."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

from claude_batch.ui.usage_report import ReportLink, UsageReportOperator, report_form
from include.gateways.lake import Lake

#: Not dags/usage_report.py, which has a deadline: dag.test() does not support deadlines.
DAG_FILE = """
from airflow.sdk import dag
from claude_batch.ui.usage_report import UsageReportOperator, report_form

@dag(schedule=None, params=report_form())
def costs():
    UsageReportOperator(task_id="report")

costs()
"""
PAGE = "reports/usage/2026-10-29_2026-11-27.html"


@pytest.fixture
def lake(connections: pytest.MonkeyPatch) -> Lake:
    from claude_batch.connections.gateways import open_lake

    return open_lake("aws_default")


def context(**params: Any) -> Any:
    run = SimpleNamespace(run_after=datetime(2026, 11, 28, 6, tzinfo=UTC))
    return {"params": dict.fromkeys(report_form()) | params, "dag_run": run}


def operator() -> UsageReportOperator:
    return UsageReportOperator(task_id="report")


def link_of(task: UsageReportOperator) -> str:
    ti_key: Any = None
    return ReportLink().get_link(task, ti_key=ti_key)


def test_the_defaults_are_those_of_the_daily_report() -> None:
    assert {name: param.resolve() for name, param in report_form().items()} == {"first": None, "last": None}


def test_every_field_has_a_title_and_a_description() -> None:
    for param in report_form().values():
        assert param.schema["title"]
        assert param.description
        assert param.description.endswith(".")


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", 7, True])
@pytest.mark.parametrize("name", ["first", "last"])
def test_the_form_rejects_a_value_that_is_not_a_date(name: str, value: object) -> None:
    with pytest.raises(ParamValidationError):
        report_form()[name].resolve(value)


def test_without_params_the_last_day_is_the_day_before_the_run(lake: Lake) -> None:
    assert operator().execute(context()) == lake.locate(PAGE)
    assert lake.list("reports/") == [PAGE, PAGE.replace("html", "parquet")]


def test_the_days_of_the_params_are_reported(lake: Lake) -> None:
    assert operator().execute(context(first="2026-11-01", last="2026-11-02")).endswith("/2026-11-01_2026-11-02.html")


def test_the_operator_rejects_an_invalid_range_too(lake: Lake) -> None:
    """A user's Dag may have no form, and Airflow then accepts any param."""
    with pytest.raises(AirflowFailException, match=r"ParamError: .*is before 'first'"):
        operator().execute(context(first="2026-11-02", last="2026-11-01"))
    assert lake.list("reports/") == []


def test_the_link_opens_the_page_in_airflow_and_contains_no_secret(lake: Lake) -> None:
    task = operator()
    task.execute(context())
    assert link_of(task).endswith("/usage-report/2026-10-29_2026-11-27")
    assert "?" not in link_of(task)


def test_without_a_report_there_is_no_link() -> None:
    assert link_of(operator()) == ""


def test_a_run_creates_the_report_of_its_params_and_stores_the_link(
    run_dag: Callable[..., Any], lake: Lake, tmp_path: Path
) -> None:
    path = tmp_path / "dags" / "costs.py"
    path.parent.mkdir()
    path.write_text(DAG_FILE)
    run = run_dag(path, run_conf={"first": "2026-11-01", "last": "2026-11-02"})
    assert run.state == "success"
    (task,) = run.get_task_instances()
    assert task.xcom_pull(task_ids="report").endswith("/reports/usage/2026-11-01_2026-11-02.html")
    assert task.xcom_pull(task_ids="report", key=ReportLink().xcom_key).endswith("/2026-11-01_2026-11-02")
