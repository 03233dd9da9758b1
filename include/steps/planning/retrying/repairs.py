"""The repairs of the answers that cannot be used, and of the answers to repairs."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING

import pyarrow as pa

from include.enrichment.answers.repair import Repair, repair
from include.enrichment.batches.prior_results import COMPACT_SCHEMA, PriorResults
from include.enrichment.requests.request import Request, Unsendable
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.spec.pipeline import Pipeline
from include.gateways.result_store import ResultStore
from include.steps.planning.retrying.row_answers import RowAnswers

if TYPE_CHECKING:
    from include.enrichment.answers.checks.checks import Checks
    from include.steps.planning.failed_checks import FailedChecks

log = logging.getLogger(__name__)


def find_repairs(found: PriorResults, answers: RowAnswers, pipeline: Pipeline) -> tuple[list[Repair], PriorResults]:
    """
    Return the repair of each answer that is invalid or fails a check, then of each such answer to a repair, as deep as
    there are answers, and the results of all these repairs. So every later run finds a better answer that was once paid
    for.
    """
    checks, store = pipeline.read_checks(), answers.store
    failed_checks = open_failed_checks(answers, pipeline, checks) if checks else None
    every: dict[str, Repair] = {}
    found_of_repairs = PriorResults(COMPACT_SCHEMA.empty_table())
    latest, of = found, found.usable
    while True:
        unusable = _invalid(latest, store)
        if failed_checks:
            compared = found.usable if failed_checks.compare_answers else of
            batches = {*found.usable_in(compared), *found_of_repairs.usable_in(every.keys())}
            failed = failed_checks.find(of, batches, every.values())
            unusable |= {request_id: (answer.text, answer.complaint) for request_id, answer in failed.items()}
        if not unusable:
            return list(every.values()), found_of_repairs
        again = [every[request_id].request for request_id in unusable if request_id in every]
        first = unusable.keys() - every.keys()
        last = {
            request.request_id: Repair(
                request=request,
                of=every[answered].of if answered in every else answered,
                depth=every[answered].depth + 1 if answered in every else 1,
            )
            for answered, request in _repaired(chain(again, answers.requests(first) if first else ()), unusable)
        }
        every |= last
        latest = store.look_up(last)
        found_of_repairs += latest
        repaired = RequestIds({last[request_id].of for request_id in latest.usable})
        if failed_checks and failed_checks.compare_answers:
            # What a repaired answer says may be what another row's says, so those are judged again.
            of = (of - RequestIds({every[one].of if one in every else one for one in unusable})) | repaired
        else:
            of = repaired  # a row whose first answer passes its checks needs no better repair


def open_failed_checks(answers: RowAnswers, pipeline: Pipeline, checks: Checks) -> FailedChecks:
    """Return the finder of the answers that fail a check."""
    # Not at the top: it loads DuckDB, and most pipelines have no checks.
    from include.steps.planning.failed_checks import FailedChecks

    return FailedChecks.of(pipeline, answers, checks)


def _invalid(found: PriorResults, store: ResultStore) -> dict[str, tuple[str, str]]:
    """The requests whose answer is invalid and can be repaired: each with the answer and what is wrong with it."""
    answered_by: defaultdict[str, list[str]] = defaultdict(list)
    for request_id, batch_id in found.repairable().items():
        answered_by[batch_id].append(request_id)
    return {
        line["request_id"]: (line["text"] or "", line["reason"])
        for batch_id, request_ids in answered_by.items()
        for line in store.answers(batch_id, of=pa.array(request_ids, pa.string())).to_pylist()
    }


def _repaired(requests: Iterable[Request], unusable: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, Request]]:
    """The repair of the unusable answer to each of these requests, with the id of the request that was answered."""
    for request in requests:
        answer, reason = unusable[request.request_id]
        try:
            yield request.request_id, repair(request, answer=answer, complaint=reason)
        except Unsendable as error:
            log.warning("Request %s: its answer cannot be sent back: %s", request.request_id, error)
