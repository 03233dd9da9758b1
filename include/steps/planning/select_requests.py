"""The requests that a pass selects: the canary's first few, the rest in the main pass, retries and repairs."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.outcome import remedy
from include.enrichment.answers.repair import ESCALATED_DEPTH, Repair
from include.enrichment.answers.table import OUTCOME, row_keys
from include.enrichment.batches.pass_plan import PassPlan, check_canary, check_only_rejects
from include.enrichment.batches.prior_results import PriorResults
from include.enrichment.documents.attachment import params_bytes_as_sent
from include.enrichment.errors import ParamError
from include.enrichment.requests.request import Request
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.runs import passes
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import check_stamp
from include.gateways.lake import Lake, ObjectMissing
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.steps.files.chunk_files import request_ids_of
from include.steps.files.extracted import ExtractedRun
from include.steps.planning.by_group import group_requests
from include.steps.planning.plan_files import read_plan
from include.steps.planning.prior_rejects import find_newest_rejects
from include.steps.planning.retrying.escalations import find_escalations
from include.steps.planning.retrying.repairs import find_repairs, open_failed_checks
from include.steps.planning.retrying.row_answers import RowAnswers

if TYPE_CHECKING:
    from include.steps.planning.failed_checks import FailedAnswer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """
    The requests that a pass would send if nothing were in flight.

    :param made: repairs and escalated requests by id: requests that belong to no row
    :param failed_in: for each request, the batches that failed to answer it before
    :param later: in the canary pass, the requests that the main pass will send; empty in any other pass
    :param batches: all batches that hold results of the run's requests
    :param repairs: all repairs of the run's invalid answers and all its escalated requests, including those already
        answered; None in a pass that makes none
    """

    request_ids: RequestIds
    made: Mapping[str, Request] = field(default_factory=dict)
    failed_in: Mapping[str, Set[str]] = field(default_factory=dict)
    later: RequestIds = field(default_factory=RequestIds)
    batches: Collection[str] = ()
    repairs: Sequence[Repair] | None = None


def select_requests(pass_name: str, run: ExtractedRun, lake: Lake) -> Selection:
    """
    Select the requests that the pass would send if nothing were in flight.

    Raises BatchError if this is the pass after a canary that failed for good, and ParamError if the run sends only the
    rejects and other rows have no answer either.
    """
    pipeline, needed = run.pipeline, run.request_ids
    store = ResultStore(lake, pipeline=pipeline.name)
    found = store.look_up(needed)
    rejected, beside = None, RequestIds()
    if pipeline.options.only_rejects:
        rejected, beside = _rejected(run.rows, run.folder, lake)
        check_only_rejects(len(needed - found.paid - rejected - beside), requests=len(needed))
    if passes.is_retry(pass_name):
        return _retried(needed - beside, found, run.rows, store, rejected, pipeline)
    left = needed - found.paid - beside
    later = RequestIds()
    if pass_name == passes.CANARY:
        canary = _first(left, run)
        left, later = canary, left - canary
    elif canary_plan := read_plan(lake, run.folder, passes.CANARY, run.extracted.extracted_at):
        sent = _sent(canary_plan, pipeline.name, lake)
        # The retry pass sends what the canary left unanswered.
        for request_ids in sent.values():
            left -= request_ids
        if left:
            _check_canary(sent, left, found, run, store)
    return Selection(request_ids=left, failed_in=found.failed_in(left), later=later, batches=found.batches)


def _first(left: RequestIds, run: ExtractedRun) -> RequestIds:
    """The canary: the first few of the requests, with variants those of each."""
    rows = run.pipeline.settings.limits.canary_rows
    if not run.pipeline.variants:
        return RequestIds(left.array[:rows])
    first = [RequestIds((left & of_variant).array[:rows]) for of_variant in run.by_variant.values()]
    return reduce(or_, first)


def _sent(canary_plan: PassPlan, pipeline: str, lake: Lake) -> dict[str, RequestIds]:
    """The canary's batches, with the requests of each. A chunk that another run took over sent nothing."""
    entries = Ledger(lake, pipeline=pipeline).latest([layout.chunk_id_of(key) for key in canary_plan.chunks])
    return {entry.batch_id: request_ids_of(lake, entry.chunk) for entry in entries if entry and entry.batch_id}


def _check_canary(
    sent: Mapping[str, RequestIds], left: RequestIds, found: PriorResults, run: ExtractedRun, store: ResultStore
) -> None:
    """
    Raises BatchError if the canary shows that the rest, or the rest of a variant, would fail in the same way.

    :param sent: the canary's batches, with the requests of each
    :param left: the rest
    :param found: the outcomes of all requests
    """
    reasons: dict[str, str | None] = {}
    for batch_id, request_ids in sent.items():
        try:
            answers = store.answers(batch_id, of=request_ids.array)
        except ObjectMissing:
            continue  # another run has taken the chunk over and still waits for its batch
        for line in answers.select(["request_id", "outcome", "error_type", "stop_reason", "reason"]).to_pylist():
            passing = remedy(line["outcome"], line["error_type"], line["stop_reason"]) == "again"
            fine = passing or line["outcome"] == "succeeded"
            reasons[line["request_id"]] = None if fine else f"{line['outcome']}, {line['reason']}"
    failed: Mapping[str, FailedAnswer] = {}
    if checks := run.pipeline.read_checks():
        canary = RequestIds(reasons) & found.usable
        failed_checks = open_failed_checks(RowAnswers(run.rows, store), run.pipeline, checks)
        failed = failed_checks.find(canary, found.usable_in(canary), for_every_row=True)
        reasons |= {request_id: f"invalid, {answer.reason}" for request_id, answer in failed.items()}
    for variant in group_requests(left, run):
        these = {*(run.by_variant[variant] & reasons)} if variant else reasons.keys()
        check_canary(
            {request_id: reason for request_id, reason in reasons.items() if request_id in these},
            Counter(name for request_id, answer in failed.items() if request_id in these for name in answer.checks),
            pipeline=run.pipeline.name,
            pass_name=passes.CANARY,
            variant=variant,
        )


def requests_for_rejects(rejects: Path, rows: Path, pipeline: Pipeline, lake: Lake) -> int:
    """
    Count the requests that a run of only the rejects would send now.

    :param rejects: a file of rejects
    :param rows: the run's rows, fetched
    """
    store = ResultStore(lake, pipeline=pipeline.name)
    rejected = _requests_of(pq.read_table(rejects, columns=_keys(rows)), rows)
    found = store.look_up(rejected)
    sent = rejected - found.paid
    if (checks := pipeline.read_checks()) and checks.compare_answers:  # with those of all other rows
        found = store.look_up(RequestIds(pq.read_table(rows, columns=["request_id"])["request_id"]))
    if pipeline.settings.limits.retry_passes:
        sent |= _retried(rejected, found, rows, store, rejected, pipeline).request_ids
    return len(sent)


def _rejected(rows: Path, folder: RunFolder, lake: Lake) -> tuple[RequestIds, RequestIds]:
    """
    The requests of the rows that were rejected last, published or not, and the other requests without a usable answer
    that were not kept because another candidate has one. Raises ParamError if there are no rejects that can be read.
    """
    fact = "This run sends only the rejects (its param `only_rejects`)"
    if (key := find_newest_rejects(folder, lake)) is None:
        raise ParamError(
            f"{fact}, and partition {folder.partition} has none. It was never published, and no run that failed to"
            " publish has left any (`make clean-lake` deletes those of old runs). Nothing was sent. Start a run without"
            " `only_rejects`."
        )
    try:
        rejects = pq.read_table(pa.BufferReader(lake.read(key)), columns=_keys(rows))
        check_stamp(rejects.schema.metadata, lake.locate(key))
        request_ids = _requests_of(rejects, rows)
        beside = _unusable_samples(key, rows, folder, lake) - request_ids
    except pa.ArrowException as error:
        raise ParamError(
            f"{fact}, and {lake.locate(key)} has none with the key {', '.join(_keys(rows))}:"
            f" {str(error).splitlines()[0].rstrip('.')}. Nothing was sent. Start a run without `only_rejects`."
        ) from error
    log.info("Only the rejects: %s rows in %s", f"{len(rejects):,}", lake.locate(key))
    return request_ids, beside


def _unusable_samples(rejects: str, rows: Path, folder: RunFolder, lake: Lake) -> RequestIds:
    """The requests of the samples without a usable answer that were written with these rejects."""
    published = layout.samples(folder.pipeline, folder.partition)
    key = layout.run_of(rejects).samples if layout.is_of_run(rejects) else published
    try:
        samples = pq.read_table(pa.BufferReader(lake.read(key)), columns=[*_keys(rows), OUTCOME])
    except ObjectMissing:
        return RequestIds()
    return _requests_of(samples.filter(pc.not_equal(samples[OUTCOME], "succeeded")).drop_columns(OUTCOME), rows)


def _keys(rows: Path) -> list[str]:
    return [field.name for field in row_keys(pq.read_schema(rows))]


def _requests_of(rejects: pa.Table, rows: Path) -> RequestIds:
    """The requests of the rows with the keys of ``rejects``. Raises pa.ArrowException."""
    keys = rejects.column_names
    keyed = pq.read_table(rows, columns=[*keys, "request_id"])
    again = keyed.join(rejects.cast(keyed.select(keys).schema), keys=keys, join_type="left semi")
    return RequestIds(again["request_id"])


def _retried(
    needed: RequestIds,
    found: PriorResults,
    rows: Path,
    store: ResultStore,
    rejected: RequestIds | None,
    pipeline: Pipeline,
) -> Selection:
    """
    The requests without a usable answer: sent again if they were not billed, repaired if they were. Those with a
    doubtful answer, for the dearer model. Of both, requests that are larger than the pipeline's limits are not sent;
    one that was answered before is found all the same.

    :param rejected: in a run of only the rejects, the requests to send again. None in any other run, which sends all
        but repairs no repair
    """
    answers = RowAnswers(rows, store)
    repairs, found_of_repairs = find_repairs(found, answers, pipeline)
    found += found_of_repairs
    escalations = find_escalations(repairs, found, answers, pipeline)
    found += store.look_up(one.request.request_id for one in escalations)
    repairs += escalations
    made = {
        repair.request.request_id: repair.request
        for repair in repairs
        if (repair.depth in (1, ESCALATED_DEPTH) if rejected is None else repair.of in rejected)
    }
    left = (needed | made.keys()) - found.paid - found.failed
    most = pipeline.limits.params_bytes
    if large := {one for one in left & made.keys() if params_bytes_as_sent(made[one].params.encode()) > most}:
        log.warning(
            "%s repairs or escalated requests are larger than limits.batch_bytes allows and are not sent",
            f"{len(large):,}",
        )
        left -= large
    return Selection(
        request_ids=left, made=made, failed_in=found.failed_in(left), batches=found.batches, repairs=repairs
    )
