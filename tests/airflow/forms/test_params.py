"""params.py: which values the trigger form accepts. test_form.py tests the effect of each field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError
from starlette.testclient import TestClient

from claude_batch import pipelines
from claude_batch.forms.params import form
from include.enrichment.runs.options import RunOptions, run_options
from tests.airflow.conftest import login_as
from tests.airflow.test_task_group import write_dag
from tests.fixtures.flow import write_pipeline

PIPELINE = """\
source: {connection: warehouse, key: [ticket]}
request: {model: claude-haiku-5-5, other_models: [claude-sonnet-5-5], max_tokens: 200}
"""


@pytest.fixture(autouse=True)
def pipelines_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of pipelines that contains ``tickets``."""
    write_pipeline(tmp_path / "tickets", pipeline_yaml=PIPELINE)
    monkeypatch.setattr(pipelines, "PIPELINES", tmp_path)
    return tmp_path


def test_it_has_a_field_for_the_day_and_each_option() -> None:
    assert form("tickets").keys() == {"partition", *RunOptions.model_fields} - {"variants"}


def test_with_variants_it_has_a_field_for_them_in_place_of_the_model(pipelines_folder: Path) -> None:
    text = f"{PIPELINE}variants: {{deep: {{effort: high}}}}\n"
    write_pipeline(pipelines_folder / "tickets", pipeline_yaml=text)
    fields = form("tickets")
    assert fields.keys() == {"partition", *RunOptions.model_fields} - {"model"}
    assert fields["variants"].schema["examples"] == ["current", "deep"]
    assert [fields["variants"].resolve(value) for value in (None, [], ["deep"])] == [None, [], ["deep"]]
    with pytest.raises(ParamValidationError):
        fields["variants"].resolve(["dep"])


def test_the_defaults_are_those_of_a_nightly_run() -> None:
    values = {name: param.resolve() for name, param in form("tickets").items()}
    assert run_options(values, others=["partition"]) == RunOptions(reuse=True)
    assert values["partition"] is None


def test_every_field_has_a_title_and_a_description() -> None:
    for param in form("tickets").values():
        assert param.schema["title"]
        assert param.description
        assert param.description.endswith(".")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", None),
        ("partition", "2026-11-21"),
        ("rows", None),
        ("rows", 1),
        ("dry_run", True),
        ("model", None),
        ("model", "claude-haiku-5-5"),
        ("model", "claude-sonnet-5-5"),
        ("reuse", False),
        ("only_rejects", True),
        ("urgent", True),
        ("deadline", None),
        ("deadline", "05:30 Europe/Berlin"),
        ("deadline", "2026-12-01T05:30+01:00"),
    ],
)
def test_valid_values_are_accepted(name: str, value: object) -> None:
    assert form("tickets")[name].resolve(value) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", "yesterday"),
        ("partition", "2026-13-01"),
        ("partition", 7),
        ("rows", 0),
        ("rows", -1),
        ("rows", 1.5),
        ("rows", "5"),
        ("rows", True),
        ("dry_run", "yes"),
        ("dry_run", None),
        ("model", "claude-opus-5-5"),
        ("model", ""),
        ("reuse", 1),
        ("reuse", None),
        ("only_rejects", "true"),
        ("urgent", 1),
        ("deadline", "5:30"),
        ("deadline", "05:30 Berlin"),
        ("deadline", 530),
    ],
)
def test_invalid_values_are_rejected(name: str, value: object) -> None:
    with pytest.raises(ParamValidationError):
        form("tickets")[name].resolve(value)


BEYOND = pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rows", -3, "-3 is less than the minimum of 1"),
        ("budget_usd", -1, "-1 is less than the minimum of 0"),
        ("budget_usd", 9999, "9999 is greater than the maximum of 25"),
        ("partition", "2999-01-01", "'2999-01-01' is not a 'day up to today (UTC)'"),
    ],
)


@BEYOND
def test_a_value_beyond_a_bound_is_rejected_with_the_bound_and_not_clamped(
    pipelines_folder: Path, name: str, value: object, message: str
) -> None:
    write_pipeline(pipelines_folder / "tickets", pipeline_yaml=PIPELINE + "limits: {budget_usd: 25}\n")
    field = form("tickets")[name]
    with pytest.raises(ParamValidationError) as rejected:
        field.resolve(value)
    assert str(rejected.value).startswith(message)
    assert not field.schema.keys() & {"minimum", "maximum"}  # the form silently clamps to bounds that it sees


@BEYOND
def test_the_rest_api_names_param_and_bound_and_creates_no_run(
    api: TestClient, pipelines_folder: Path, name: str, value: object, message: str
) -> None:
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    write_pipeline(pipelines_folder / "tickets", pipeline_yaml=PIPELINE + "limits: {budget_usd: 25}\n")
    with create_session() as session:
        session.merge(DagBundleModel(name="tests"))
    sync_bag_to_db(DagBag(dag_folder=write_dag(pipelines_folder)), "tests", None)
    runs, header = "/api/v2/dags/tickets/dagRuns", login_as("admin")
    before = api.get(runs, headers=header).json()["total_entries"]
    asked = {"logical_date": None, "conf": {"partition": "2026-11-01", name: value}}
    answer = api.post(runs, headers=header, json=asked)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(f"Invalid input for param {name}: {message}")
    assert api.get(runs, headers=header).json()["total_entries"] == before


@pytest.mark.parametrize(("setting", "default"), [("", True), ("reuse: true", True), ("reuse: false", False)])
def test_the_default_of_reuse_is_the_pipelines(pipelines_folder: Path, setting: str, default: bool) -> None:
    write_pipeline(pipelines_folder / "tickets", pipeline_yaml=PIPELINE + setting)
    assert form("tickets")["reuse"].resolve() is default


@pytest.mark.parametrize("text", ["", "{", "request: 5"])
def test_an_unreadable_pipeline_yaml_gives_a_form_without_models(pipelines_folder: Path, text: str) -> None:
    """The Dag can still be imported: extract or its constructor reports the error."""
    write_pipeline(pipelines_folder / "tickets", pipeline_yaml=text)
    params: dict[str, Any] = form("tickets")
    assert params["model"].schema["enum"] == [None]
    assert form("no such pipeline").keys() == params.keys()
