"""Count the categories of each day of the catalogue, as soon as the day is published.

It has no schedule of its own: each `publish` of `catalogue` is an event of the asset `catalogue`, which says which day
it was, and that day alone is read. A day that is published again is counted again. The counts are in
`summaries/catalogue` on the lake. An example of what may follow a pipeline: a report, a copy into the warehouse.

Triage: clearing the task is safe, and counts the same days again. It asks nobody and pays nothing.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import dag

from claude_batch.assets import SummaryOperator, table_asset


@dag(dag_id=Path(__file__).stem, schedule=table_asset("catalogue"), doc_md=__doc__, tags=["claude-batch"])
def summary() -> None:
    SummaryOperator(task_id="summary", pipeline="catalogue", column="category")


summary()
