"""Read the invoices whose true values we know, every week.

Reads the true values of one Monday, asks Claude to read the documents that they belong to, exactly as `invoices` does,
and replaces that day of `tables/invoices_evaluation` on the lake. Then `evaluate_invoices` compares each field with its
true value. The metrics are in `include/pipelines/invoices_evaluation`. The run of a Monday starts a week later.

To evaluate another day: Trigger, and enter the day under Partition.

Triage: nothing depends on an evaluation but the next change of the prompt, so a failed run can wait. Clearing any task
is safe, and no document is billed twice. If `extract` says that there is no file, there are no true values for that
day: no action is needed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import dag

from claude_batch.task_group import enrich
from include.dag_defaults import MONDAYS, WEEKLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=MONDAYS,
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    doc_md=__doc__,
    tags=["claude-batch", "evaluation"],
    **WEEKLY,
)
def weekly() -> None:
    enrich()


weekly()
