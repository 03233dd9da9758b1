"""What the gate compares with: variants of this evaluation, or earlier evaluations of the lake."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.errors import LakeError, ParamError, nearest
from include.enrichment.storage import layout
from include.enrichment.storage.layout import EvaluationFolder
from include.enrichment.storage.version import parse
from include.evaluation.outputs.scores_file import read_scores
from include.evaluation.result import EvaluationResult, GateDecision
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import LATEST, GateSettings
from include.gateways.lake import Lake

#: How many evaluations an error names, the newest first.
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Gate:
    """
    The conditions of the gate, with the id of an evaluation in the place of ``latest``.

    :param decidable: their variants and their baselines have answers
    :param undecided: the decisions on the others, all inconclusive
    """

    decidable: list[GateSettings]
    undecided: list[GateDecision]


def prepare_gate(
    conditions: Sequence[GateSettings], *, variants: Sequence[str], absent: Collection[str], latest: str | None
) -> Gate:
    """
    Return the conditions that can be decided, and a decision for each that cannot.

    :param variants: those with answers
    :param absent: the pipeline's other variants
    :param latest: the evaluation that ``latest`` means; None if there is none
    """
    decidable, undecided = [], []
    for condition in conditions:
        baseline = condition.baseline
        if why := _undecidable(condition, absent, latest):
            compared = [condition.variant] if condition.variant else [each for each in variants if each != baseline]
            undecided += [_inconclusive(condition, name, why) for name in compared]
        else:
            decidable.append(condition.model_copy(update={"baseline": latest if baseline == LATEST else baseline}))
    return Gate(decidable=decidable, undecided=undecided)


def _undecidable(condition: GateSettings, absent: Collection[str], latest: str | None) -> str | None:
    if condition.baseline == LATEST and latest is None:
        return "There is no earlier evaluation that did not fail. The next evaluation is compared with this one."
    for name in (condition.variant, condition.baseline):
        if name in absent:
            return f"This evaluation has no answers of the variant {name!r}."
    return None


def _inconclusive(condition: GateSettings, variant: str, why: str) -> GateDecision:
    return GateDecision(
        metric=condition.metric,
        variant=variant,
        baseline=condition.baseline,
        margin=condition.margin,
        on=condition.on,
        verdict="inconclusive",
        effect=None,
        low=None,
        high=None,
        why=why,
    )


def find_latest(pipeline: str, run_id: str, lake: Lake) -> str | None:
    """
    Return the id of the newest evaluation that ``latest`` means; None if there is none.

    It did not fail, so that a regression does not become the baseline of the next evaluation. It is not of a trial, nor
    of this run's table, which would be compared with itself.
    """
    for evaluation_id in _ids(pipeline, lake):
        result = _read_result(EvaluationFolder(pipeline=pipeline, evaluation_id=evaluation_id), lake)
        if result and result.trial is None and result.run_id != run_id and result.verdict != "fail":
            return evaluation_id
    return None


def read_pinned(
    conditions: Sequence[GateSettings], *, variants: Collection[str], key: Sequence[str], pipeline: str, lake: Lake
) -> Mapping[str, Scores]:
    """
    Return the scores of each earlier evaluation that is a baseline, by its id.

    Raises ParamError, which names the nearest, if a baseline is neither a variant nor an evaluation, and LakeError if
    the cases of that evaluation have another key.
    """
    pinned = {}
    for evaluation_id in dict.fromkeys(one.baseline for one in conditions if one.baseline not in variants):
        folder = EvaluationFolder(pipeline=pipeline, evaluation_id=evaluation_id)
        if not lake.exists(folder.summary_json):
            known = _ids(pipeline, lake)
            raise ParamError(
                f"The baseline {evaluation_id!r} is neither a variant nor an evaluation of"
                f" {pipeline}{nearest(evaluation_id, [*variants, *known]) or '.'} Nothing was evaluated.\n"
                f"Variants: {', '.join(variants)}. Newest evaluations: {', '.join(known[:_NAMED]) or 'none'}."
            )
        pinned[evaluation_id] = _read_scores(folder, key, lake)
    return pinned


def _ids(pipeline: str, lake: Lake) -> list[str]:
    """The ids of the pipeline's evaluations, the newest first."""
    keys = lake.list(layout.evaluations_folder(pipeline))
    folders = [layout.evaluation_of(key) for key in keys if key.endswith("/summary.json")]
    return sorted((folder.evaluation_id for folder in folders), reverse=True)


def _read_result(folder: EvaluationFolder, lake: Lake) -> EvaluationResult | None:
    """The evaluation's result; None if it is damaged, as an evaluation is only ever written once."""
    stored = lake.find(folder.summary_json)
    try:
        return parse(EvaluationResult, stored.data, lake.locate(folder.summary_json)) if stored else None
    except ValidationError:
        return None


def _read_scores(folder: EvaluationFolder, key: Sequence[str], lake: Lake) -> Scores:
    name = lake.locate(folder.scores)
    try:
        table = pq.read_table(io.BytesIO(lake.read(folder.scores)))
    except pa.ArrowException as error:
        raise LakeError(f"{name} cannot be read: {error}. Choose another baseline.", retryable=False) from error
    scores, its_key = read_scores(table, name=name)
    if list(key) != its_key:
        raise LakeError(
            f"The cases of the evaluation {folder.evaluation_id} have the key {', '.join(its_key)}, and those of this"
            f" one {', '.join(key)}. Nothing was evaluated. Choose another baseline.",
            retryable=False,
        )
    return scores
