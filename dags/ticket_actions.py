"""Act on the flagged support tickets of a day, as soon as they are sorted.

Reads the flagged rows of one day of `tables/tickets`. For each, an agent looks up the customer's orders, files a refund
if it is due, and drafts the reply. The run replaces that day of `tables/ticket_actions`. Prompt, tools and limits are
in `include/pipelines/ticket_actions`.

To run one day: Trigger, and enter the day under Partition.

Triage: clearing any task is safe: every step of an agent is stored, and no refund is filed twice. Rejects are tickets
whose agent was stopped at a limit or whose tool failed: a person answers them. If `ask` says that the run has reached a
limit, read some transcripts before you raise it. If the refunds service is down, wait until it is up and clear `ask`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import dag

from claude_batch.assets import table_asset
from claude_batch.resolving.resolve_group import resolve
from include.dag_defaults import NIGHTLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=table_asset("tickets"),
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    doc_md=__doc__,
    tags=["claude-batch", "agent"],
    **NIGHTLY,
)
def act() -> None:
    resolve()


act()
