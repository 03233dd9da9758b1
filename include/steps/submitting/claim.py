"""
The claim on a chunk: its ledger entry says before the create that a batch may exist, and after it what became of it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from include.enrichment.batches import submission
from include.enrichment.batches.ledger import Entry, Fence
from include.enrichment.errors import (
    ApiError,
    BatchError,
    BudgetExceeded,
    EnrichmentError,
    LakeError,
    NotSent,
    NotYet,
    SetupError,
)
from include.enrichment.runs import passes
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.lake import Conflict
from include.gateways.ledger_store import Ledger, Recorded
from include.steps.files.chunk_files import Chunk


def write_over(known: Recorded[Entry] | None, entry: Entry, ledger: Ledger) -> Recorded[Entry]:
    """Replace the entry that was read. Raises NotYet if another task has changed it since."""
    try:
        return ledger.write(entry, over=known)
    except Conflict as error:
        raise NotYet(
            f"Another task has just changed the ledger entry of chunk {entry.chunk_id}. This task sends nothing and"
            " reads the entry again next time.",
            again_at=datetime.now(UTC) + submission.SOON,
        ) from error


def claim(
    chunk: Chunk,
    known: Recorded[Entry] | None,
    planned: RunFolder | None,
    ledger: Ledger,
    claude: Claude,
    run_id: str,
) -> Recorded[Entry]:
    """Record that a create is about to be sent, and which batch of the workspace was the newest before it."""
    try:
        fence = Fence(newest_batch=claude.newest_batch(), at=datetime.now(UTC))
    except ApiError as error:
        raise _retry_later(error, known.value.refusals + 1 if known else 1) from error
    entry = known.value if known else _planned_entry(chunk, run_id, fence.at)
    holders = entry.run_ids if run_id in entry.run_ids else [*entry.run_ids, run_id]
    claimed = entry.becomes(
        "submitting",
        at=datetime.now(UTC),
        run_id=run_id,
        run_ids=holders,
        # The chunk file names the partition of the run that planned it last.
        partition=str(planned.partition) if planned else chunk.partition,
        fence=fence,
        strangers=[],  # those were ruled out for an earlier create
    )
    return write_over(known, claimed, ledger)


def _planned_entry(chunk: Chunk, run_id: str, at: datetime) -> Entry:
    return Entry.planned(
        chunk_id=chunk.chunk_id,
        pipeline=chunk.pipeline,
        chunk=chunk.key,
        requests=len(chunk.request_ids),
        run_id=run_id,
        at=at,
    )


def release(claimed: Recorded[Entry], ledger: Ledger) -> Recorded[Entry]:
    """Take the claim back: nothing was sent or asked, and the chunk may be sent at any time."""
    return ledger.write(claimed.value.becomes("planned", at=datetime.now(UTC)), over=claimed)


def over_budget(
    error: BudgetExceeded, chunk: Chunk, claimed: Recorded[Entry], ledger: Ledger
) -> BudgetExceeded | NotSent:
    """
    Release a chunk that the month's budget does not allow, and return the error to raise.

    A run continues without its retry pass, so a chunk of that pass is withdrawn: nobody sends it any more.
    """
    released = release(claimed, ledger)
    if not passes.is_retry(chunk.pass_name or ""):
        return error
    was_open = ledger.open_chunks().get(chunk.chunk_id)
    withdrawn = released.value.becomes("withdrawn", at=datetime.now(UTC), was_open=was_open)
    ledger.write(withdrawn, over=released)
    return NotSent(f"The retry pass continues without chunk {chunk.chunk_id}. {error}")


def rejected(
    error: ApiError | SetupError | LakeError, claimed: Recorded[Entry], ledger: Ledger, *, size_bytes: int
) -> EnrichmentError:
    """Release a chunk of which certainly no batch was created, and return the error to raise."""
    entry, now = claimed.value, datetime.now(UTC)
    refusals, since = entry.refusals + 1, entry.refused_since or now
    ledger.write(entry.becomes("planned", at=now, refusals=refusals, refused_since=since), over=claimed)
    if isinstance(error, LakeError):
        return error
    hint = submission.may_never_fit(since, now=now, requests=entry.requests, size_bytes=size_bytes)
    return _retry_later(error, refusals, hint=hint)


def _retry_later(error: ApiError | SetupError, refusals: int, *, hint: str = "") -> EnrichmentError:
    if isinstance(error, SetupError) or not error.retryable:
        return error
    again_at = submission.refusal_ends_at(refusals, error.retry_after_seconds, now=datetime.now(UTC))
    return NotYet(f"{error} No batch was created (rejection {refusals} in a row).{hint}", again_at=again_at)


def unclear(error: BatchError, claimed: Recorded[Entry], ledger: Ledger) -> NotYet:
    """Record that only the API's list of batches can tell how the create ended, and return the error to raise."""
    refusals = claimed.value.refusals + 1
    recorded = ledger.write(claimed.value.becomes("unclear", at=datetime.now(UTC), refusals=refusals), over=claimed)
    return NotYet(
        f"{error} Nothing is sent again until the API's list of batches shows whether a batch was created.",
        again_at=min(datetime.now(UTC) + submission.SOON, submission.settled_at(recorded.value)),
    )


def record(batch_id: str, claimed: Recorded[Entry], ledger: Ledger, claude: Claude) -> None:
    """
    Record the batch of a claimed chunk.

    Raises BatchError if the ledger could not record it, or if another task has recorded another batch of the chunk in
    the meantime: then this one is canceled.
    """
    recorded: Recorded[Entry] | None = claimed
    try:
        while recorded:
            entry = recorded.value
            if entry.batch_id == batch_id:
                return  # another task has found it in the API's list
            if entry.batch_id:
                claude.cancel(batch_id)
                raise BatchError(
                    f"Chunk {entry.chunk_id} already has batch {entry.batch_id}, recorded at {entry.changed_at} by run"
                    f" {entry.run_id}, which assumed that this process had died. This process has created batch"
                    f" {batch_id} as well and canceled it at once; requests that it had already processed are billed"
                    " twice. Clear this task.",
                    batch_ids=[entry.batch_id, batch_id],
                )
            try:
                ledger.write(entry.becomes("submitted", at=datetime.now(UTC), batch_id=batch_id), over=recorded)
                return
            except Conflict:
                recorded = ledger.find(entry.chunk_id)
    except LakeError as error:
        raise BatchError(
            f"Batch {batch_id} ({claimed.value.requests:,} requests) was created, but the ledger could not record it:"
            f" {error} It was not canceled. The next try finds it in the API's list by its requests.",
            batch_ids=[batch_id],
            retryable=True,
        ) from error
    raise BatchError(
        f"Batch {batch_id} was created, but {ledger.locate(claimed.value.chunk_id)} was deleted in the meantime. The"
        " batch was not canceled. Do not change the ledger during a run. Clear this task to send the chunk again; to"
        " avoid paying for this batch, cancel it in the Claude console.",
        batch_ids=[batch_id],
    )
