"""What a pass wants to send: the canary's handful, the main pass's rest, the retry's second tries and repairs."""

from __future__ import annotations

import heapq
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers.outcome import remedy
from include.enrichment.answers.repair import Repair, repair
from include.enrichment.answers.table import row_keys
from include.enrichment.batches.pass_plan import PassPlan, check_canary, check_only_rejects
from include.enrichment.batches.prior_results import FOUND_SCHEMA, PriorResults
from include.enrichment.errors import LakeError, ParamError
from include.enrichment.requests.request import Request, Unsendable
from include.enrichment.runs import passes
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import check_stamp, parse
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import ResultStore
from include.steps.files.chunk_files import request_ids_of
from include.steps.files.extracted import read_requests
from include.steps.planning.prior_rejects import find_newest_rejects

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """
    What a pass would send if nothing were in flight.

    :param request_ids: what it would send
    :param made: requests that stand in no row, by request id: repairs
    :param failed_in: the batches that failed to answer a request before
    :param later: of the canary: what the main pass will send. Of any other pass nobody knows
    :param batches: all batches that say something of the run's requests
    :param repairs: all that were made of the run's invalid answers, also those already answered; None in a pass that
        makes none
    """

    request_ids: Set[str]
    made: Mapping[str, Request] = field(default_factory=dict)
    failed_in: Mapping[str, Set[str]] = field(default_factory=dict)
    later: Set[str] = frozenset()
    batches: Collection[str] = ()
    repairs: Sequence[Repair] | None = None


def select_requests(
    pass_name: str,
    needed: Set[str],
    rows: Path,
    pipeline: Pipeline,
    folder: RunFolder,
    extracted_at: datetime,
    lake: Lake,
) -> Selection:
    """
    What the pass would send if nothing were in flight.

    :param needed: the run's distinct requests
    :param rows: the run's rows, fetched

    Raises BatchError if this is the pass after a canary that failed for good, ParamError if the run asks only for the
    rejects and would have to ask for other rows too.
    """
    store = ResultStore(lake, pipeline=pipeline.name)
    found = store.look_up(needed)
    rejected = None
    if pipeline.options.only_rejects:
        rejected = _rejected(rows, folder, lake)
        check_only_rejects(len(needed - found.settled - rejected), requests=len(needed))
    if passes.is_retry(pass_name):
        return _retried(needed, found, rows, store, rejected, most_bytes=pipeline.limits.params_bytes)
    left = needed - found.settled
    later: Set[str] = frozenset()
    if pass_name == passes.CANARY:
        canary = set(heapq.nsmallest(pipeline.settings.limits.canary_rows, left))
        left, later = canary, left - canary
    elif canary_plan := read_plan(lake, folder, passes.CANARY, extracted_at):
        asked = _asked(canary_plan, pipeline.name, lake)
        # What the canary left unanswered is the retry pass's.
        left = left - {request_id for request_ids in asked.values() for request_id in request_ids}
        if left:
            _check_canary(asked, store)
    return Selection(request_ids=left, failed_in=found.failed_in(left), later=later, batches=found.batches)


def _asked(canary_plan: PassPlan, pipeline: str, lake: Lake) -> dict[str, list[str]]:
    """The canary's batches, with the requests of each. A chunk that others have taken over asked nothing."""
    entries = Ledger(lake, pipeline=pipeline).latest([layout.chunk_id_of(key) for key in canary_plan.chunks])
    return {entry.batch_id: request_ids_of(lake, entry.chunk) for entry in entries if entry and entry.batch_id}


def _check_canary(asked: Mapping[str, Collection[str]], store: ResultStore) -> None:
    """
    Raises BatchError if the canary shows that the rest would fail like it.

    :param asked: the canary's batches, with the requests of each
    """
    reasons: dict[str, str | None] = {}
    for batch_id, request_ids in asked.items():
        answers = store.answers(batch_id, of=pa.array(request_ids, pa.string()))
        for line in answers.select(["request_id", "outcome", "error_type", "stop_reason", "reason"]).to_pylist():
            passing = remedy(line["outcome"], line["error_type"], line["stop_reason"]) == "again"
            fine = passing or line["outcome"] == "succeeded"
            reasons[line["request_id"]] = None if fine else f"{line['outcome']}, {line['reason']}"
    check_canary(reasons, pass_name=passes.CANARY)


def requests_for_rejects(rejects: Path, rows: Path, pipeline: Pipeline, lake: Lake) -> int:
    """
    How many requests a run would send now that asks only for the rejects.

    :param rejects: the file of the rejects
    :param rows: the run's rows, fetched
    """
    store = ResultStore(lake, pipeline=pipeline.name)
    rejected = _requests_of(pq.read_table(rejects, columns=_keys(rows)), rows)
    found = store.look_up(rejected)
    sent = rejected - found.settled
    if pipeline.settings.limits.retry_passes:
        most_bytes = pipeline.limits.params_bytes
        sent |= _retried(rejected, found, rows, store, rejected, most_bytes=most_bytes).request_ids
    return len(sent)


def _rejected(rows: Path, folder: RunFolder, lake: Lake) -> set[str]:
    """
    The requests of the rows that were rejected last, published or not. Raises ParamError where there are none to be
    read.
    """
    asked = "This run asks only for the rejects (its param `only_rejects`)"
    if (key := find_newest_rejects(folder, lake)) is None:
        raise ParamError(
            f"{asked}, and partition {folder.partition} has none: it was never published, and no run of it that failed"
            " to publish has left any (`make clean-lake` deletes those of old runs). Nothing was sent. Start a plain"
            " run."
        )
    try:
        rejects = pq.read_table(pa.BufferReader(lake.read(key)), columns=_keys(rows))
        check_stamp(rejects.schema.metadata, lake.locate(key))
        again = _requests_of(rejects, rows)
    except pa.ArrowException as error:
        raise ParamError(
            f"{asked}, and {lake.locate(key)} holds none with the business key {', '.join(_keys(rows))}:"
            f" {str(error).splitlines()[0].rstrip('.')}. Nothing was sent. Start a plain run."
        ) from error
    log.info("Only the rejects: %s rows in %s", f"{len(rejects):,}", lake.locate(key))
    return again


def _keys(rows: Path) -> list[str]:
    return [field.name for field in row_keys(pq.read_schema(rows))]


def _requests_of(rejects: pa.Table, rows: Path) -> set[str]:
    """The requests of those of the rows that have the keys of ``rejects``. Raises pa.ArrowException."""
    keys = rejects.column_names
    keyed = pq.read_table(rows, columns=[*keys, "request_id"])
    again = keyed.join(rejects.cast(keyed.select(keys).schema), keys=keys, join_type="left semi")
    return set(again["request_id"].drop_null().to_pylist())


def _retried(
    needed: Set[str], found: PriorResults, rows: Path, store: ResultStore, rejected: Set[str] | None, *, most_bytes: int
) -> Selection:
    """
    What ended without an answer: the same again where it was not billed, a repair where it was.

    :param rejected: the rows' requests that are asked for again in a run for the rejects alone; None in any other run,
        which asks for all, but repairs what came of a repair no further
    :param most_bytes: no repair that is larger is sent; one that has an answer is found all the same
    """
    repairs, found_of_repairs = _repairs(found, rows, store)
    found += found_of_repairs
    made = {
        repair.request.request_id: repair.request
        for repair in repairs
        if (repair.depth == 1 if rejected is None else repair.of in rejected)
    }
    left = (needed | made.keys()) - found.settled - (found.asked - found.may_end_better)
    if large := {one for one in left & made.keys() if len(made[one].params.encode()) > most_bytes}:
        log.warning("Repairs that are larger than limits.batch_bytes allows, and are not sent: %s", f"{len(large):,}")
        left -= large
    return Selection(
        request_ids=left, made=made, failed_in=found.failed_in(left), batches=found.batches, repairs=repairs
    )


def _repairs(found: PriorResults, rows: Path, store: ResultStore) -> tuple[list[Repair], PriorResults]:
    """
    A repair of each invalid answer, of what came of it, and so on as far as there are answers; and what is found of
    these repairs. So a better answer that was once paid for is found by every later run.
    """
    every: list[Repair] = []
    found_of_repairs = PriorResults(FOUND_SCHEMA.empty_table())
    last: dict[str, Repair] = {}
    while invalid := found.repairable():
        requests = (last[request_id].request for request_id in invalid) if last else _of_rows(invalid.keys(), rows)
        last = {
            request.request_id: Repair(
                request=request,
                of=last[answered].of if last else answered,
                depth=last[answered].depth + 1 if last else 1,
            )
            for answered, request in _repaired(requests, invalid, store)
        }
        every += last.values()
        found = store.look_up(last)
        found_of_repairs += found
    return every, found_of_repairs


def _of_rows(request_ids: Set[str], rows: Path) -> Iterator[Request]:
    for batch in read_requests(rows, request_ids):
        yield from (Request(**line) for line in batch.to_pylist())


def _repaired(
    requests: Iterable[Request], invalid: Mapping[str, str], store: ResultStore
) -> Iterator[tuple[str, Request]]:
    """
    The repair of the invalid answer to each of these requests, with the id of the request that was answered.

    :param invalid: the batch that has the answer, by request id
    """
    answered_by: defaultdict[str, list[str]] = defaultdict(list)
    for request_id, batch_id in invalid.items():
        answered_by[batch_id].append(request_id)
    answers = {
        line["request_id"]: line
        for batch_id, request_ids in answered_by.items()
        for line in store.answers(batch_id, of=pa.array(request_ids, pa.string())).to_pylist()
    }
    for request in requests:
        line = answers[request.request_id]
        try:
            yield request.request_id, repair(request, answer=line["text"] or "", complaint=line["reason"])
        except Unsendable as error:
            log.warning("Request %s: its answer cannot be sent back: %s", request.request_id, error)


def read_plan(lake: Lake, folder: RunFolder, pass_name: str, extracted_at: datetime) -> PassPlan | None:
    """
    What the pass of this run does, None if it was not planned since that extract. Raises LakeError for a plan that
    cannot be read.
    """
    key = folder.plan_json(pass_name)
    if (stored := lake.find(key)) is None:
        return None
    try:
        made = parse(PassPlan, stored.data, lake.locate(key))
    except ValidationError as error:
        raise LakeError(
            f"{lake.locate(key)} cannot be read by this version: {error}. Clear the `plan` of pass {pass_name}: it"
            " writes it anew, and nothing is paid again.",
            retryable=False,
        ) from error
    return made if made.extracted_at == extracted_at else None
