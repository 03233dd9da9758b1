"""plan: which requests a pass sends, and which batches it waits for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pyarrow as pa

from include.enrichment.batches.ledger import Entry, OpenChunk, OpenChunks
from include.enrichment.batches.pass_plan import Division, PassPlan, check_chunks, describe_plan, divide
from include.enrichment.batches.unread import describe_unread, find_unread
from include.enrichment.cost.cost_table import cost_table
from include.enrichment.cost.estimate import Estimate
from include.enrichment.errors import BudgetExceeded, LakeError
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.runs import passes
from include.enrichment.runs.modes import Mode
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.synchronous.mode import choose_mode
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Ledger
from include.steps.asking.deadline import find_switch
from include.steps.files.chunk_files import ChunkWriter, request_ids_of
from include.steps.files.extracted import ExtractedRun, open_run
from include.steps.planning.budgets import check_budgets, may_stop, read_usage
from include.steps.planning.by_group import group_requests, sizes_by_group
from include.steps.planning.estimator import Estimators, make_estimators
from include.steps.planning.in_flight import InFlightNow, find_in_flight, was_sent
from include.steps.planning.new_chunks import NewChunk, read_sizes, split_by_group, write_chunks
from include.steps.planning.plan_files import write_plan
from include.steps.planning.select_requests import Selection, select_requests
from include.steps.planning.upload_marks import UploadMarks, find_uploads

log = logging.getLogger(__name__)

#: Plans of one pipeline made at the same moment come one after the other; each takes seconds.
_TRIES = 20


def plan(folder: RunFolder, *, pass_name: str, lake: Lake, most_chunks: int | None = None) -> list[str]:
    """
    Decide what the pass sends, split it into chunks, and return the lake keys of all chunks that the pass waits for.

    A pass sends those of the run's distinct requests that no batch of the pipeline has answered and that are not in
    flight. If a batch in flight holds such a request, the pass waits for it, whichever run sent it. A chunk that was
    planned and never sent is taken over: it is withdrawn, and its requests are split again by this run's limits. The
    canary pass sends a few requests and the main pass the rest. A retry pass sends those that have no answer yet or
    ended unbilled and may end better, and one repair of each answer that does not fit. A run of only the rejects
    repairs the answers to repairs as well.

    All new chunks of a pass are sent in batches, or all are asked synchronously: choose_mode() decides. A chunk in
    flight keeps the mode that it has. In a run with a deadline, the plan says when the waits cancel their batches.

    Planning is idempotent, except for the retry pass of a rejects-only run: it repairs its own repairs once more.

    The cost estimate goes to the log and to the plan. Its upper bound must fit the budgets of the run and of the month,
    next to what is spent and in flight; submit() checks the month again. A retry pass that could exceed a budget sends
    nothing, and the run continues without it: publish() decides whether the answers so far are enough.

    Raises BatchError if this is the pass after a canary that failed for good, SpecError if the pass needs more than
    ``most_chunks`` batches, ParamError if a run of only the rejects would have to send other rows too, and
    BudgetExceeded if any other pass could exceed a budget; then nothing has changed.
    """
    with open_run(lake, folder) as run:
        ledger = Ledger(lake, pipeline=run.pipeline.name)
        for _ in range(_TRIES):
            # The ledger is read before the result store: a batch that is loaded in between counts as in flight. In the
            # other order it would be found in neither, and paid for twice.
            in_flight = find_in_flight(ledger.find_open(), folder, ledger, lake)
            selection = select_requests(pass_name, run, lake)
            division = divide(selection.request_ids, in_flight.chunks)
            later = divide(selection.later, in_flight.chunks).to_send
            waited_for = in_flight.holding(run.request_ids | selection.request_ids)
            in_flight = in_flight.without_ids()  # they may be as many as the run has
            uploads = find_uploads(run, selection.made.values())
            decision = _decide(
                pass_name, run, selection, division, later, in_flight, lake, uploads, most_chunks=most_chunks
            )
            pa.default_memory_pool().release_unused()  # writing takes some
            to_send = decision.division.to_send
            writers = write_chunks(
                decision.groups, decision.parts, selection, run, pass_name, ledger, uploads, mode=decision.mode
            )
            shares_usd = decision.estimators.shares_usd(pass_name, decision.estimates[pass_name], decision.parts)
            pa.default_memory_pool().release_unused()  # the upload needs some
            try:
                chunks = _commit(decision.division, writers, shares_usd, in_flight, folder, ledger, lake)
            except Conflict:
                continue
            joined = decision.division.join
            asked = [key for key in chunks[: len(joined)] if in_flight.is_asked(layout.chunk_id_of(key))]
            pass_plan = PassPlan(
                chunks=chunks,
                synchronous=[*asked, *(chunks[len(joined) :] if decision.mode == "synchronous" else [])],
                batches=list(selection.batches),
                requests=len(run.request_ids),
                to_send=len(to_send),
                in_flight=len(selection.request_ids) - len(to_send) - decision.left_out,
                left_out=decision.left_out,
                switch_at=decision.switch_at,
                extracted_at=run.extracted.extracted_at,
                estimate=decision.estimates[pass_name],
            )
            write_plan(pass_plan, selection.repairs, pass_name, folder, lake)
            log.info("%s", describe_plan(pass_name, pass_plan, joined=len(joined)))
            _warn_of_unread(pass_name, waited_for, run, in_flight)
            if to_send:
                log.info("Expected cost, in US dollars:\n%s", cost_table(decision.estimates))
            return chunks
    raise LakeError(f"Other runs planned at the same moment {_TRIES} times. Nothing was sent. Clear this task.")


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """
    What the pass sends, before anything is written.

    :param mode: how
    :param groups: the requests to send by variant
    :param parts: the same by chunk
    :param estimates: of this pass and, in the canary pass, of the main pass after it
    :param left_out: the number of requests that a budget does not allow
    :param switch_at: when the waits cancel their batches for the run's deadline
    """

    division: Division
    mode: Mode
    groups: Mapping[str, RequestIds]
    parts: Sequence[NewChunk]
    estimators: Estimators
    estimates: dict[str, Estimate]
    left_out: int = 0
    switch_at: datetime | None = None


def _decide(
    pass_name: str,
    run: ExtractedRun,
    selection: Selection,
    division: Division,
    later: RequestIds,
    in_flight: InFlightNow,
    lake: Lake,
    uploads: UploadMarks,
    *,
    most_chunks: int | None,
) -> _Decision:
    """
    :param later: the requests that the main pass will send, in the canary pass
    """
    pa.default_memory_pool().release_unused()  # the sizes need some
    groups = group_requests(division.to_send, run, selection.repairs or ())
    sizes = sizes_by_group(read_sizes(division.to_send, selection.made, run, uploads), groups)
    parts = split_by_group(sizes, run.pipeline.limits)
    usage_records = read_usage(run.pipeline, lake)
    estimators = make_estimators(run, usage_records, lake)
    make_estimates = partial(_estimates, pass_name, sizes, later=later, run=run, estimators=estimators, uploads=uploads)
    switch = None
    if run.extracted.deadline and run.pipeline.settings.request.mode != "synchronous":
        costliest = make_estimates(mode="synchronous", later_mode="synchronous")
        switch = find_switch(pass_name, run, division.join, in_flight, usage_records, costliest)
    mode, later_mode = (
        choose_mode(run.pipeline.settings, len(each), batch_in_time=switch is None or switch.batch_in_time)
        for each in (division.to_send, later)
    )
    joined = [chunk_id for chunk_id in division.join if not in_flight.is_asked(chunk_id)]
    check_chunks(len(joined) + (len(parts) if mode == "batch" else 0), most=most_chunks)
    decision = _Decision(
        division=division,
        mode=mode,
        groups=groups,
        parts=parts,
        estimators=estimators,
        estimates=make_estimates(mode=mode, later_mode=later_mode),
        switch_at=switch.at if switch else None,
    )
    try:
        check_budgets(run, usage_records, in_flight, decision.estimates)
    except BudgetExceeded as error:
        if may_stop(pass_name, run.pipeline):
            raise
        log.warning("Pass %s is skipped. %s", pass_name, error)
        return replace(
            decision,
            division=replace(division, to_send=RequestIds(), take_over=[]),
            groups={},
            parts=[],
            estimates={pass_name: estimators.estimate(pass_name, {}, mode)},
            left_out=len(division.to_send),
        )
    return decision


def _estimates(
    pass_name: str,
    sizes: Mapping[str, pa.Table],
    *,
    mode: Mode,
    later: RequestIds,
    later_mode: Mode,
    run: ExtractedRun,
    estimators: Estimators,
    uploads: UploadMarks,
) -> dict[str, Estimate]:
    """
    The estimate of this pass and, in the canary pass, of the main pass after it.

    :param sizes: of the requests that this pass sends, by variant
    :param mode: of this pass
    :param later: the requests that the main pass will send, and in which mode
    """
    found = {pass_name: estimators.estimate(pass_name, sizes, mode)}
    if later:
        of_later = sizes_by_group(read_sizes(later, {}, run, uploads), group_requests(later, run))
        found[passes.MAIN] = estimators.estimate(passes.MAIN, of_later, later_mode)
    return found


def _warn_of_unread(pass_name: str, waited_for: Set[str], run: ExtractedRun, in_flight: InFlightNow) -> None:
    """
    Warn of batches that are paid for and that this run does not read.

    The first plan warns of other runs' batches. The last plan warns of this run's own, as a batch of repairs that was
    sent before a restart is not wanted by any pass before it.

    :param waited_for: the open chunks with requests of this run
    """
    limits, folder = run.pipeline.settings.limits, run.folder
    in_order = passes.names(canary_rows=limits.canary_rows, retry_passes=limits.retry_passes)
    if pass_name not in (in_order[0], in_order[-1]):
        return
    day = layout.runs_of(folder.pipeline, folder.partition)
    now = datetime.now(UTC)
    for entry in find_unread(in_flight.opened, in_flight.entries, read=waited_for | in_flight.over, day=day, now=now):
        if pass_name == in_order[-1 if entry.run_id == folder.run_id else 0]:
            log.warning("%s", describe_unread(entry, run_id=folder.run_id))


def _commit(
    division: Division,
    writers: list[ChunkWriter],
    shares_usd: Sequence[Decimal | None],
    in_flight: InFlightNow,
    folder: RunFolder,
    ledger: Ledger,
    lake: Lake,
) -> list[str]:
    """
    Publish the plan to every other plan of the pipeline, and return the keys of the pass's chunks.

    Raises Conflict if another plan was made since the ledger was read: then this one has no effect.
    """
    joined = [layout.chunk(ledger.pipeline, chunk_id) for chunk_id in division.join]
    made = [writer.upload(lake) for writer in writers]
    planned = {writer.chunk_id for writer in writers}
    forgotten = {chunk_id for chunk_id in in_flight.over if not was_sent(in_flight.entries[chunk_id])}
    withdrawn = {*division.take_over, *forgotten} - planned
    before = in_flight.opened
    # Before the plan takes effect: every chunk that can still be sent is open, and no two of them share a request.
    for each in sorted(withdrawn):
        _withdraw(each, before[each], folder.run_id, ledger, lake)
    now = datetime.now(UTC)
    chunks = {
        chunk_id: chunk for chunk_id, chunk in before.items() if chunk_id not in in_flight.over | withdrawn | planned
    }
    chunks |= {
        writer.chunk_id: OpenChunk(
            folder=folder.prefix,
            also_planned_by=_other_planners(before.get(writer.chunk_id), folder),
            planned_at=now,
            expected_usd=usd,
        )
        for writer, usd in zip(writers, shares_usd, strict=True)
    }
    if chunks != before:
        ledger.write_open(OpenChunks(chunks=chunks), over=in_flight.recorded)
    return [*joined, *made]


def _other_planners(chunk: OpenChunk | None, folder: RunFolder) -> list[str]:
    """The other runs that planned the same chunk, and may send it as well."""
    return [each for each in chunk.planned_by if each != folder.prefix] if chunk else []


def _withdraw(chunk_id: str, opened: OpenChunk, run_id: str, ledger: Ledger, lake: Lake) -> None:
    """Mark the chunk so that nobody sends it any more. Raises Conflict if another task has just begun to."""
    known = ledger.find(chunk_id)
    if known and known.value.state == "withdrawn":
        if known.value.was_open != opened:  # another run has planned it at the same moment
            ledger.write(known.value.model_copy(update={"was_open": opened}), over=known)
        return
    if known and was_sent(known.value):
        raise Conflict(f"Chunk {chunk_id} has just been sent.")
    now = datetime.now(UTC)
    key = layout.chunk(ledger.pipeline, chunk_id)
    if known:
        planned = known.value
    elif not lake.exists(key):
        return  # without its file nobody can send it
    else:
        requests = len(request_ids_of(lake, key))
        planned = Entry.planned(
            chunk_id=chunk_id, pipeline=ledger.pipeline, chunk=key, requests=requests, run_id=run_id, at=now
        )
    ledger.write(planned.becomes("withdrawn", at=now, run_id=run_id, was_open=opened), over=known)
