"""Airflow in this process: a metadata database, the connections of a test, and a Dag file run from end to end."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from claude_batch import pipelines
from include.stack.folder import StackFolder
from include.stack.metadata import give_sqlite
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import ROWS, write_pipeline, write_tickets
from tests.fixtures.s3 import Bucket

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

#: The pause between two looks of dag.test() at a run of which no task can start.
LOOK_SECONDS = 0.2


@pytest.fixture(scope="session")
def airflow_db(stack_folder: StackFolder) -> None:
    """The metadata database that dag.test() writes to: a copy of the one that all stacks begin with."""
    give_sqlite(stack_folder, Path(os.environ["AIRFLOW_HOME"]))


@pytest.fixture
def session(airflow_db: None) -> Iterator[Session]:
    """A session of the metadata database, of which nothing stays."""
    from airflow import settings

    assert settings.Session is not None
    with settings.Session() as opened:
        yield opened
        opened.rollback()


@pytest.fixture(scope="module")
def api(airflow_db: None) -> Iterator[TestClient]:
    """Airflow's API server, with the plugins that its loader finds."""
    from airflow.api_fastapi.app import create_app

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_urlsafe(64))
        # Otherwise a Dag that the test before wrote less than half a minute ago stays as it was.
        environment.setenv("AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "0")
        with TestClient(create_app(apps="core")) as client:
            yield client


def login_as(role: str) -> dict[str, str]:
    """The header of a user of ``api`` who has that role."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    user = SimpleAuthManagerUser(username="somebody", role=role)
    return {"Authorization": f"Bearer {get_auth_manager().generate_jwt(user)}"}


def anthropic_connection(emulator: Emulator) -> str:
    """AIRFLOW_CONN_ANTHROPIC_DEFAULT for an emulator."""
    return json.dumps({"conn_type": "anthropic", "host": emulator.url, "password": emulator.api_key})


@pytest.fixture
def connections(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, emulator: Emulator, s3_bucket: Bucket
) -> pytest.MonkeyPatch:
    """The tickets pipeline with every connection in place: emulator, S3, SQLite. Change one to see it fail."""

    write_pipeline(tmp_path / "pipelines" / "tickets")
    monkeypatch.setattr(pipelines, "PIPELINES", tmp_path / "pipelines")
    database = write_tickets(tmp_path / "warehouse.db", ROWS)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"sqlite:///{database}")
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", anthropic_connection(emulator))
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3_bucket.aws_connection)
    monkeypatch.setenv("ENRICHMENT_LAKE", s3_bucket.uri)
    return monkeypatch


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits minutes in production waits a second."""
    from claude_batch import failures
    from include.enrichment.batches import submission

    monkeypatch.setattr(failures, "SHORTEST_DEFERRAL", timedelta(seconds=1))
    monkeypatch.setattr(submission, "LISTING_LAG", timedelta(seconds=1))
    monkeypatch.setattr(submission, "CREATE_WINDOW", timedelta(seconds=1))
    monkeypatch.setattr(submission, "SOON", timedelta(seconds=1))


@pytest.fixture
def run_dag(airflow_db: None, connections: pytest.MonkeyPatch, quick: None) -> Callable[..., Any]:
    """Run a Dag file through dag.test() and return the Dag run. Retries are off: a failure is seen as it is."""
    from airflow.dag_processing.dagbag import BundleDagBag
    from jsonschema import Draft202012Validator

    # dag.test() sleeps a second whenever no task can start, as at each step of a chain that is skipped.
    sleep = time.sleep
    connections.setattr(time, "sleep", lambda seconds: sleep(min(seconds, LOOK_SECONDS)))
    # At each look at a param Airflow checks the param's schema first: a thousand times in a run, a fifth of its time.
    connections.setattr(Draft202012Validator, "check_schema", lambda *_, **__: None)

    def run(path: Path, **test_options: Any) -> Any:
        bundle = {
            "name": "tests",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": str(path.parent)},
        }
        connections.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
        bag = BundleDagBag(dag_folder=path, bundle_path=path.parent, bundle_name="tests")
        assert bag.import_errors == {}
        (dag,) = bag.dags.values()
        for task in dag.tasks:
            task.retries = 0
        return dag.test(**test_options)

    return run
