"""The flow of production for the benchmark's own pipeline; tests/benchmarks/whole_run.py starts its runs."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import dag

from claude_batch import pipelines
from claude_batch.task_group import enrich
from include.dag_defaults import NIGHTLY

pipelines.PIPELINES = Path(__file__).parents[1]
# A failed try ends the run at once, because the delay before a retry would distort the measurement.
_ONE_TRY = NIGHTLY | {"default_args": NIGHTLY["default_args"] | {"retries": 0}}


@dag(dag_id=Path(__file__).stem, schedule=None, doc_md=__doc__, **_ONE_TRY)
def whole_run() -> None:
    enrich("pipeline")


whole_run()
