"""Finds what keeps a judge of evaluation.yaml from grading the answers, before anything is sent to it."""

from __future__ import annotations

from collections.abc import Iterator

from include.enrichment.answers.table import VARIANT
from include.enrichment.errors import nearest_of
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.yaml_file import NodePath
from include.evaluation.options import OptionMistakes
from include.evaluation.spec.judge_options import (
    VERDICTS,
    GradeOptions,
    Options,
    VerdictOptions,
    label_of,
    read_grade_options,
    read_verdict_options,
)
from include.evaluation.spec.settings import MetricSettings


def option_problems(metric: MetricSettings, pipeline: Pipeline) -> Iterator[tuple[NodePath, str]]:
    """Yield the mistakes in the settings of a metric with judges, each with its place below the metric."""
    fields = list(pipeline.output.properties)
    if metric.field and metric.field not in fields:
        yield ("field",), f"the output has no field {metric.field!r}{nearest_of(metric.field, fields)}"
    try:
        options = _options(metric)
    except OptionMistakes as error:
        yield from ((("grade", *path), fact) for path, fact in error.mistakes)
        return
    carried = list(pipeline.settings.source.carry)
    for column in options.human_columns:
        if column not in carried:
            yield ("grade", "human"), f"{column!r} is not carried: add it to source.carry{nearest_of(column, carried)}"
    if isinstance(options.human, dict):
        variants = list(pipeline.by_variant)
        for variant in options.human:
            if variant not in variants:
                yield ("grade", "human", variant), f"there is no variant {variant!r}{nearest_of(variant, variants)}"
    if options.least_kappa is not None and not options.human:
        yield ("grade", "least_kappa"), "compares with a human: set `human` to the carried column with the grades"
    if options.least_alpha is not None and len(metric.judges) == 1:
        yield ("grade", "least_alpha"), "compares several judges, and there is one: remove it"


def judge_problems(judge: Pipeline, metric: MetricSettings, pipeline: Pipeline) -> Iterator[tuple[NodePath, str]]:
    """
    Yield why a judge cannot grade the answers of a pipeline, each with its place below the metric.

    :param metric: its options have no mistakes
    """
    setting = "judge" if metric.judge else "pairwise"
    source = judge.settings.source
    if source.table != pipeline.name:
        yield (setting,), f"{judge.name!r} does not read the table of {pipeline.name!r}: set its source.table"
        return
    if metric.judge and source.pairs:
        yield (setting,), f"{judge.name!r} reads pairs of answers (source.pairs): write `pairwise` instead of `judge`"
        return
    if metric.pairwise and not source.pairs:
        yield (setting,), f"{judge.name!r} reads single answers: set its source.pairs, or write `judge`"
        return
    if metric.pairwise and source.pairs and source.pairs.column not in (VARIANT, source.rename.get(VARIANT)):
        yield (setting,), f"{judge.name!r} pairs by {source.pairs.column!r}, not by variant: remove source.pairs.column"
    yield from (((setting,), fact) for fact in _key_problems(judge, pipeline))
    yield from _field_problems(judge, _options(metric))


def _options(metric: MetricSettings) -> GradeOptions | VerdictOptions:
    """Raises OptionMistakes."""
    return read_grade_options(metric.grade) if metric.judge else read_verdict_options(metric.grade)


def _key_problems(judge: Pipeline, pipeline: Pipeline) -> Iterator[str]:
    """Yield the columns that tell the answers apart and that the judge's key does not have."""
    pairs = judge.settings.source.pairs
    for column in pipeline.settings.key_types:
        if pairs and column == VARIANT:
            continue
        name = judge.settings.source.rename.get(column, column)
        if name not in judge.settings.source.key:
            rename = f": add {{{column}: {column.lstrip('_')}}} to its source.rename, and"
            hint = f"{rename} {column.lstrip('_')!r} to its key" if name.startswith("_") else ": add it"
            yield f"the key of {judge.name!r} lacks {name!r}, which tells the answers of {pipeline.name!r} apart{hint}"


def _field_problems(judge: Pipeline, options: Options) -> Iterator[tuple[NodePath, str]]:
    properties = judge.output.properties
    if options.field not in properties:
        yield (
            ("grade",),
            f"the output of {judge.name!r} has no field {options.field!r}{nearest_of(options.field, properties)}",
        )
        return
    kind = properties[options.field]
    named = [label for value in kind.named if (label := label_of(value)) is not None]
    if isinstance(options, VerdictOptions):
        if not named or not set(named) <= set(VERDICTS):
            yield (
                ("grade",),
                f"{options.field!r} of {judge.name!r} must be an enum of {', '.join(VERDICTS)}, and is"
                f" {', '.join(named) or kind.type}",
            )
    elif isinstance(options, GradeOptions):
        for label in options.points:
            if named and label not in named:
                yield ("grade", "points", label), f"{judge.name!r} gives no grade {label!r}{nearest_of(label, named)}"
        without = [label for label in named if options.score(label) is None]
        if without or (not named and not options.points and kind.type == "string"):
            what = f"the grade {', '.join(map(repr, without))}" if without else "a text"
            yield ("grade",), f"{what} of {judge.name!r} has no score: set it in `points`"
