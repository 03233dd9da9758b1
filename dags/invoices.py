"""Read the invoices that arrived yesterday, every night: from PDFs, scans, photos and Word files to typed rows.

Reads the documents of one day from the bucket, asks Claude for vendor, number, dates, lines and sums with the words
that state them, and replaces that day of `tables/invoices` on the lake. The prompt and the checks are in
`include/pipelines/invoices`. The run of a day starts at midnight UTC and waits without a worker until 01:00, when the
mail gateway has delivered the last documents.

To run one day: Trigger, and enter the day under Partition. To run many days: Trigger, Backfill.

Triage: clearing any task is safe, and no document is billed twice. Documents that cannot be read (a password, a damaged
file) are rejects: ask the sender for another copy, put it into the same day's folder, and trigger the day again, which
pays only for the new one. If `publish` says that too many rows were rejected, read the reasons that it names. If
`submit` says that a document has changed since it was read, clear `extract`. An invoice that is missing here is paid
late, not lost: its document stays in the bucket.
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
    enrich(source_ready_after=timedelta(hours=1))


nightly()
