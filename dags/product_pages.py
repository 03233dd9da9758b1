"""Write the product pages of the products that changed yesterday, in three languages, every night.

Reads one day of `products`, asks Claude twice for each product and locale, and replaces that day of
`tables/product_pages` on the lake: one page for each product and locale, the better one of two. The prompts, the checks
and the rule for the better one are in `include/pipelines/product_pages`. The run of a day starts at midnight UTC and
waits without a worker until 03:00, an hour after the catalogue's, so that the two do not extract at the same time.

To run one day: Trigger, and enter the day under Partition. To run many days: Trigger, Backfill.

Triage: the pages of earlier days stay published whatever happens, so a failed night can wait for the morning. Clearing
any task is safe, and no request is billed twice. If `main.plan` says that the canary failed, read its reasons: usually
a check or a prompt was changed. If `publish` says that too many rows were rejected, read the rejects that it names. If
a check is too strict, loosen it in `checks.yaml` and start a new run, which judges the same answers again and pays only
for the repairs of those that still fail. If a budget stopped the run, nothing above it was spent.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import dag

from claude_batch.task_group import enrich
from include.dag_defaults import MIDNIGHT, NIGHTLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=MIDNIGHT,
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    doc_md=__doc__,
    tags=["claude-batch"],
    **NIGHTLY,
)
def nightly() -> None:
    enrich(source_ready_after=timedelta(hours=3))


nightly()
