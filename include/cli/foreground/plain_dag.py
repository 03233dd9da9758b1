"""A Dag file that only runs one pipeline: an evaluation also runs pipelines that have no Dag of their own."""

from __future__ import annotations

from pathlib import Path

_DAG = '''"""Run {name} once."""

from airflow.sdk import dag

from claude_batch.task_group import enrich


@dag(dag_id={name!r}, schedule=None)
def once():
    enrich()


once()
'''


def write_plain_dag(folder: Path, pipeline: str) -> Path:
    """
    Write the Dag file of a pipeline into a folder, and return its path.

    :param pipeline: the name of a folder of include/pipelines
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{pipeline}.py"
    file.write_text(_DAG.format(name=pipeline), encoding="utf-8")
    return file
