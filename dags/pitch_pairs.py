"""Compare the pitches of each variant with the current ones, as soon as their answers are published.

Reads one day of `tables/catalogue_evaluation`, shows a model that is not among the variants two pitches of the same
product, in both orders, and replaces that day of `tables/pitch_pairs`. The rubric is in
`include/pipelines/pitch_pairs`.

Triage: clearing any task is safe, and no request is billed twice. If `extract` says that several days were published,
trigger each of them with the param `partition`. An answer without a grade is a reject, and the evaluation shows it as
unscored.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from airflow.sdk import dag

from claude_batch.assets import table_asset
from claude_batch.task_group import enrich
from include.dag_defaults import WEEKLY


@dag(
    dag_id=Path(__file__).stem,
    schedule=table_asset("catalogue_evaluation"),
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    doc_md=__doc__,
    tags=["claude-batch", "evaluation"],
    **WEEKLY,
)
def judge() -> None:
    enrich()


judge()
