"""Reads evaluation.yaml and checks it against its pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from include.enrichment.answers.table import rows_schema
from include.enrichment.errors import SpecError, nearest, nearest_of
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.spec.variants import CURRENT
from include.enrichment.spec.yaml_file import NodePath, describe_file_error, describe_problem, line_of, read_model
from include.evaluation.graders.grader import Grader
from include.evaluation.graders.registry import read_grader
from include.evaluation.options import OptionMistakes
from include.evaluation.spec.judge_problems import judge_problems, option_problems
from include.evaluation.spec.settings import FILE, LATEST, EvaluationSettings, GateSettings, MetricSettings


def read_evaluation(folder: Path, pipeline: Pipeline) -> EvaluationSettings:
    """
    Return what evaluation.yaml of the pipeline in ``folder`` says.

    Raises SpecError with one line per mistake: file, line, fact, and the closest valid name of a wrong one.
    """
    where = f"{folder.name}/{FILE}"
    try:
        text = (folder / FILE).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(f"{where}: is missing: it names the metrics of an evaluation") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{where}: {describe_file_error(error)}") from error
    settings, lines, mistakes = read_model(
        text, file=where, validate=EvaluationSettings.model_validate, describe=_describe
    )
    if settings is not None:
        found = _Mistakes(folder=folder, settings=settings, pipeline=pipeline, others=_others(folder)).all()
        mistakes = [f"{where}:{line_of(lines, path)}: {'.'.join(map(str, path))}: {fact}" for path, fact in found]
    if settings is None or mistakes:
        raise SpecError("\n".join(mistakes))
    return settings


def _others(folder: Path) -> list[str]:
    """Return the names of the other pipelines, which may be judges."""
    return sorted(path.parent.name for path in folder.parent.glob("*/pipeline.yaml") if path.parent != folder)


def _describe(problem: Any, _: object) -> str:
    path = [str(step) for step in problem["loc"]]
    if not path:
        return f"must be a mapping of {', '.join(EvaluationSettings.model_fields)}"
    models: dict[str, type[BaseModel]] = {"metrics": MetricSettings, "gate": GateSettings}
    model = models.get(path[0], EvaluationSettings) if len(path) > 1 else EvaluationSettings
    return describe_problem(".".join(path), problem, lambda: list(model.model_fields))


@dataclass(frozen=True, kw_only=True)
class _Mistakes:
    """
    Finds the names that the pipeline does not have, and settings that contradict each other.

    :param folder: that of the pipeline
    :param others: the pipelines that may be judges
    """

    folder: Path
    settings: EvaluationSettings
    pipeline: Pipeline
    others: Sequence[str]

    def all(self) -> Iterator[tuple[NodePath, str]]:
        """Yield each mistake with its place in the file."""
        for name, metric in self.settings.metrics.items():
            for path, fact in self._of_metric(name, metric):
                yield ("metrics", name, *path), fact
        for number, column in enumerate(self.settings.by):
            yield from self._not_of_source(("by", number), column)
        if self.settings.cluster:
            yield from self._not_of_source(("cluster",), self.settings.cluster)
        for number, gate in enumerate(self.settings.gate):
            for path, fact in self._of_gate(gate):
                yield ("gate", number, *path), fact

    def _of_metric(self, name: str, metric: MetricSettings) -> Iterator[tuple[NodePath, str]]:
        if metric.expected:
            yield from self._not_of_source(("expected",), metric.expected)
        if metric.judge and metric.pairwise:
            yield ("pairwise",), "a metric has either a judge or pairwise: remove one of the two"
        if not metric.has_grader:
            yield from self._of_judges(metric)
            return
        if metric.grade is None:
            yield (), "needs one of grade, judge and pairwise"
            return
        try:
            grader = read_grader(metric.grade)
        except OptionMistakes as error:
            yield from ((("grade", *path), fact) for path, fact in error.mistakes)
            return
        if grader.needs_expected and not metric.expected:
            yield (), "its grader compares: set `expected` to the carried column with the expected value"
        if grader.needs_field:
            yield from self._of_field(metric.field or name, grader, named=bool(metric.field))
        elif metric.field:
            yield ("field",), "is not used by this grader: remove it"
        for fact in grader.option_problems(self._columns):
            yield ("grade",), fact

    def _of_judges(self, metric: MetricSettings) -> Iterator[tuple[NodePath, str]]:
        mistakes = list(option_problems(metric, self.pipeline))
        yield from mistakes
        for judge in metric.judges:
            if judge not in self.others:
                setting = "judge" if metric.judge else "pairwise"
                yield (setting,), f"there is no pipeline {judge!r}{nearest_of(judge, self.others)}"
            elif not mistakes:
                with suppress(SpecError):  # a run of the judge reports its mistakes
                    yield from judge_problems(load_pipeline(self.folder.parent / judge), metric, self.pipeline)

    def _of_field(self, field: str, grader: Grader, *, named: bool) -> Iterator[tuple[NodePath, str]]:
        """Yield why the grader cannot grade a field of the output, whichever variant was asked."""
        for variant, pipeline in self.pipeline.by_variant.items():
            if fact := grader.field_problem(field, pipeline.output.properties):
                hint = "" if named else ". A metric that is not named like its field needs `field`"
                yield ("field",) if named else (), f"{f'variant {variant!r}: ' if variant else ''}{fact}{hint}"
                return

    @property
    def _columns(self) -> list[str]:
        """The columns of the published table."""
        keys, carried = (
            [pa.field(name, kind or pa.null(), nullable) for name, kind in types.items()]
            for types, nullable in (
                (self.pipeline.settings.key_types, False),
                (self.pipeline.settings.source.carried_types, True),
            )
        )
        return list(self.pipeline.shape(rows_schema(keys, carried=carried)).table.names)

    def _not_of_source(self, path: NodePath, column: str) -> Iterator[tuple[NodePath, str]]:
        source = self.pipeline.settings.source
        columns = list(dict.fromkeys([*source.carry, *source.key, *self.pipeline.settings.for_each]))
        if column not in columns:
            yield path, f"{column!r} is neither carried nor a key: add it to source.carry{nearest_of(column, columns)}"

    def _of_gate(self, gate: GateSettings) -> Iterator[tuple[NodePath, str]]:
        variants = [name for name in self.pipeline.by_variant if name] or [CURRENT]
        if gate.metric not in self.settings.metrics:
            yield ("metric",), f"there is no metric {gate.metric!r}{nearest_of(gate.metric, self.settings.metrics)}"
        if gate.variant is not None and gate.variant not in variants:
            yield ("variant",), f"there is no variant {gate.variant!r}{nearest_of(gate.variant, variants)}"
        if gate.variant is not None and gate.variant == gate.baseline:
            yield ("variant",), "is its own baseline: name another variant"
        if gate.baseline in variants and len(variants) == 1:
            yield (
                ("baseline",),
                f"the pipeline has no variants to compare: name an earlier evaluation by its id, or `{LATEST}`",
            )
        elif gate.baseline not in [*variants, LATEST] and nearest(gate.baseline, variants):
            yield ("baseline",), f"there is no variant {gate.baseline!r}{nearest_of(gate.baseline, variants)}"
