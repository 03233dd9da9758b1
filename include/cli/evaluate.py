"""`make evaluate`: run a pipeline and its judges in the foreground, then evaluate, with the verdict as exit status."""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from include.cli.command_arguments import check_pipeline, read_partition
from include.cli.connections import MissingVariables, run_variables
from include.cli.exit_codes import BAD_ARGUMENTS, NOT_EVALUATED, NOT_STARTED, PUBLISHED
from include.cli.foreground.plain_dag import write_plain_dag
from include.cli.foreground.run_options import format_options, read_options
from include.cli.foreground.session import block_signals, configure_airflow, exit_on_signals, throw_away_home
from include.cli.output.published_day import with_lake
from include.enrichment.errors import EnrichmentError, ParamError
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition, check_not_future
from include.stack.folder import ROOT, StackFolder
from include.stack.progress import complain, say
from include.stack.stack import LAKE, read_stack

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline
    from include.evaluation.spec.settings import EvaluationSettings
    from include.gateways.lake import Lake

_PIPELINES = ROOT / "include" / "pipelines"
_EXAMPLE = "make evaluate PIPELINE=catalogue_evaluation PARTITION=2026-11-01"
#: The options that an evaluation has in common with a run.
_OPTIONS = ("rows", "budget_usd", "variants")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """
    What to evaluate.

    :param pipeline: with the options of this evaluation
    :param judges: the pipelines that grade its answers; none for a trial: judges read the published table
    :param settings: what evaluation.yaml says, with the baseline of this evaluation
    :param baseline: replaces that of the gate; None: it does not
    """

    pipeline: Pipeline
    judges: list[Pipeline]
    settings: EvaluationSettings
    partition: Partition
    options: RunOptions
    baseline: str | None

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.pipeline.name} {self.partition}"


def evaluate(folder: StackFolder, name: str, partition_text: str, *, grade_only: bool) -> int:
    """
    Evaluate one partition of the pipeline ``name``, with the environment's ROWS, VARIANTS, BUDGET and BASELINE.

    Prints the cost before anything is sent, and the verdict with its numbers at the end. Returns PASSED, FAILED or
    INCONCLUSIVE; BAD_ARGUMENTS if nothing was started; NOT_EVALUATED if a run failed, which is no verdict. The same
    command then continues where it ended and pays for nothing twice.

    :param grade_only: run nothing and grade what is published, which costs nothing
    """
    block_signals()
    try:
        asked = _read(name, partition_text, os.environ)
        needed = {} if grade_only else _variables(folder, os.environ, [asked.pipeline, *asked.judges])
    except (MissingVariables, EnrichmentError) as error:
        complain(f"{error}\n{NOT_STARTED}")
        return BAD_ARGUMENTS
    try:
        return _grade(folder, asked) if grade_only else _run(folder, asked, needed)
    except Exception:  # Python would exit with status 1, which means a failed gate
        traceback.print_exc()
        complain(f"NOT evaluated: {asked.name}, because of the unexpected error above.")
        return NOT_EVALUATED


def _run(folder: StackFolder, asked: _Asked, needed: Mapping[str, str]) -> int:
    with throw_away_home(folder) as home:
        dags = [_dag_file(home / "dags", each.name) for each in (asked.pipeline, *asked.judges)]
        configure_airflow(home, dags[0].parent, needed)
        exit_on_signals(
            home,
            f"{asked.name} was not evaluated. Submitted batches are in the ledger on {os.environ[LAKE]}; the same"
            " command resumes from there.",
        )
        return _run_and_grade(folder, asked, dict(zip((asked.pipeline.name, *_names(asked.judges)), dags, strict=True)))


def _read(name: str, partition_text: str, environment: Mapping[str, str]) -> _Asked:
    check_pipeline(name, example=_EXAMPLE)
    partition = read_partition(partition_text, example=_EXAMPLE)
    check_not_future(partition, today=datetime.now(UTC).date())
    options = read_options(environment)
    if other := sorted(options.model_dump(exclude_defaults=True).keys() - set(_OPTIONS)):
        given = format_options(options.model_copy(update=dict.fromkeys(_OPTIONS)))
        raise ParamError(
            f"{given or ', '.join(other)} is not an option of an evaluation. Options: ROWS, BUDGET,"
            " VARIANTS, BASELINE, GRADE_ONLY."
        )
    # Not at the top: these import pyarrow, whose threads must start after the signals are blocked.
    from include.enrichment.spec.pipeline_folder import load_pipeline
    from include.evaluation.spec.evaluation_file import read_evaluation
    from include.steps.evaluate import judges_of
    from include.steps.evaluating.baselines import check_chosen, with_baseline

    whole = load_pipeline(_PIPELINES / name)
    settings = read_evaluation(_PIPELINES / name, whole)
    if baseline := environment.get("BASELINE"):
        settings = with_baseline(settings, baseline)
    try:
        pipeline = whole.for_run(options)
    except ParamError as error:
        raise ParamError(f"{format_options(options)}: {error}") from None
    judges = [] if options.rows else [load_pipeline(_PIPELINES / judge) for judge in judges_of(settings)]
    check_chosen(pipeline.variants, whole.variants, settings, judges)
    return _Asked(
        pipeline=pipeline,
        judges=judges,
        partition=partition,
        options=options,
        settings=settings,
        baseline=baseline or None,
    )


def _names(pipelines: list[Pipeline]) -> list[str]:
    return [pipeline.name for pipeline in pipelines]


def _dag_file(folder: Path, pipeline: str) -> Path:
    """
    Copy the pipeline's own Dag file, as it may wait for its source or have other connections; else write a plain one.

    Airflow runs only Dags of one folder.
    """
    own = ROOT / "dags" / f"{pipeline}.py"
    if not own.is_file():
        return write_plain_dag(folder, pipeline)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(own, folder))


def _variables(folder: StackFolder, environment: Mapping[str, str], pipelines: list[Pipeline]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pipeline in pipelines:
        found |= run_variables(folder, environment, pipeline)
    return found


def _grade(folder: StackFolder, asked: _Asked) -> int:
    """Evaluate what is published, with all its variants. A trial is not published, so ROWS is rejected."""
    status = NOT_EVALUATED

    def work(lake: Lake) -> None:
        nonlocal status
        status = _evaluate(folder, asked, lake, trial=None)

    if asked.options.rows or asked.options.variants:
        given = "ROWS" if asked.options.rows else "VARIANTS"
        complain(f"{given} has no effect on GRADE_ONLY, which grades the published partition.\n{NOT_STARTED}")
        return BAD_ARGUMENTS
    ended = with_lake(folder, work)
    # Errors of the lake have the status of a failed command, which is that of a failed gate here.
    return status if ended == PUBLISHED else BAD_ARGUMENTS if ended == BAD_ARGUMENTS else NOT_EVALUATED


def _run_and_grade(folder: StackFolder, asked: _Asked, dags: Mapping[str, Path]) -> int:
    # Airflow reads its settings when it is imported, so it is imported after they are set.
    from claude_batch.connections.gateways import open_lake
    from include.cli.foreground.dag_run import dag_run
    from include.enrichment.spec.variants import CURRENT
    from include.steps.evaluating.baselines import check_baselines

    try:
        lake = open_lake("aws_default")
        variants = list(asked.pipeline.variants) or [CURRENT]
        check_baselines(asked.settings, variants=variants, pipeline=asked.pipeline.name, lake=lake)
        _announce_cost(asked, lake)
    except EnrichmentError as error:
        complain(f"{type(error).__name__}: {error}\n{NOT_STARTED}")
        return BAD_ARGUMENTS
    left, run_id = asked.options.budget_usd, None
    for pipeline in (asked.pipeline, *asked.judges):
        # Each run gets what is left of the budget. A judge also has its own limits.
        ended = dag_run(_within(pipeline, left), asked.partition, dags[pipeline.name], folder, start_new=False)
        if ended.status != PUBLISHED:
            complain(f"NOT evaluated: {asked.name}, because the run of {pipeline.name} did not publish.")
            return BAD_ARGUMENTS if ended.status == BAD_ARGUMENTS and run_id is None else NOT_EVALUATED
        run_id = run_id or ended.run_id
        left = _left(left, pipeline, asked.partition, lake)
    try:
        return _evaluate(folder, asked, lake, trial=run_id if asked.options.rows else None)
    except EnrichmentError as error:
        complain(f"NOT evaluated: {asked.name}. {type(error).__name__}: {error}")
        return NOT_EVALUATED


def _announce_cost(asked: _Asked, lake: Lake) -> None:
    from claude_batch.connections.claude_connection import open_claude
    from claude_batch.connections.gateways import open_buckets, open_source
    from include.gateways.documents.buckets import Buckets
    from include.steps.evaluating.cost_lines import check_parts, cost_lines
    from include.steps.evaluating.forecast import Gateways, forecast_evaluation

    def buckets(pipeline: Pipeline) -> Buckets | None:
        connection = pipeline.settings.attachments_connection
        return open_buckets(connection) if connection else None

    with ExitStack() as opened:
        gateways = Gateways(
            lake=lake,
            claude=opened.enter_context(open_claude("anthropic_default")),
            open_source=lambda pipeline: open_source(pipeline, lake=lake),
            open_buckets=buckets,
        )
        parts = forecast_evaluation(asked.pipeline, asked.judges, asked.partition, gateways)
    for line in cost_lines(parts, budget_usd=asked.options.budget_usd):
        say(line)
    check_parts(parts, budget_usd=asked.options.budget_usd)


def _within(pipeline: Pipeline, budget_usd: Decimal | None) -> Pipeline:
    """The pipeline with what is left of the evaluation's budget, or its own if that is smaller."""
    if budget_usd is None:
        return pipeline
    limits = pipeline.settings.limits
    lowest = min(each for each in (budget_usd, limits.budget_usd, limits.budget_ceiling_usd) if each is not None)
    return pipeline.for_run(pipeline.options.model_copy(update={"budget_usd": lowest}))


def _left(budget_usd: Decimal | None, pipeline: Pipeline, partition: Partition, lake: Lake) -> Decimal | None:
    """Return what is left of the budget after a run; nothing if its cost is unknown."""
    from include.cli.output.published_day import published

    if budget_usd is None:
        return None
    manifest = published(pipeline.name, partition, lake)
    cost = manifest.cost_usd if manifest else None
    return Decimal(0) if cost is None else max(budget_usd - cost, Decimal(0))


def _evaluate(folder: StackFolder, asked: _Asked, lake: Lake, *, trial: str | None) -> int:
    from claude_batch.ui.evaluation import URL_PREFIX
    from include.cli.output.verdict import STATUS, verdict_lines
    from include.steps.evaluate import evaluate as evaluate_partition

    result = evaluate_partition(
        _PIPELINES / asked.pipeline.name, asked.partition, lake=lake, trial=trial, baseline=asked.baseline
    )
    stack = read_stack(folder)
    served = f"{stack.airflow_url}{URL_PREFIX}" if stack and lake.uri == stack.connections[LAKE] else None
    for line in verdict_lines(result, lake.locate, served=served):
        say(line)
    return STATUS[result.verdict]
