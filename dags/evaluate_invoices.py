"""Compare what Claude reads in invoices with their true values, as soon as it has read them.

Reads one day of `tables/invoices_evaluation`, scores each field of each invoice as `evaluation.yaml` says, compares the
result with the newest earlier evaluation, and writes the report to `evaluations/invoices_evaluation` on the lake. It
calls no API and costs nothing, so after a change of evaluation.yaml, clear the task.

To evaluate another day: Trigger, and enter it.

Triage: a warning in the run's note is not urgent: read the report that the log names. If the task fails, its error says
what is missing; clear it once that is there.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import dag

from claude_batch.assets import table_asset
from claude_batch.ui.evaluation import EvaluateOperator, evaluation_form
from include.dag_defaults import WEEKLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=table_asset("invoices_evaluation"),
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    params=evaluation_form(),
    doc_md=__doc__,
    tags=["claude-batch", "evaluation"],
    **WEEKLY,
)
def verdict() -> None:
    EvaluateOperator(task_id="evaluate", pipeline="invoices_evaluation")


verdict()
