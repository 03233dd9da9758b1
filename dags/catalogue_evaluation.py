"""Ask four variants of the catalogue's prompt and model about the same products, every week.

Reads the products of one Monday whose shelf we know, asks Claude for each of them once per variant, and replaces that
day of `tables/catalogue_evaluation` on the lake. Then `pitch_judge` and `pitch_pairs` grade the pitches, and
`evaluate_catalogue` compares the variants and says whether one may replace the current one. The variants, the truth and
the gate are in `include/pipelines/catalogue_evaluation`. The run of a Monday starts a week later.

To evaluate another day: Trigger, and enter the day under Partition; Variants asks only some of them. A row limit asks
only the first products, and ends with their answers: nothing follows a trial.

Triage: nothing depends on an evaluation but the next change of the prompt, so a failed run can wait. Clearing any task
is safe, and no request is billed twice. If `main.plan` says that the canary failed, a prompt or a schema was changed.
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
