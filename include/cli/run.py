"""`make run`: run one partition in the foreground, with the environment's connections and without any server."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.cli.command_arguments import check_pipeline, read_partition
from include.cli.connections import MissingVariables, run_variables
from include.cli.exit_codes import BAD_ARGUMENTS, NOT_STARTED
from include.cli.foreground.run_options import format_options, read_options
from include.cli.foreground.session import block_signals, configure_airflow, exit_on_signals, throw_away_home
from include.enrichment.errors import EnrichmentError, ParamError
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import check_not_future
from include.stack.folder import ROOT, StackFolder
from include.stack.progress import complain
from include.stack.stack import LAKE

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline

_EXAMPLE = "make run PIPELINE=catalogue PARTITION=2026-11-01"


def run(folder: StackFolder, name: str, partition_text: str, *, start_new: bool) -> int:
    """
    Run one partition of the pipeline ``name`` with the environment's OPTIONS, and return the exit status.

    The first second checks everything that does not need Airflow; the rest is checked before Airflow's database exists.

    Airflow gets a temporary home and metadata database: everything that matters is on the lake, including the
    unfinished runs. Several runs can run at the same time.

    :param start_new: do not resume an unfinished run
    """
    block_signals()
    try:
        dag_file = _dag_file(name)
        partition = read_partition(partition_text, example=_EXAMPLE)
        check_not_future(partition, today=datetime.now(UTC).date())
        options = read_options(os.environ)
        pipeline = _pipeline(name, options)
        variables = run_variables(folder, os.environ, pipeline)
    except (MissingVariables, EnrichmentError) as error:
        complain(f"{error}\n{NOT_STARTED}")
        return BAD_ARGUMENTS
    with throw_away_home(folder) as home:
        configure_airflow(home, dag_file, variables)
        exit_on_signals(
            home,
            f"{name} {partition} was not published by this run. Its submitted batches are in the ledger on"
            f" {os.environ[LAKE]}; the same command resumes from there.",
        )
        # Airflow reads its settings when it is imported, so it is imported after they are set.
        from include.cli.foreground.dag_run import dag_run

        return dag_run(pipeline, partition, dag_file, folder, start_new=start_new).status


def _dag_file(pipeline: str) -> Path:
    check_pipeline(pipeline, example=_EXAMPLE)
    dag_file = ROOT / "dags" / f"{pipeline}.py"
    if not dag_file.is_file():
        raise ParamError(f"Pipeline {pipeline} has no Dag file: dags/{pipeline}.py.")
    return dag_file


def _pipeline(name: str, options: RunOptions) -> Pipeline:
    # Not at the top: this imports pyarrow, whose threads must start after the signals are blocked.
    from include.enrichment.spec.pipeline_folder import load_pipeline

    pipeline = load_pipeline(ROOT / "include" / "pipelines" / name)
    try:
        return pipeline.for_run(options)
    except ParamError as error:
        raise ParamError(f"{format_options(options)}: {error}") from None
