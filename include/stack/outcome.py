"""How a run ended, in words: the published rows, or what failed and what to do next."""

from __future__ import annotations

import sys
from typing import Any

import httpx2

from include.enrichment.manifest import Manifest
from include.enrichment.prices import dollars
from include.stack.airflow_api import AirflowApi, TaskInstance
from include.stack.lake import Published
from include.stack.stack import LOOPBACK, Stack

SHOWN_ROWS = 8
CELL_WIDTH = 36
SHOWN_LOG_LINES = 25


def success(stack: Stack, published: Published) -> str:
    """The first published rows as a table, and where they lie."""
    manifest = published.manifest
    simulated = (
        ""
        if stack.real_api
        else "\nThe answers are SIMULATED by the emulator: the shape is real, the judgement is not.\n"
    )
    return f"""
{_table(published)}
{simulated}
  {manifest.rows:>6,} rows read        {manifest.requests:,} distinct requests to {manifest.model}
  {manifest.published:>6,} published        {manifest.table}
  {manifest.rejected:>6,} rejected         {manifest.rejects}
  {cost(manifest, simulated=not stack.real_api)}, by the prices in include/enrichment/prices.yaml"""


def cost(manifest: Manifest, *, simulated: bool) -> str:
    """
    What the run cost.

    :param simulated: the emulator answered, and nobody is billed
    """
    return f"{'simulated cost' if simulated else 'cost'} {dollars(manifest.cost_usd)}"


def reconciliation(published: Published, wrong: list[str]) -> str:
    """Whether the warehouse and the lake agree, row by row."""
    rows = f"{published.table.num_rows + published.rejects.num_rows:,}"
    if not wrong:
        return f"  Every source row of the partition is in the table or in the rejects, exactly once ({rows})."
    return "\n".join([f"  {len(wrong)} source rows are NOT in table or rejects exactly once:", *wrong[:10]])


def whereabouts(stack: Stack, published: Published) -> str:
    """Where to look: the UI with its login, and the table with one command to copy."""
    filesystem = (
        "fs.S3FileSystem(access_key='testing', secret_key='testing', region='us-east-1', scheme='http',"
        f" endpoint_override='{LOOPBACK}:{stack.ports.s3}')"
    )
    return f"""
  Airflow   {stack.airflow_url}   user admin, password {stack.ui_password}
  S3        {stack.s3_url}   any credentials
  Look      {sys.executable} -c "from pyarrow import fs, parquet; print(parquet.read_table(\
'{published.manifest.table.removeprefix("s3://")}', filesystem={filesystem}, partitioning=None).to_pandas())\"
  Cost      make report   (in another terminal, while this one is up)"""


def failure(api: AirflowApi, stack: Stack, pipeline: str, run_id: str, state: str) -> str:
    """What failed, the end of its log, what is left behind, and the next step."""
    failed = [task for task in api.task_instances(pipeline, run_id) if task.state == "failed"]
    logs = "\n".join(_log(api, pipeline, run_id, task) for task in failed[:3])
    return f"""
The run {run_id} ended as {state}; nothing is published.
{logs}
Left behind: what was submitted and loaded is on the lake for as long as this stack is up.
Look at {stack.airflow_url} (user admin, password {stack.ui_password}) while it is up.
Full logs: {stack.folder}/airflow/logs.
Mend the cause, then clear the failed task there, or stop this and `make demo` again."""


def _table(published: Published) -> str:
    columns = [name for name in published.table.column_names if not name.startswith("_")]
    rows = published.table.select(columns).slice(0, SHOWN_ROWS).to_pylist()
    lines = [columns, *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[position]) for line in lines) for position in range(len(columns))]
    return "\n".join("  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= CELL_WIDTH else f"{text[: CELL_WIDTH - 1]}…"


def _log(api: AirflowApi, pipeline: str, run_id: str, task: TaskInstance) -> str:
    try:
        lines = api.log(pipeline, run_id, task)
    except httpx2.HTTPError as error:
        lines = [f"its log cannot be read: {error}"]
    index = f"[{task.map_index}]" if task.map_index >= 0 else ""
    shown = [f"  {line}" for line in lines[-SHOWN_LOG_LINES:]]
    return "\n".join([f"{task.task_id}{index} failed (try {task.try_number}):", *shown])
