"""report_page.py over HTTP, as Airflow's own API server mounts it behind its login."""

from __future__ import annotations

import httpx2
import pytest
from starlette.testclient import TestClient

from include.gateways.lake import Lake
from tests.airflow.conftest import login_as

DAILY = "reports/usage/2026-10-29_2026-11-27.html"
PAGE = "/usage-report/2026-11-01_2026-11-02"


@pytest.fixture
def lake(connections: pytest.MonkeyPatch) -> Lake:
    from claude_batch.connections.gateways import open_lake

    return open_lake("aws_default")


@pytest.fixture
def login(api: TestClient) -> dict[str, str]:
    """The header of a user who may only look."""
    return login_as("viewer")


@pytest.mark.parametrize("path", [PAGE, "/usage-report/latest", "/usage-report/2026-10-29_2026-11-27"])
def test_a_report_requires_a_login(api: TestClient, lake: Lake, path: str) -> None:
    lake.write(DAILY, b"<p>secret</p>")
    answer = api.get(path)
    assert answer.status_code == 401
    assert "secret" not in answer.text


def test_a_logged_in_user_sees_it_and_nothing_in_it_runs_or_is_fetched(
    api: TestClient, lake: Lake, login: dict[str, str]
) -> None:
    lake.write("reports/usage/2026-11-01_2026-11-02.html", "<p>é</p>".encode())
    answer = api.get(PAGE, headers=login)
    assert (answer.status_code, answer.text) == (200, "<p>é</p>")
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "img-src data:", "form-action 'none'", "sandbox"} <= set(policy)
    assert not any("script" in rule for rule in policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_latest_is_the_newest_daily_report(api: TestClient, lake: Lake, login: dict[str, str]) -> None:
    assert "no usage report of 30 days yet" in api.get("/usage-report/latest", headers=login).text
    lake.write(DAILY, b"newest")
    lake.write("reports/usage/2026-10-28_2026-11-26.html", b"older")
    lake.write("reports/usage/2026-11-28_2026-11-28.html", b"by hand")
    assert api.get("/usage-report/latest", headers=login).text == "newest"


@pytest.mark.parametrize(
    "path",
    [
        PAGE,
        "/usage-report/..%2F..%2Fledger_x",
        "/usage-report/2026-11-01_..%2F..%2Fsecret",
        "/usage-report/reports/usage/2026-10-29_2026-11-27.html",
        "/usage-report/2026-10-29_2026-11-27.parquet",
        "/usage-report/2026-11-31_2026-12-01",
        "/usage-report/docs",
        "/usage-report/openapi.json",
        "/usage-report/",
    ],
)
def test_only_reports_are_served(api: TestClient, lake: Lake, login: dict[str, str], path: str) -> None:
    lake.write(DAILY, b"secret")
    lake.write("secret.html", b"secret")
    answer = api.get(path, headers=login)
    assert answer.status_code in (404, 422)
    assert "secret" not in answer.text.replace(path, "")


def test_an_unreadable_lake_is_an_error_with_its_reason(
    api: TestClient, connections: pytest.MonkeyPatch, login: dict[str, str]
) -> None:
    connections.delenv("ENRICHMENT_LAKE")
    answer = api.get(PAGE, headers=login)
    assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    assert "ENRICHMENT_LAKE is not set" in answer.text


def test_the_navigation_links_to_the_latest_report(api: TestClient, lake: Lake) -> None:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    lake.write(DAILY, b"newest")
    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="somebody", role="admin"))
    login = {"Authorization": f"Bearer {token}"}
    plugins = api.get("/api/v2/plugins", headers=login).json()["plugins"]
    (view,) = next(plugin for plugin in plugins if plugin["name"] == "claude_batch")["external_views"]
    assert (view["name"], view["destination"]) == ("Usage report", "nav")
    assert api.get(f"/{view['href']}").status_code == 401
    assert api.get(f"/{view['href']}", headers=login).text == "newest"
