"""Count the categories of each day of the catalogue, as soon as the day is published.

This Dag is an example of a downstream consumer, e.g. a report or a copy into the warehouse. It has no clock schedule:
each `publish` of `catalogue` sends an event of the asset `catalogue`, and this Dag reads only the day that the event
names. A day that is published again is counted again. The counts are in `summaries/catalogue` on the lake.

Triage: clearing the task is safe and counts the same days again. It calls no API and costs nothing.
"""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import dag

from claude_batch.assets import SummaryOperator, table_asset


@dag(dag_id=Path(__file__).stem, schedule=table_asset("catalogue"), doc_md=__doc__, tags=["claude-batch"])
def summary() -> None:
    SummaryOperator(task_id="summary", pipeline="catalogue", column="category")


summary()
