"""`make report`: it creates the page and prints its address."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from include.gateways.lake import Lake
from include.gateways.usage_store import UsageStore
from include.stack.stack import aws_connection
from tests.fixtures.commands import Command, command, quick_command
from tests.fixtures.usage import usage_line


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Return a lake with the usage record of a batch of today."""
    lake = Lake.in_folder(tmp_path / "lake")
    UsageStore(lake).add(usage_line("msgbatch_simulated_1", datetime.now(UTC), cost_usd=Decimal("0.25")))
    return lake


def report(run: Command, lake: Lake, *arguments: str, **variables: str) -> tuple[int, str, str]:
    settings = {"ENRICHMENT_LAKE": lake.uri, "AIRFLOW_CONN_AWS_DEFAULT": aws_connection("http://127.0.0.1:1")}
    ended = run(Path(lake.uri).parent / "stack", "report", *arguments, **(settings | variables))
    return ended.returncode, ended.stdout, ended.stderr


def test_the_default_is_30_days_up_to_today(lake: Lake) -> None:
    status, said, _ = report(command, lake)
    today = datetime.now(UTC).date()
    assert status == 0
    (page,) = (key for key in lake.list("reports/") if key.endswith(".html"))
    assert page == f"reports/usage/{today - timedelta(days=29)}_{today}.html"
    first, second = said.splitlines()
    assert first.endswith(f"{today}: $0.2500, batches: 1, SIMULATED: the emulator answered")
    assert second.strip() == lake.locate(page)


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "fact"),
    [
        (["--first", "2026-11-31"], {}, 2, "'first' is '2026-11-31' and must be a date"),
        (["--first", "2026-11-02", "--last", "2026-11-01"], {}, 2, "is before 'first'"),
        ([], {"ENRICHMENT_LAKE": "s3:/nowhere"}, 1, "ENRICHMENT_LAKE is 's3:/nowhere'"),
        ([], {"ENRICHMENT_LAKE": ""}, 1, "Not set: ENRICHMENT_LAKE. No demo is running"),
    ],
)
def test_errors_are_reported_and_no_report_is_created(
    lake: Lake, arguments: list[str], variables: dict[str, str], status: int, fact: str
) -> None:
    ended, _, said = report(quick_command, lake, *arguments, **variables)
    assert (ended, lake.list("reports/")) == (status, [])
    assert fact in said
