"""
What a Dag file brings into the process that parses it: our own light modules, and nothing else. How long that takes is
measured by tests/benchmarks/parse.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAG_FILES = sorted((ROOT / "dags").glob("*.py"))

#: A Dag of Airflow's own parts in the shape of ours: what parsing it brings in is Airflow's cost and not ours.
_AIRFLOW_ONLY = """
from datetime import UTC, datetime

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.date_time import DateTimeSensorAsync
from airflow.sdk import BaseOperatorLink, Param, TaskGroup, dag, task_group
from airflow.timetables.interval import CronDataIntervalTimetable


@dag(
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    params={"partition": Param(None, type=["null", "string"], format="date")},
)
def airflow_only():
    with TaskGroup(group_id="flow"):

        @task_group
        def chunk(number):
            DateTimeSensorAsync(task_id="wait", target_time="{{ ts }}") >> EmptyOperator(task_id="waited")

        chunk.expand(number=[1])


airflow_only()
"""
_PARSE = """
import runpy
import sys

runpy.run_path(sys.argv[1])
before = set(sys.modules)
for dag_file in sys.argv[2:]:
    runpy.run_path(dag_file)
print(*sorted(set(sys.modules) - before))
"""


def test_dag_files_bring_in_our_own_light_modules_and_nothing_else(tmp_path: Path) -> None:
    brought = set(_parse(DAG_FILES, tmp_path).split())
    assert "claude_batch" in brought
    ours = {name for name in brought if name.partition(".")[0] in ("claude_batch", "include")}
    foreign = brought - ours - _of_the_standard_library(brought)
    assert not foreign
    heavy = (
        "claude_batch.connections",
        "include.enrichment.spec.pipeline",
        "include.gateways",
        "include.steps",
    )
    assert not {name for name in ours if f"{name}.".startswith(tuple(f"{prefix}." for prefix in heavy))}


def _of_the_standard_library(names: set[str]) -> set[str]:
    return {name for name in names if name.partition(".")[0] in sys.stdlib_module_names}


def _parse(dag_files: Sequence[Path], home: Path) -> str:
    """The modules that the files bring in, in an interpreter that has parsed nothing but Airflow's own parts."""
    airflow_only = home / "airflow_only.py"
    airflow_only.write_text(_AIRFLOW_ONLY)
    environment = os.environ | {
        "AIRFLOW_HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
    }
    command = [sys.executable, "-c", _PARSE, str(airflow_only), *map(str, dag_files)]
    parsed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    return parsed.stdout.splitlines()[-1]
