"""evaluate: turn the published answers of a pipeline into scores, figures, a verdict and a report."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.errors import SpecError
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.spec.sources.pairs import FIRST, SECOND
from include.enrichment.spec.variants import CURRENT
from include.enrichment.storage.layout import EvaluationFolder, RunFolder
from include.evaluation.cases import number_cases, samples_of, variants_of
from include.evaluation.evaluate import Figures
from include.evaluation.evaluate import evaluate as compute_figures
from include.evaluation.graders.registry import read_grader
from include.evaluation.grading import grade_table
from include.evaluation.judges.judge import Judge, variant_column
from include.evaluation.judging import Judged, judge_table
from include.evaluation.outputs.junit import junit_xml
from include.evaluation.outputs.metrics_file import metrics_table
from include.evaluation.outputs.scores_file import scores_table
from include.evaluation.result import EvaluationResult
from include.evaluation.scores import Scores, join_scores
from include.evaluation.spec.evaluation_file import read_evaluation
from include.evaluation.spec.settings import FILE, LATEST, EvaluationSettings
from include.gateways.lake import Lake
from include.gateways.project.origin import read_origin
from include.gateways.result_store import ResultStore
from include.reporting.evaluation.page import render_report
from include.steps.evaluating.baselines import find_latest, read_pinned, with_baseline, with_latest
from include.steps.evaluating.published import Published, check_columns, check_judges, read_published, read_trial
from include.steps.evaluating.variant_facts import judges_usd, variant_facts

log = logging.getLogger(__name__)


def evaluate(
    folder: Path, partition: Partition, *, lake: Lake, trial: str | None = None, baseline: str | None = None
) -> EvaluationResult:
    """
    Evaluate the published partition of a pipeline by its evaluation.yaml, and write the evaluation to the lake.

    Sends nothing: it reads the tables of the pipeline and of its judges. Each call writes a new evaluation, its summary
    last; without a summary it does not exist.

    :param folder: the pipeline's; those of its judges are beside it
    :param trial: evaluates the trial of this run in place of the published partition. No judge has seen its answers, so
        the judges' metrics are left out
    :param baseline: replaces the baselines of the gate: a variant, the id of an earlier evaluation, or ``latest``

    Raises SpecError for mistakes in a file, LakeError if a table is not published or a judge has read an earlier one,
    and ParamError for an unknown baseline.
    """
    pipeline = load_pipeline(folder)
    settings = read_evaluation(folder, pipeline)
    if baseline:
        settings = with_baseline(settings, baseline)
    if trial:
        settings = _without_judges(settings, folder.name)
        published = read_trial(RunFolder(pipeline=folder.name, partition=partition, run_id=trial), lake)
    else:
        published = read_published(folder.name, partition, lake)
    judges = {name: read_published(name, partition, lake) for name in judges_of(settings)}
    check_judges(published, judges.values())
    check_columns(published, _columns(settings))
    _warn_of_variants(pipeline, published)
    readers = {
        name: Judge(pipeline=load_pipeline(folder.parent / name), table=judge.table, rejects=judge.rejects)
        for name, judge in judges.items()
    }
    origin = read_origin([folder, *(folder.parent / name for name in judges)])
    simulated = any(each.manifest.simulated for each in (published, *judges.values()))
    if any(condition.baseline == LATEST for condition in settings.gate):
        latest = find_latest(pipeline.name, published.manifest.run_id, lake, simulated=simulated)
        log.info("The baseline `%s` is %s", LATEST, latest or "none: no earlier evaluation of another run has passed")
        settings = with_latest(settings, latest)
    key = list(number_cases(published.table, published.rejects, settings, pipeline).key)
    pinned = read_pinned(
        settings,
        variants=list(pipeline.variants) or [CURRENT],
        key=key,
        pipeline=pipeline.name,
        simulated=simulated,
        file_hashes=origin.file_hashes,
        lake=lake,
    )
    evaluated = _compute(pipeline, settings, published, readers, key=key, pinned=pinned)
    now = datetime.now(UTC)
    result = EvaluationResult(
        evaluation_id=_new_id(published, now),
        pipeline=folder.name,
        partition=str(partition),
        run_id=published.manifest.run_id,
        trial=published.manifest.trial,
        evaluated_at=now,
        git_revision=origin.git_revision,
        file_hashes=origin.file_hashes,
        simulated=simulated,
        confidence=settings.confidence,
        resamples=settings.resamples,
        cases=len(evaluated.scores.cases),
        samples=max([*samples_of(published.table), *samples_of(published.rejects)], default=1),
        variants=variant_facts(
            published,
            _models(pipeline),
            judges_usd(map(_paid, readers.values())),
            ResultStore(lake, pipeline=folder.name),
        ),
        agreements=evaluated.judged.agreements,
        position_bias=evaluated.judged.position_bias,
        **vars(evaluated.figures),
    )
    _write(result, evaluated, lake)
    return result


def _columns(settings: EvaluationSettings) -> Iterator[str]:
    """Yield the columns of the table that the metrics and the groups need."""
    yield from [*settings.by, *([settings.cluster] if settings.cluster else [])]
    for name, metric in settings.metrics.items():
        graded = metric.has_grader and read_grader(metric.grade).needs_field
        yield from filter(None, [metric.expected, metric.field or (name if graded else None)])


def _warn_of_variants(pipeline: Pipeline, published: Published) -> None:
    """Warn if the table was published with other variants than the pipeline has now."""
    found = {name for rows in (published.table, published.rejects) for name in set(variants_of(rows))}
    known = set(pipeline.variants) or {CURRENT}
    if gone := sorted(found - known):
        log.warning(
            "The table has answers of %s, which %s has no more: they are evaluated too", ", ".join(gone), pipeline.name
        )
    if missing := sorted(known - found):
        log.warning("The table has no answers of %s, which is not evaluated", ", ".join(missing))


def judges_of(settings: EvaluationSettings) -> list[str]:
    """Return the pipelines that grade the answers."""
    return list(dict.fromkeys(name for metric in settings.metrics.values() for name in metric.judges))


def _without_judges(settings: EvaluationSettings, pipeline: str) -> EvaluationSettings:
    metrics = {name: metric for name, metric in settings.metrics.items() if metric.has_grader}
    if not metrics:
        raise SpecError(
            f"{pipeline}/{FILE}: all metrics need judges, which do not see the answers of a trial. Nothing was"
            " evaluated. Evaluate the whole partition."
        )
    if left_out := settings.metrics.keys() - metrics.keys():
        log.warning("Left out, as no judge has seen the answers of this trial: %s", ", ".join(sorted(left_out)))
    gate = [condition for condition in settings.gate if condition.metric in metrics]
    return settings.model_copy(update={"metrics": metrics, "gate": gate})


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    """
    The scores and what follows from them.

    :param key: the columns that identify a case
    """

    scores: Scores
    key: list[str]
    judged: Judged
    figures: Figures


def _compute(
    pipeline: Pipeline,
    settings: EvaluationSettings,
    published: Published,
    judges: Mapping[str, Judge],
    *,
    key: list[str],
    pinned: Mapping[str, Scores],
) -> _Evaluated:
    graded = grade_table(published.table, published.rejects, settings, pipeline)
    judged = judge_table(published.table, published.rejects, settings, pipeline, judges)
    scores = join_scores([graded, judged.scores], cases=graded.cases)
    figures = compute_figures(scores, settings, key=key, pinned=pinned, preferred_to=judged.preferred_to)
    return _Evaluated(scores=scores, key=key, judged=judged, figures=figures)


def _models(pipeline: Pipeline) -> dict[str, str]:
    return {name or CURRENT: one.settings.request.model for name, one in pipeline.by_variant.items()}


def _paid(judge: Judge) -> tuple[list[pa.Table], list[str]]:
    """The tables of a judge, and the columns of them that name a variant."""
    columns = [FIRST, SECOND] if judge.pipeline.settings.source.pairs else [variant_column(judge)]
    return [judge.table, judge.rejects], [column for column in columns if column in judge.table.column_names]


def _new_id(published: Published, now: datetime) -> str:
    """An id that sorts by time. The hash tells apart what two processes evaluate in the same millisecond."""
    digest = hashlib.sha256(f"{published.manifest.run_id} {now.isoformat()}".encode()).hexdigest()
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z-{digest[:8]}"


def _write(result: EvaluationResult, evaluated: _Evaluated, lake: Lake) -> None:
    """Write the evaluation's files, its summary last: without it, an evaluation does not exist."""
    folder = EvaluationFolder(pipeline=result.pipeline, evaluation_id=result.evaluation_id)
    lake.write(folder.scores, _parquet(scores_table(evaluated.scores, key=evaluated.key)))
    lake.write(folder.metrics, _parquet(metrics_table(result)))
    lake.write(folder.junit, junit_xml(result))
    lake.write(folder.report, render_report(result, evaluated.scores))
    lake.create(folder.summary_json, result.model_dump_json(indent=1).encode())


def _parquet(table: pa.Table) -> bytes:
    pq.write_table(table, sink := pa.BufferOutputStream(), compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
