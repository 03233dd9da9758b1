"""Report the cost of Claude for the last 30 days, every morning at 06:00 UTC.

Reads the usage records that each `load` writes, and creates a page and a Parquet summary below `reports/usage` on the
lake. If a loaded batch has no usage record, it is recorded first. The task's link "Usage report" opens the page, and
`/usage-report/latest` on this Airflow opens the newest 30-day page.

For other days: Trigger, and enter the first and the last day. Today's batches are included once they are loaded.

Triage: clearing the task is safe and creates the report of the same days again. It calls no API and costs nothing.
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
