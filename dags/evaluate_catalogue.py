"""Say which variant of the catalogue is best, as soon as the judges have graded the answers.

Reads one day of the tables of `catalogue_evaluation`, `pitch_judge` and `pitch_pairs`, scores every answer as
`evaluation.yaml` says, compares the variants case by case, and writes the report to `evaluations/catalogue_evaluation`
on the lake. It calls no API and costs nothing, so after a change of evaluation.yaml, clear the task.

The run's note says what the gate decides. `fail`: a variant is worse than its margin allows, and the run fails.
`inconclusive`: there were too few cases to decide, and the run succeeds.

To evaluate another day: Trigger, and enter the day under Partition.

Triage: a run that says `The gate fails` has done its work: read the report that it names before you change the variant.
If it says that a judge has graded other answers, run that judge's Dag for the day, then clear the task.
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
    schedule=table_asset("pitch_judge") & table_asset("pitch_pairs"),
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    params=evaluation_form(),
    doc_md=__doc__,
    tags=["claude-batch", "evaluation"],
    **WEEKLY,
)
def verdict() -> None:
    EvaluateOperator(task_id="evaluate", pipeline="catalogue_evaluation")


verdict()
