"""The requests of the rows whose answer is doubtful (``request.escalate``), to the dearer model."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.repair import ESCALATED_DEPTH, Repair
from include.enrichment.answers.table import VARIANT
from include.enrichment.batches.prior_results import PriorResults
from include.enrichment.requests.request import Unsendable
from include.enrichment.spec.cascade.escalation import Doubt, Group, escalated_request, request_groups
from include.enrichment.spec.pipeline import Pipeline
from include.steps.planning.retrying.row_answers import RowAnswers

log = logging.getLogger(__name__)


def find_escalations(
    repairs: Sequence[Repair], found: PriorResults, answers: RowAnswers, pipeline: Pipeline
) -> list[Repair]:
    """
    Return the escalated request of each doubtful answer, sent or not; none if the pipeline does not escalate.

    The condition is judged on the answer that a row would get without the dearer model. One that is unusable or fails a
    check is repaired first.

    :param repairs: of the run's unusable answers
    :param found: the results of the run's requests and of these repairs

    Raises LoadError if memory or disk runs out, SpecError if an expression fails on an answer.
    """
    groups = [group for group in request_groups(pipeline).values() if group.escalation]
    models: dict[str, str] = {}
    with ExitStack() as stack:
        doubts = [(group, stack.enter_context(_doubt(group, pipeline))) for group in groups]
        for rows, request_ids, outputs in _usable(repairs, found, answers, pipeline) if groups else ():
            for group, doubt in doubts:
                of_group = pc.equal(rows[VARIANT], group.variant) if group.variant else pa.repeat(True, len(rows))
                doubtful = doubt.of(outputs.filter(of_group).to_pylist())
                assert group.escalation
                chosen = request_ids.filter(of_group).filter(pa.array(doubtful, pa.bool_()))
                models |= dict.fromkeys(chosen.to_pylist(), group.escalation.to)
    return list(_escalated(models, answers))


def _doubt(group: Group, pipeline: Pipeline) -> Doubt:
    assert group.escalation
    of_variant = f"variants.{group.variant}.escalate.when"
    setting = of_variant if of_variant in pipeline.lines else "request.escalate.when"
    return Doubt(group.escalation.when, pipeline.output, location=pipeline.location(setting))


def _usable(
    repairs: Sequence[Repair], found: PriorResults, answers: RowAnswers, pipeline: Pipeline
) -> Iterator[tuple[pa.Table, pa.ChunkedArray, pa.ChunkedArray]]:
    """Yield the rows with an answer that would be published, their requests and these answers."""
    checks, judge, grounder = pipeline.read_checks(), None, None
    # Not at the top: they load DuckDB, and most pipelines do not escalate.
    from include.steps.publishing.checking import take_best
    from include.steps.publishing.grounding import open_grounder

    if checks:
        judge = checks.new_judge()
        grounder = open_grounder(pipeline, answers.rows) if checks.need_evidence else None
    for rows, answered, others in answers.join(found.usable_in(found.usable), repairs):
        outputs = pa.chunked_array([*answered["output"].chunks, *others["output"].chunks], pa.string())
        if judge:
            taken = take_best(rows, answered, others, judge, grounder=grounder)
            passing = {place: number for place, (number, verdict) in taken.items() if not verdict.reason}
            places, numbers = pa.array(passing.keys(), pa.int64()), pa.array(passing.values(), pa.int64())
        else:
            usable = pc.fill_null(pc.equal(answered["outcome"], "succeeded"), False)
            places = numbers = pc.indices_nonzero(usable)
        yield (chosen := rows.take(places)), chosen["request_id"], outputs.take(numbers)


def _escalated(models: dict[str, str], answers: RowAnswers) -> Iterator[Repair]:
    """
    :param models: the dearer model of each request with a doubtful answer
    """
    for request in answers.requests(models) if models else ():
        try:
            dearer = escalated_request(request, to=models[request.request_id])
        except Unsendable as error:
            log.warning("Request %s: it cannot be escalated: %s", request.request_id, error)
            continue
        yield Repair(request=dearer, of=request.request_id, depth=ESCALATED_DEPTH)
