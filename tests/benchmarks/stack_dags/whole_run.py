"""The flow of production over the benchmark's own pipeline. Its runs are started by tests/benchmarks/whole_run.py."""

from __future__ import annotations

from pathlib import Path

from airflow.sdk import dag

from claude_batch import pipelines
from claude_batch.task_group import enrich
from include.dag_defaults import NIGHTLY

pipelines.PIPELINES = Path(__file__).parents[1]
# A try that fails ends the run at once: what would be measured is the pause before the next.
_ONE_TRY = NIGHTLY | {"default_args": NIGHTLY["default_args"] | {"retries": 0}}


@dag(dag_id=Path(__file__).stem, schedule=None, doc_md=__doc__, **_ONE_TRY)
def whole_run() -> None:
    enrich("pipeline")


whole_run()
