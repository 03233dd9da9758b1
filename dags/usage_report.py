"""Report what Claude cost: every morning at 06:00 UTC the 30 days up to yesterday, and by hand any others.

It reads the books, which each `load` writes, and makes a page and a Parquet summary below `reports/usage` on the lake.
The link "Usage report" of its task leads to the page, `/usage-report/latest` of this Airflow to the newest of 30 days.
A batch that was loaded and is not in the books is booked first.

By hand: Trigger, and pick the first and the last day. Today's batches are in it once they have been loaded.

Triage: clearing the task is safe, and makes the report of the same days again. It asks nobody and pays nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import dag

from claude_batch.ui.usage_report import UsageReportOperator, report_form
from include.dag_defaults import MORNING, NIGHTLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=MORNING,
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    params=report_form(),
    doc_md=__doc__,
    tags=["claude-batch"],
    **NIGHTLY,
)
def report() -> None:
    UsageReportOperator(task_id="report")


report()
