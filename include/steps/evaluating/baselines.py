"""Earlier evaluations on the lake, as baselines of the gate."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.errors import LakeError, ParamError, nearest
from include.enrichment.spec.pipeline import Pipeline
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
#: What the id of an evaluation consists of. Anything else could be the path of another folder.
_ID = re.compile(r"[\w-]+", re.ASCII)


def with_latest(settings: EvaluationSettings, latest: str | None) -> EvaluationSettings:
    """Return the settings with the id of the latest evaluation in place of ``latest``; unchanged if there is none."""
    gate = [
        condition.model_copy(update={"baseline": latest}) if latest and condition.baseline == LATEST else condition
        for condition in settings.gate
    ]
    return settings.model_copy(update={"gate": gate})


def with_baseline(settings: EvaluationSettings, baseline: str) -> EvaluationSettings:
    """Return the settings with another baseline in each condition of the gate. Raises ParamError if it has none."""
    if not settings.gate:
        raise ParamError(
            f"The baseline {baseline!r} is of no use, because {FILE} has no gate. Nothing was evaluated. Add one, or"
            " evaluate without a baseline."
        )
    gate = [condition.model_copy(update={"baseline": baseline}) for condition in settings.gate]
    return settings.model_copy(update={"gate": gate})


def check_chosen(
    chosen: Collection[str], variants: Collection[str], settings: EvaluationSettings, judges: Iterable[Pipeline]
) -> None:
    """
    Raise ParamError if a baseline of the gate or of a judge is a variant that this evaluation does not ask.

    :param chosen: those of ``variants`` that it asks
    """
    paired = [judge.settings.source.pairs for judge in judges]
    baselines = [condition.baseline for condition in settings.gate] + [one.baseline or "" for one in paired if one]
    if left_out := [name for name in dict.fromkeys(baselines) if name in variants and name not in chosen]:
        raise ParamError(
            f"The variants {', '.join(chosen)} have no baseline: the others are compared with"
            f" {', '.join(map(repr, left_out))}. Nothing was evaluated. Add it to the variants, or name another"
            " baseline."
        )


def find_latest(pipeline: str, run_id: str, lake: Lake, *, simulated: bool) -> str | None:
    """
    Return the id of the evaluation that ``latest`` names; None if there is none.

    It is the newest one that did not fail, so that a regression never becomes the next baseline. Trials do not count,
    nor do evaluations of this run's own table.

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

    Raises ParamError, with the closest name, if a baseline is neither a variant nor an evaluation, or if its answers
    are simulated and these are not, or the other way round. Raises LakeError if the evaluation is damaged, or if its
    cases have another key.
    """
    folders = check_baselines(settings, variants=variants, pipeline=pipeline, lake=lake)
    for folder in folders:
        _check_origin(folder, pipeline, simulated, file_hashes, lake)
    return {folder.evaluation_id: _read_scores(folder, key, lake) for folder in folders}


def check_baselines(
    settings: EvaluationSettings, *, variants: Collection[str], pipeline: str, lake: Lake
) -> list[EvaluationFolder]:
    """
    Return the earlier evaluations that are baselines.

    :param variants: of the pipeline

    Raises ParamError, which names the nearest, if a baseline is neither a variant nor an evaluation.
    """
    folders = []
    for evaluation_id in dict.fromkeys(condition.baseline for condition in settings.gate):
        if evaluation_id in variants or evaluation_id == LATEST:
            continue
        folder = EvaluationFolder(pipeline=pipeline, evaluation_id=evaluation_id)
        if not _ID.fullmatch(evaluation_id) or not lake.exists(folder.summary_json):
            known = _ids(pipeline, lake)
            raise ParamError(
                f"The baseline {evaluation_id!r} is neither a variant nor an evaluation of"
                f" {pipeline}{nearest(evaluation_id, [*variants, *known]) or '.'} Nothing was evaluated.\n"
                f"Variants: {', '.join(variants)}. Newest evaluations: {', '.join(known[:_NAMED]) or 'none'}."
            )
        folders.append(folder)
    return folders


def _check_origin(
    folder: EvaluationFolder, pipeline: str, simulated: bool, file_hashes: Mapping[str, str], lake: Lake
) -> None:
    if (result := _read_result(folder, lake)) is None:
        raise LakeError(
            f"{lake.locate(folder.summary_json)} is damaged. Nothing was evaluated. Choose another baseline.",
            retryable=False,
        )
    if result.simulated != simulated:
        raise ParamError(
            f"The answers of the evaluation {folder.evaluation_id} are {_origin(result.simulated)}, and those of this"
            f" one are {_origin(simulated)}. Nothing was evaluated. Choose another baseline."
        )
    if changed := _changed_grading(result, pipeline, file_hashes):
        log.warning(
            "The scores of the baseline %s are of other files, so a difference may come from these: %s. To compare"
            " with its answers under the new files, evaluate its partition again",
            folder.evaluation_id,
            ", ".join(changed),
        )


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
    """Return the evaluation's result; None if it is damaged."""
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
