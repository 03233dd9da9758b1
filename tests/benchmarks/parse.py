"""
The time to parse Dag files: one in a fresh interpreter, without the import of Airflow, and 200 pipelines in one
process. Each is compared with a floor: a Dag of the same shape that consists of Airflow's EmptyOperator.

``python -m tests.benchmarks.parse`` prints one JSON object as the last line of stdout: medians, with min and max, of
runs that alternate between ours and the floor, each in a process of its own.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import json
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import measured

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = "catalogue"
#: The shape of the catalogue Dag without its code: 20 tasks, three mapped groups.
FLOOR_DAG = """
from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import CronDataIntervalTimetable, TaskGroup, chain, dag, task_group


@dag(
    dag_id=Path(__file__).stem,
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2026, 10, 20, tzinfo=UTC),
    catchup=False,
)
def floor():
    with TaskGroup(group_id="flow"):
        passes = []
        for name in ("canary", "main", "retry"):
            with TaskGroup(group_id=name) as requests_pass:
                plan = EmptyOperator(task_id="plan")
                plan >> EmptyOperator(task_id="ask")

                @task_group(group_id="chunk")
                def flow_of_chunk(chunk):
                    chain(*(EmptyOperator(task_id=task) for task in ("submit", "wait", "waited", "load")))

                flow_of_chunk.expand(chunk=plan.output)
            passes.append(requests_pass)
        chain(EmptyOperator(task_id="extract"), *passes, EmptyOperator(task_id="publish"))


floor()
"""


def main() -> int:
    """Measure, and print the figures."""
    options = _options()
    if options.file:
        _one_file(options.file)
    elif options.folder:
        _folder(options.folder)
    else:
        found = measure(options.pipelines, options.runs)
        sys.stdout.write(f"{json.dumps(found)}\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.parse", description=__doc__)
    parser.add_argument("--pipelines", type=int, default=200, help="the number of pipelines parsed in one process")
    parser.add_argument("--runs", type=int, default=3, help="the number of measurements of each")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)  # the processes that are measured
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(pipelines: int, runs: int) -> dict[str, Any]:
    """
    Return ``one_file_ms`` and ``all_files_seconds``, each with ``_min`` and ``_max``, and the numbers of Dags and
    tasks. The prefix ``floor_`` marks the same figures of the floor.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="parse-") as scratch:
        project = Path(scratch) / "project"
        _make_project(project, pipelines)
        for _ in range(runs):
            for prefix, folder in (("", project / "dags"), ("floor_", project / "floor")):
                file = folder / f"{PIPELINE}_000.py"
                found.setdefault(f"{prefix}one_file_ms", []).append(_child(project, "--file", file))
                found.setdefault(f"{prefix}all_files_seconds", []).append(_child(project, "--folder", folder))
    ours, floor = (found[name][0] for name in ("all_files_seconds", "floor_all_files_seconds"))
    shape = {name: ours[name] for name in ("dags", "tasks")}
    if shape != {name: floor[name] for name in shape} or shape["dags"] != pipelines:
        raise RuntimeError(f"The numbers of Dags and tasks differ: ours {ours}, the floor {floor}")
    return shape | {"runs": runs} | {key: value for name in found for key, value in _summary(name, found[name])}


def _summary(name: str, lines: list[dict[str, Any]]) -> list[tuple[str, float]]:
    times = sorted(line["seconds"] * (1_000 if name.endswith("_ms") else 1) for line in lines)
    return [(name, statistics.median(times)), (f"{name}_min", times[0]), (f"{name}_max", times[-1])]


def _one_file(file: Path) -> None:
    # Airflow's share. The package imports a name at its first use.
    _ = importlib.import_module("airflow.sdk").dag
    with measured():
        runpy.run_path(str(file))


def _folder(folder: Path) -> None:
    from airflow.dag_processing.dagbag import DagBag

    with measured() as facts:
        bag = DagBag(folder)
        facts |= {"dags": len(bag.dags), "tasks": sum(len(dag.tasks) for dag in bag.dags.values())}
    if bag.import_errors:
        raise RuntimeError(f"Dag files that cannot be imported: {bag.import_errors}")


def _make_project(project: Path, pipelines: int) -> None:
    """Make a project root with this checkout's code and many copies of one pipeline, each with its Dag file."""
    shutil.copytree(ROOT / "plugins", project / "plugins")
    shutil.copytree(ROOT / "include", project / "include", ignore=shutil.ignore_patterns("pipelines"))
    compileall.compile_dir(project, quiet=1)  # as in a deployment after its first parse
    for folder in ("dags", "floor"):
        (project / folder).mkdir()
    source = (ROOT / "dags" / f"{PIPELINE}.py").read_text(encoding="utf-8")
    for number in range(pipelines):
        name = f"{PIPELINE}_{number:03}"
        shutil.copytree(ROOT / "include" / "pipelines" / PIPELINE, project / "include" / "pipelines" / name)
        dag = source.replace(f'("{PIPELINE}"', f'("{name}"')
        (project / "dags" / f"{name}.py").write_text(dag, encoding="utf-8")
        (project / "floor" / f"{name}.py").write_text(FLOOR_DAG, encoding="utf-8")


def _child(project: Path, *arguments: str | Path) -> dict[str, Any]:
    """Measure in a process of its own, with the copied project instead of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment = kept | {
        "AIRFLOW_HOME": str(project.parent / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": os.pathsep.join(map(str, (project, project / "plugins", ROOT))),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "tests.benchmarks.parse", *map(str, arguments)]
    process = subprocess.run(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    line: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return line


if __name__ == "__main__":
    sys.exit(main())
