"""What a pass wants to send: the canary's handful, the main pass's rest, the retry's second tries and repairs."""

from __future__ import annotations

import heapq
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
from pydantic import ValidationError

from include.enrichment import layout, passes
from include.enrichment.errors import LakeError
from include.enrichment.found import Found
from include.enrichment.layout import RunFolder
from include.enrichment.outcome import remedy
from include.enrichment.planning import PassPlan, check_canary
from include.enrichment.repair import repair
from include.enrichment.request import Request, Unsendable
from include.enrichment.spec import Pipeline
from include.gateways.lake import Lake
from include.gateways.ledger import Ledger
from include.gateways.results import ResultStore
from include.steps.chunks import request_ids_of
from include.steps.extract import read_requests

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """
    What a pass would send if nothing were in flight.

    :param request_ids: what it would send
    :param made: requests that stand in no row, by request id: repairs
    :param failed_in: the batches that failed to answer a request before
    :param batches: all batches that say something of the run's requests
    :param repairs: the repair that each invalid answer of the run gets, by request id; also those already answered
    """

    request_ids: Set[str]
    made: Mapping[str, Request] = field(default_factory=dict)
    failed_in: Mapping[str, Set[str]] = field(default_factory=dict)
    batches: Collection[str] = ()
    repairs: Mapping[str, str] | None = None


def want(
    pass_name: str,
    needed: Set[str],
    rows: Path,
    pipeline: Pipeline,
    folder: RunFolder,
    extracted_at: datetime,
    lake: Lake,
) -> Wanted:
    """
    What the pass would send if nothing were in flight.

    :param needed: the run's distinct requests
    :param rows: the run's rows, fetched

    Raises BatchError if this is the pass after a canary that failed for good.
    """
    store = ResultStore(lake, pipeline=pipeline.name)
    found = store.look_up(needed)
    if passes.is_retry(pass_name):
        return _retried(needed, found, rows, store)
    left = needed - found.settled
    if pass_name == passes.CANARY:
        left = set(heapq.nsmallest(pipeline.settings.limits.canary_rows, left))
    elif canary := read_plan(lake, folder, passes.CANARY, extracted_at):
        asked = {key: request_ids_of(lake, key) for key in canary.chunks}
        # What the canary left unanswered is the retry pass's.
        left = left - {request_id for request_ids in asked.values() for request_id in request_ids}
        if left:
            _check_canary(asked, store, lake)
    return Wanted(request_ids=left, failed_in=found.failed_in(left), batches=found.batches)


def _check_canary(asked: Mapping[str, Collection[str]], store: ResultStore, lake: Lake) -> None:
    """
    Raises BatchError if the canary shows that the rest would fail like it.

    :param asked: the canary's chunks, with the requests of each
    """
    reasons: dict[str, str | None] = {}
    for key, request_ids in asked.items():
        entry = Ledger(lake, pipeline=layout.pipeline_of_chunk(key)).find(layout.chunk_id_of(key))
        if entry is None or entry.value.batch_id is None:
            return
        answers = store.answers(entry.value.batch_id, of=pa.array(request_ids, pa.string()))
        for line in answers.select(["request_id", "outcome", "error_type", "stop_reason", "reason"]).to_pylist():
            passing = remedy(line["outcome"], line["error_type"], line["stop_reason"]) == "again"
            fine = passing or line["outcome"] == "succeeded"
            reasons[line["request_id"]] = None if fine else f"{line['outcome']}, {line['reason']}"
    check_canary(reasons, pass_name=passes.CANARY)


def _retried(needed: Set[str], found: Found, rows: Path, store: ResultStore) -> Wanted:
    """What ended without an answer: the same again where it was not billed, a repair where it was."""
    repairs = _repairs(found.repairable(), rows, store)
    made = {request.request_id: request for request in repairs.values()}
    found += store.look_up(made)
    left = (needed | made.keys()) - found.settled - (found.asked - found.may_end_better)
    return Wanted(
        request_ids=left,
        made=made,
        failed_in=found.failed_in(left),
        batches=found.batches,
        repairs={request_id: request.request_id for request_id, request in repairs.items()},
    )


def _repairs(repairable: Mapping[str, str], rows: Path, store: ResultStore) -> dict[str, Request]:
    """The repair of each of these invalid answers, by the id of the request that was answered."""
    answered_by: defaultdict[str, list[str]] = defaultdict(list)
    for request_id, batch_id in repairable.items():
        answered_by[batch_id].append(request_id)
    answers = {
        line["request_id"]: line
        for batch_id, request_ids in answered_by.items()
        for line in store.answers(batch_id, of=pa.array(request_ids, pa.string())).to_pylist()
    }
    made: dict[str, Request] = {}
    for batch in read_requests(rows, answers.keys()):
        for request in (Request(**line) for line in batch.to_pylist()):
            line = answers[request.request_id]
            try:
                made[request.request_id] = repair(request, answer=line["text"] or "", complaint=line["reason"])
            except Unsendable as error:
                log.warning("Request %s: its answer cannot be sent back: %s", request.request_id, error)
    return made


def read_plan(lake: Lake, folder: RunFolder, pass_name: str, extracted_at: datetime) -> PassPlan | None:
    """
    What the pass of this run does, None if it was not planned since that extract. Raises LakeError for a plan that
    cannot be read.
    """
    key = folder.plan_json(pass_name)
    if (stored := lake.find(key)) is None:
        return None
    try:
        made = PassPlan.model_validate_json(stored.data)
    except ValidationError as error:
        raise LakeError(
            f"{lake.locate(key)} cannot be read by this version: {error}. Clear the `plan` of pass {pass_name}: it"
            " writes it anew, and nothing is paid again.",
            retryable=False,
        ) from error
    return made if made.extracted_at == extracted_at else None
