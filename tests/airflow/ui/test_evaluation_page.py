"""evaluation_page.py over HTTP, as Airflow's own API server mounts it behind its login."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from include.gateways.lake import Lake
from tests.airflow.conftest import login_as

ID = "20261130T030000Z-0123abcd"
PAGE = f"/evaluation-report/tickets/{ID}"


@pytest.fixture
def lake(connections: pytest.MonkeyPatch) -> Lake:
    from claude_batch.connections.gateways import open_lake

    lake = open_lake("aws_default")
    lake.write(f"evaluations/tickets/{ID}/report.html", "<p>é secret</p>".encode())
    lake.write(f"evaluations/tickets/{ID}/summary.json", b"secret")
    lake.write("evaluations/report.html", b"secret")
    return lake


def test_a_report_requires_a_login(api: TestClient, lake: Lake) -> None:
    answer = api.get(PAGE)
    assert answer.status_code == 401
    assert "secret" not in answer.text


def test_a_logged_in_user_sees_it_and_its_script_cannot_reach_airflow(api: TestClient, lake: Lake) -> None:
    answer = api.get(PAGE, headers=login_as("viewer"))
    assert (answer.status_code, answer.text) == (200, "<p>é secret</p>")
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"sandbox allow-scripts", "form-action 'none'", "frame-ancestors 'self'"} <= set(policy)
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/evaluation-report/tickets/20261130T030000Z-unknown",
        "/evaluation-report/tickets%2F..",
        f"/evaluation-report/tickets/{ID}%2Fsummary.json",
        f"/evaluation-report/tickets/{ID}/summary.json",
        f"/evaluation-report/..%2Fevaluations%2Ftickets/{ID}",
        "/evaluation-report/docs",
        "/evaluation-report/",
    ],
)
def test_only_reports_are_served(api: TestClient, lake: Lake, path: str) -> None:
    answer = api.get(path, headers=login_as("viewer"))
    assert answer.status_code in (404, 422)
    assert "secret" not in answer.text
