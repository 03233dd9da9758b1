"""submit: a chunk becomes a batch, exactly once."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import UNSETTLED, Entry
from include.enrichment.batches.submission import Attach, Settle, Withdrawn
from include.enrichment.errors import ApiError, BatchError, BudgetExceeded, LakeError, NotSent, NotYet, SetupError
from include.enrichment.runs import passes
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.conditional_writes import check_conditional_writes
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.steps.files.chunk_files import Chunk, read_chunk
from include.steps.files.request_body import OpenBuckets, open_body
from include.steps.planning.budgets import check_month
from include.steps.planning.remainder import write_remainder
from include.steps.submitting.adoption import settle
from include.steps.submitting.claim import claim, over_budget, record, rejected, release, unclear, write_over
from include.steps.submitting.uploads import upload_attachments
from include.steps.submitting.warm_up import keep_warm

log = logging.getLogger(__name__)


def submit(chunk_key: str, *, run_id: str, lake: Lake, claude: Claude, open_buckets: OpenBuckets) -> str:
    """
    Submit the chunk as a batch and return the batch's id.

    A chunk that any run has submitted is not sent again: its batch id is returned. If a create ended without a clear
    response, or its process died, submit looks for the batch that it made and adopts it. The chunk is sent again only
    when certainly none was made, and only by a run that planned it. If another plan took over some of its requests, the
    rest is sent instead. If the prompt cache is cold, a batch of one request may be sent first: see warm_up.py.

    :param open_buckets: opens the place of the chunk's attachments, see Chunk.attachments_connection

    Raises NotYet if the API accepts no batch now (none was created), or while it is unclear whether a batch was
    created, another task is sending the chunk or the cache is being warmed: call again at the time that it names.
    Raises NotSent if this run has nothing of the chunk to send, BudgetExceeded if other runs have used up the month's
    budget since it was planned, SetupError or ApiError if the API rejects it for a reason that waiting does not fix,
    and BatchError if a person has to decide, or for a synchronous chunk.
    """
    again = partial(submit, run_id=run_id, lake=lake, claude=claude, open_buckets=open_buckets)
    chunk = read_chunk(lake, chunk_key)
    if chunk.synchronous:
        raise BatchError(f"Chunk {chunk.chunk_id} is asked synchronously: no batch is made of it. Nothing was sent.")
    ledger = Ledger(lake, pipeline=chunk.pipeline)
    known = ledger.find(chunk.chunk_id)
    match submission.next_action(known.value if known else None):
        case Attach() if known:
            return _attach(known, ledger, run_id)
        case Withdrawn() if known:
            return again(write_remainder(chunk, known.value, run_id=run_id, ledger=ledger, lake=lake))
        case Settle() if known:
            known = settle(chunk, known, ledger, claude)
            if (found := ledger.find(chunk.chunk_id)) and found.value.batch_id:
                return _attach(found, ledger, run_id)
    planned = _planned_by(run_id, chunk, known, ledger)
    keep_warm(chunk, lake=lake, claude=claude, send=again)
    # Over the entry as it was read, not as it is now: another task may have settled it too, and be sending.
    return _send(chunk, known, planned, ledger, lake, claude, run_id, open_buckets)


def _planned_by(run_id: str, chunk: Chunk, known: Recorded[Entry] | None, ledger: Ledger) -> RunFolder | None:
    """
    Return the folder of the run, which planned the chunk. None for a chunk that no run plans: it warms the prompt
    cache, or its requests belong to no pipeline.

    Raises NotSent if only other runs planned it: the chunk follows their rows, their limits and their budgets.

    :param known: the chunk's entry; if it is unsettled, its create certainly made no batch
    """
    if chunk.partition is None or chunk.pass_name == passes.WARM_UP:
        return None
    opened = ledger.open_chunks().get(chunk.chunk_id)
    if folder := layout.folder_of_run(opened.planned_by if opened else [], run_id):
        return folder
    if known and known.value.state in UNSETTLED:
        write_over(known, known.value.becomes("planned", at=datetime.now(UTC)), ledger)
    raise NotSent(
        f"Chunk {chunk.chunk_id} ({len(chunk.request_ids):,} requests) was never sent. This run did not plan it but"
        " waited for another run to send it. The next pass of this run plans the requests that it needs."
    )


def _attach(known: Recorded[Entry], ledger: Ledger, run_id: str) -> str:
    """Record that the run waits for the chunk's batch too, and return the batch's id."""
    entry = known.value
    assert entry.batch_id
    while run_id not in entry.run_ids:
        try:
            ledger.write(entry := entry.with_run(run_id), over=known)
        except Conflict:
            if (again := ledger.find(entry.chunk_id)) is None:
                raise
            known, entry = again, again.value
    log.info(
        "Already submitted as batch %s (%s requests, by run %s, %s since %s): nothing is sent or billed",
        entry.batch_id,
        f"{entry.requests:,}",
        entry.run_id,
        entry.state,
        f"{entry.changed_at:%Y-%m-%d %H:%M} UTC",
    )
    return str(entry.batch_id)


def _send(
    chunk: Chunk,
    known: Recorded[Entry] | None,
    planned: RunFolder | None,
    ledger: Ledger,
    lake: Lake,
    claude: Claude,
    run_id: str,
    open_buckets: OpenBuckets,
) -> str:
    check_conditional_writes(lake)
    # All that can fail without a paid call fails before the claim, which says that a batch may exist. Only attachments,
    # which are too large to be read before, are read while they are sent.
    needed_by = planned.prefix if planned else run_id
    files = upload_attachments(chunk, run=needed_by, lake=lake, claude=claude, open_buckets=open_buckets)
    with open_body(lake, chunk, open_buckets=open_buckets, files=files) as body:
        claimed = claim(chunk, known, planned, ledger, claude, run_id)
        try:
            if planned:
                # After the claim: if two tasks claim at the same moment, the second sees the first.
                check_month(claimed.value, planned, ledger, lake)
            batch_id = claude.create(body, since=claimed.value.changed_at)
        except NotYet:
            release(claimed, ledger)
            raise
        except BudgetExceeded as error:
            raise over_budget(error, chunk, claimed, ledger) from error
        except (ApiError, SetupError, LakeError) as error:
            raise rejected(error, claimed, ledger, size_bytes=body.length) from error
        except BatchError as error:
            raise unclear(error, claimed, ledger) from error
    record(batch_id, claimed, ledger, claude)
    log.info("%s requests submitted as batch %s", f"{len(chunk.request_ids):,}", batch_id)
    return batch_id
