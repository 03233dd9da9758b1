"""
One Dag per case of the plan, with one task: LLMBatchOperator as in its guide and its example Dags.

It is deferrable, with one ``result_path`` per run, and with retries, which its guide calls safe. Only the delay before
a retry is shorter than usual, and the poll interval is the shortest that the operator accepts.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

from airflow.providers.common.ai.operators.llm_batch import LLMBatchOperator  # type: ignore[import-not-found]
from airflow.sdk import DAG, get_parsing_context

MODEL = "anthropic:claude-haiku-5-5"
PLAN = json.loads(Path(os.environ["BENCHMARK_PLAN"]).read_text(encoding="utf-8"))

for case in PLAN["cases"]:
    # A task parses its own Dag only, as Airflow advises for files with many Dags.
    if get_parsing_context().dag_id not in (None, case["dag_id"]):
        continue
    with DAG(case["dag_id"], schedule=None, is_paused_upon_creation=False) as dag:
        LLMBatchOperator(
            task_id="ask",
            requests=case["rows"],
            result_path=f"{PLAN['lake']}/{{{{ dag.dag_id }}}}/{{{{ run_id }}}}",
            llm_conn_id=case["dag_id"],
            model_id=MODEL,
            system_prompt="Say in one sentence what the customer wants.",
            max_tokens=200,
            deferrable=True,
            poll_interval=30,
            retries=2,
            retry_delay=timedelta(seconds=2),
            **case["options"],
        )
    globals()[case["dag_id"]] = dag
