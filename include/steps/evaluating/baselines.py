"""What the gate compares with, if it is no variant: earlier evaluations of the lake."""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.errors import LakeError, ParamError, nearest
from include.enrichment.storage import layout
from include.enrichment.storage.layout import EvaluationFolder
from include.enrichment.storage.version import parse
from include.evaluation.outputs.scores_file import read_scores
from include.evaluation.result import EvaluationResult
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import FILE, LATEST, EvaluationSettings
from include.gateways.lake import Lake

log = logging.getLogger(__name__)

#: How many evaluations an error names, the newest first.
_NAMED = 5


def with_latest(settings: EvaluationSettings, latest: str | None) -> EvaluationSettings:
    """Return the settings with the id of the evaluation that ``latest`` means in its place, if there is one."""
    gate = [
        condition.model_copy(update={"baseline": latest}) if latest and condition.baseline == LATEST else condition
        for condition in settings.gate
    ]
    return settings.model_copy(update={"gate": gate})


def with_baseline(settings: EvaluationSettings, baseline: str) -> EvaluationSettings:
    """Return the settings with another baseline in each condition of the gate."""
    gate = [condition.model_copy(update={"baseline": baseline}) for condition in settings.gate]
    return settings.model_copy(update={"gate": gate})


def find_latest(pipeline: str, run_id: str, lake: Lake, *, simulated: bool) -> str | None:
    """
    Return the id of the newest evaluation that ``latest`` means; None if there is none.

    It did not fail, so that a regression does not become the baseline of the next evaluation. It is not of a trial, nor
    of this run's table, which would be compared with itself.

    :param simulated: whether the emulator gave these answers. Its answers are never compared with Claude's
    """
    for evaluation_id in _ids(pipeline, lake):
        result = _read_result(EvaluationFolder(pipeline=pipeline, evaluation_id=evaluation_id), lake)
        usable = result and result.trial is None and result.simulated == simulated and result.verdict != "fail"
        if result and usable and result.run_id != run_id:
            return evaluation_id
    return None


def read_pinned(
    settings: EvaluationSettings,
    *,
    variants: Collection[str],
    key: Sequence[str],
    pipeline: str,
    simulated: bool,
    file_hashes: Mapping[str, str],
    lake: Lake,
) -> Mapping[str, Scores]:
    """
    Return the scores of each earlier evaluation that is a baseline, by its id. Log a warning if its grades follow other
    files.

    :param settings: as with_latest() returns them
    :param variants: of the pipeline
    :param key: the columns that identify a case
    :param simulated: as in find_latest()
    :param file_hashes: of the files of the pipeline and its judges, as in EvaluationResult

    Raises ParamError, which names the nearest, if a baseline is neither a variant nor an evaluation, or if its answers
    are simulated and these are not, or the other way round. Raises LakeError if the evaluation is damaged, or if its
    cases have another key.
    """
    pinned = {}
    for evaluation_id in dict.fromkeys(condition.baseline for condition in settings.gate):
        if evaluation_id in variants or evaluation_id == LATEST:
            continue
        folder = EvaluationFolder(pipeline=pipeline, evaluation_id=evaluation_id)
        if not lake.exists(folder.summary_json):
            known = _ids(pipeline, lake)
            raise ParamError(
                f"The baseline {evaluation_id!r} is neither a variant nor an evaluation of"
                f" {pipeline}{nearest(evaluation_id, [*variants, *known]) or '.'} Nothing was evaluated.\n"
                f"Variants: {', '.join(variants)}. Newest evaluations: {', '.join(known[:_NAMED]) or 'none'}."
            )
        if (result := _read_result(folder, lake)) is None:
            raise LakeError(
                f"{lake.locate(folder.summary_json)} is damaged. Nothing was evaluated. Choose another baseline.",
                retryable=False,
            )
        if result.simulated != simulated:
            raise ParamError(
                f"The answers of the evaluation {evaluation_id} are {_origin(result.simulated)}, and those of this one"
                f" are {_origin(simulated)}. Nothing was evaluated. Choose another baseline."
            )
        if changed := _changed_grading(result, pipeline, file_hashes):
            log.warning(
                "The scores of the baseline %s are of other files, so a difference may come from these: %s. To compare"
                " with its answers under the new files, evaluate its partition again",
                evaluation_id,
                ", ".join(changed),
            )
        pinned[evaluation_id] = _read_scores(folder, key, lake)
    return pinned


def _origin(simulated: bool) -> str:
    return "simulated" if simulated else "Claude's"


def _changed_grading(earlier: EvaluationResult, pipeline: str, file_hashes: Mapping[str, str]) -> list[str]:
    """The files that say how answers are graded, evaluation.yaml and those of judges of both, that were different."""
    both = {_folder(name) for name in earlier.file_hashes} & {_folder(name) for name in file_hashes}

    def grading(hashes: Mapping[str, str]) -> set[tuple[str, str]]:
        judges = {each for each in hashes.items() if _folder(each[0]) in both - {pipeline}}
        return judges | {each for each in hashes.items() if each[0] == f"{pipeline}/{FILE}"}

    return sorted({name for name, _ in grading(earlier.file_hashes) ^ grading(file_hashes)})


def _folder(file: str) -> str:
    return file.partition("/")[0]


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
