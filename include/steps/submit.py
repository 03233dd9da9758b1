"""submit: a chunk becomes a batch, once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import msgspec

from include.enrichment.answers.outcome import decode_line
from include.enrichment.batches import submission
from include.enrichment.batches.ledger import UNSETTLED, Entry, Fence
from include.enrichment.batches.poll import BatchStatus
from include.enrichment.batches.submission import Attach, Settle, Withdrawn
from include.enrichment.errors import (
    ApiError,
    BatchError,
    BatchNotFound,
    BudgetExceeded,
    EnrichmentError,
    LakeError,
    LoadError,
    NotSent,
    NotYet,
    SetupError,
)
from include.enrichment.runs import passes
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.gateways.result_store import lines
from include.steps.files.chunk_files import Chunk, open_body, read_chunk
from include.steps.planning.estimator import check_month
from include.steps.planning.remainder import write_remainder
from include.steps.warm_up import keep_warm

log = logging.getLogger(__name__)

_DOWNLOADS = 3


def submit(chunk_key: str, *, run_id: str, lake: Lake, claude: Claude) -> str:
    """
    Submit the chunk as a batch and return the batch's id.

    A chunk that the ledger knows as submitted is not sent again, whichever run sent it: its batch id is returned. Where
    a create ended without a clear answer, or its process died, the batch it made is looked for and adopted; the chunk
    is sent again only when there surely is none, and only by a run that has planned it. Where another plan has taken
    requests of the chunk over, what is left of it is sent in its place. Where the prompt cache has run cold, a batch of
    one request may go ahead of it: see warm.py.

    Raises NotYet if the API takes no batch now (nothing was made), or as long as it is not clear whether a batch was
    made, another task is sending the chunk, or the cache is being warmed: call again at the time it names. Raises
    NotSent if the chunk has nothing for this run to send, BudgetExceeded if other runs have used up the month's
    budget since it was planned, SetupError or ApiError if the API refuses for a reason that waiting does not mend,
    BatchError for what needs a person.
    """
    chunk = read_chunk(lake, chunk_key)
    ledger = Ledger(lake, pipeline=chunk.pipeline)
    known = ledger.find(chunk.chunk_id)
    match submission.next_action(known.value if known else None):
        case Attach() if known:
            return _attach(known, ledger, run_id)
        case Withdrawn() if known:
            left = write_remainder(chunk, known.value, run_id=run_id, ledger=ledger, lake=lake)
            return submit(left, run_id=run_id, lake=lake, claude=claude)
        case Settle() if known:
            known = _settle(chunk, known, ledger, claude)
            if (again := ledger.find(chunk.chunk_id)) and again.value.batch_id:
                return _attach(again, ledger, run_id)
    planned = _planned_by(run_id, chunk, known, ledger)
    keep_warm(chunk, lake=lake, claude=claude, send=partial(submit, run_id=run_id, lake=lake, claude=claude))
    # Over what was looked at, not over what is there now: somebody else may have settled it too, and be sending.
    return _send(chunk, known, planned, ledger, lake, claude, run_id)


def _planned_by(run_id: str, chunk: Chunk, known: Recorded[Entry] | None, ledger: Ledger) -> RunFolder | None:
    """
    The folder of the run, which has planned the chunk; None where no run has: it warms the prompt cache, or holds
    requests that are not a pipeline's.

    Raises NotSent if only other runs have: the chunk is within their rows, their limits and their budgets.

    :param known: its entry; of a create that surely has made nothing, if it is unsettled
    """
    if chunk.partition is None or chunk.pass_name == passes.WARM_UP:
        return None
    recorded = ledger.find_open()
    opened = recorded.value.chunks.get(chunk.chunk_id) if recorded else None
    if folder := layout.folder_of_run(opened.planned_by if opened else [], run_id):
        return folder
    if known and known.value.state in UNSETTLED:
        _write_over(known, known.value.becomes("planned", at=datetime.now(UTC)), ledger)
    raise NotSent(
        f"Chunk {chunk.chunk_id} ({len(chunk.request_ids):,} requests) was never sent, and this run has not planned it:"
        " it waited for another run to send it. The next pass of this run plans what it needs of it."
    )


def _attach(known: Recorded[Entry], ledger: Ledger, run_id: str) -> str:
    entry = known.value
    assert entry.batch_id
    while run_id not in entry.run_ids:
        try:
            ledger.write(entry := entry.held_by(run_id), over=known)
        except Conflict:
            if (again := ledger.find(entry.chunk_id)) is None:
                raise
            known, entry = again, again.value
    log.info(
        "Already submitted as batch %s (%s requests, by run %s, %s since %s): nothing is sent, nothing is paid",
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
) -> str:
    lake.check_conditional_writes()
    # Whatever can fail without a paid call fails before the claim, which says that a batch may exist.
    with open_body(lake, chunk) as body:
        claimed = _claim(chunk, known, planned, ledger, claude, run_id)
        try:
            if planned:
                # After the claim: of two that claim at the same moment the second sees the first.
                check_month(claimed.value, planned, ledger, lake)
            batch_id = claude.create(body, since=claimed.value.changed_at)
        except NotYet:
            ledger.write(claimed.value.becomes("planned", at=datetime.now(UTC)), over=claimed)
            raise
        except BudgetExceeded as error:
            raise _unaffordable(error, chunk, claimed, ledger) from error
        except (ApiError, SetupError, LakeError) as refusal:
            raise _refused(refusal, claimed, ledger, size_bytes=body.length) from refusal
        except BatchError as unclear:
            raise _unclear(unclear, claimed, ledger) from unclear
    _record(batch_id, claimed, ledger, claude)
    log.info("%s requests submitted as batch %s", f"{len(chunk.request_ids):,}", batch_id)
    return batch_id


def _claim(
    chunk: Chunk,
    known: Recorded[Entry] | None,
    planned: RunFolder | None,
    ledger: Ledger,
    claude: Claude,
    run_id: str,
) -> Recorded[Entry]:
    """Say that a create is about to be sent, and what the workspace looked like before it."""
    try:
        fence = Fence(newest_batch=claude.newest_batch(), at=datetime.now(UTC))
    except ApiError as error:
        raise _later(error, known.value.refusals + 1 if known else 1) from error
    entry = known.value if known else _planned(chunk, run_id, fence.at)
    holders = entry.run_ids if run_id in entry.run_ids else [*entry.run_ids, run_id]
    claim = entry.becomes(
        "submitting",
        at=datetime.now(UTC),
        run_id=run_id,
        run_ids=holders,
        # The chunk's file tells the partition of whoever has planned it last.
        partition=str(planned.partition) if planned else chunk.partition,
        fence=fence,
        strangers=[],  # what was learned of the create before belongs to it
    )
    return _write_over(known, claim, ledger)


def _write_over(known: Recorded[Entry] | None, entry: Entry, ledger: Ledger) -> Recorded[Entry]:
    try:
        return ledger.write(entry, over=known)
    except Conflict as error:
        raise NotYet(
            f"Another task has just changed the ledger entry of chunk {entry.chunk_id}. This one sends nothing, and"
            " goes by what it finds there next time.",
            again_at=datetime.now(UTC) + submission.SOON,
        ) from error


def _planned(chunk: Chunk, run_id: str, at: datetime) -> Entry:
    return Entry.planned(
        chunk_id=chunk.chunk_id,
        pipeline=chunk.pipeline,
        chunk=chunk.key,
        requests=len(chunk.request_ids),
        run_id=run_id,
        at=at,
    )


def _unaffordable(
    error: BudgetExceeded, chunk: Chunk, claimed: Recorded[Entry], ledger: Ledger
) -> BudgetExceeded | NotSent:
    """Nothing was sent. A run goes on without its retry pass, and then nobody sends the chunk any more."""
    planned = claimed.value.becomes("planned", at=datetime.now(UTC))
    recorded = ledger.write(planned, over=claimed)
    if not passes.is_retry(chunk.pass_name or ""):
        return error
    open_now = ledger.find_open()
    was_open = open_now.value.chunks.get(chunk.chunk_id) if open_now else None
    ledger.write(planned.becomes("withdrawn", at=datetime.now(UTC), was_open=was_open), over=recorded)
    return NotSent(f"The retry pass goes on without chunk {chunk.chunk_id}. {error}")


def _refused(
    refusal: ApiError | SetupError | LakeError, claimed: Recorded[Entry], ledger: Ledger, *, size_bytes: int
) -> EnrichmentError:
    """Surely nothing was made: the chunk is open to be sent again, at once or later."""
    entry, now = claimed.value, datetime.now(UTC)
    refusals, since = entry.refusals + 1, entry.refused_since or now
    ledger.write(entry.becomes("planned", at=now, refusals=refusals, refused_since=since), over=claimed)
    if isinstance(refusal, LakeError):
        return refusal
    hint = submission.may_never_fit(since, now=now, requests=entry.requests, size_bytes=size_bytes)
    return _later(refusal, refusals, hint=hint)


def _later(refusal: ApiError | SetupError, refusals: int, *, hint: str = "") -> EnrichmentError:
    if isinstance(refusal, SetupError) or not refusal.retryable:
        return refusal
    again_at = submission.refusal_ends_at(refusals, refusal.retry_after_seconds, now=datetime.now(UTC))
    return NotYet(f"{refusal} No batch was made (refusal {refusals} in a row).{hint}", again_at=again_at)


def _unclear(unclear: BatchError, claimed: Recorded[Entry], ledger: Ledger) -> NotYet:
    """The call has ended, but not how: from now on only the list of batches can tell."""
    refusals = claimed.value.refusals + 1
    recorded = ledger.write(claimed.value.becomes("unclear", at=datetime.now(UTC), refusals=refusals), over=claimed)
    return NotYet(
        f"{unclear} Nothing is sent again before the API's list of batches has told.",
        again_at=min(datetime.now(UTC) + submission.SOON, submission.settled_at(recorded.value)),
    )


def _record(batch_id: str, claimed: Recorded[Entry], ledger: Ledger, claude: Claude) -> None:
    recorded: Recorded[Entry] | None = claimed
    try:
        while recorded:
            entry = recorded.value
            if entry.batch_id == batch_id:
                return  # somebody has found it in the list meanwhile
            if entry.batch_id:
                claude.cancel(batch_id)
                raise BatchError(
                    f"Chunk {entry.chunk_id} has batch {entry.batch_id} in the ledger since {entry.changed_at}, by run"
                    f" {entry.run_id}: this process was thought dead, and its own batch {batch_id} was made all the"
                    " same. It was cancelled at once; what it had begun is paid twice. Clear this task.",
                    batch_ids=[entry.batch_id, batch_id],
                )
            try:
                ledger.write(entry.becomes("submitted", at=datetime.now(UTC), batch_id=batch_id), over=recorded)
                return
            except Conflict:
                recorded = ledger.find(entry.chunk_id)
    except LakeError as error:
        raise BatchError(
            f"Batch {batch_id} ({claimed.value.requests:,} requests) was made, but the ledger could not record it:"
            f" {error} It was not cancelled. The next try finds it in the API's list, by what it holds.",
            batch_ids=[batch_id],
            retryable=True,
        ) from error
    raise BatchError(
        f"Batch {batch_id} was made, but {ledger.locate(claimed.value.chunk_id)} was deleted meanwhile. The batch was"
        " not cancelled. Leave the ledger alone while a run is under way; clear this task to send the chunk again, and"
        " cancel the batch in the Claude console if it is not to be paid.",
        batch_ids=[batch_id],
    )


def _settle(chunk: Chunk, known: Recorded[Entry], ledger: Ledger, claude: Claude) -> Recorded[Entry]:
    """
    Find the batch that an unclear create has made, and record it. Returns also if surely none was made: the entry that
    says so, as it was looked at.

    Raises NotYet while neither is certain, BatchError if the results of a batch that may be the one could not be read
    for so long that nobody but a person can tell.
    """
    entry = known.value
    assert entry.fence
    try:
        listed = claude.batches_since(entry.fence.newest_batch, not_before=entry.fence.at - submission.CLOCK_SKEW)
        found = submission.find_candidates(entry, listed, ledger.claimed_batches())
    except ApiError as error:
        raise _not_listed(error, entry) from error
    looked = _look_at([batch for batch in found if batch.ended], chunk, claude)
    if looked.ours:
        _record(looked.ours, known, ledger, claude)
        log.warning(
            "Batch %s was made by a create whose answer was lost (by run %s, %s). Its results hold this chunk's"
            " requests: it was adopted, and nothing is sent again",
            looked.ours,
            entry.run_id,
            f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC",
        )
        return known
    if looked.strangers:
        known = _write_over(known, entry.knowing(looked.strangers), ledger)
    running = [batch for batch in found if not batch.ended]
    if looked.unread:
        raise _unread(looked.unread, entry)
    if again_at := submission.check_again_at(entry, running, now=datetime.now(UTC)):
        raise NotYet(_spell_unsettled(entry, running), again_at=again_at)
    log.warning(
        "The create of %s by run %s ended without an answer, and no batch of it is to be found: none was made. The"
        " chunk may be sent again",
        f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC",
        entry.run_id,
    )
    return known


def _not_listed(error: ApiError, entry: Entry) -> EnrichmentError:
    if not error.retryable and not isinstance(error, BatchNotFound):
        return error
    return NotYet(
        f"{error} So it cannot be told yet whether the create of chunk {entry.chunk_id}, whose answer was lost, has"
        " made a batch. Nothing is sent again before that is clear.",
        again_at=submission.refusal_ends_at(1, error.retry_after_seconds, now=datetime.now(UTC)),
    )


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """
    What the results of some ended batches tell.

    :param ours: the batch that is made of the chunk's requests; None if none surely is
    :param strangers: those that surely are not
    :param unread: those whose results do not tell, with why
    """

    ours: str | None = None
    strangers: list[str] = field(default_factory=list)
    unread: list[tuple[BatchStatus, EnrichmentError]] = field(default_factory=list)


def _look_at(batches: Iterable[BatchStatus], chunk: Chunk, claude: Claude) -> _Looked:
    """
    Look through the results until the chunk's batch is found. One that cannot be read may be a stranger's, and keeps
    nobody from finding ours among the others.

    Raises ApiError if the API refuses for good.
    """
    strangers: list[str] = []
    unread: list[tuple[BatchStatus, EnrichmentError]] = []
    for batch in batches:
        try:
            if _is_ours(batch, chunk, claude):
                return _Looked(ours=batch.batch_id)
            strangers.append(batch.batch_id)
        except (ApiError, LoadError) as error:
            if not error.retryable and not isinstance(error, BatchNotFound):
                raise
            unread.append((batch, error))
    return _Looked(strangers=strangers, unread=unread)


def _unread(unread: Sequence[tuple[BatchStatus, EnrichmentError]], entry: Entry) -> EnrichmentError:
    """What follows from results that do not tell whose they are: nothing is sent before they do."""
    batch, why = unread[0]
    names = ", ".join(batch.batch_id for batch, _ in unread)
    message = (
        f"{why} The create of chunk {entry.chunk_id} ({entry.requests:,} requests) by run {entry.run_id} ended without"
        f" an answer, and of the batches made since then {len(unread)} may be its own ({names}), whose results cannot"
        " be told apart. Nothing is sent again before that is clear."
    )
    now = datetime.now(UTC)
    if again_at := submission.read_again_at(batch, now=now):
        retry_after = why.retry_after_seconds if isinstance(why, ApiError) else None
        asked = submission.refusal_ends_at(1, retry_after, now=now) if retry_after is not None else again_at
        return NotYet(message, again_at=max(again_at, asked))
    return BatchError(
        f"{message} They are still unreadable two days after they were made. Check in the Claude console"
        f" whose they are. If none holds this chunk's requests, delete the ledger entry {entry.chunk_id} and"
        " clear this task. It sends the chunk again, and pays again if one of them did.",
        batch_ids=[batch.batch_id for batch, _ in unread],
    )


def _is_ours(batch: BatchStatus, chunk: Chunk, claude: Claude) -> bool:
    """
    Whether the ended batch is made of the chunk's requests. Raises LoadError where its results do not tell: that must
    not be guessed.
    """
    ids = set(chunk.request_ids)
    for _ in range(_DOWNLOADS):
        ours = strangers = 0
        with claude.results(batch.batch_id) as pieces:
            for line in lines(pieces):
                try:
                    known = decode_line(line).custom_id in ids
                except msgspec.DecodeError:
                    continue
                ours, strangers = ours + known, strangers + (not known)
                if not ours and strangers == submission.TELLING_LINES:
                    return False
        if verdict := submission.classify_ownership(ours, strangers, requests=len(ids)):
            return verdict == "ours"
    raise LoadError(
        f"The results of batch {batch.batch_id} do not tell whether it is chunk {chunk.chunk_id}'s: {ours:,} lines"
        f" are of its {len(ids):,} requests, {strangers:,} are not. Nothing is sent before that is clear.",
        retryable=True,
    )


def _spell_unsettled(entry: Entry, running: Sequence[BatchStatus]) -> str:
    since = f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC, by run {entry.run_id}"
    fact = f"Chunk {entry.chunk_id} ({entry.requests:,} requests) is {entry.state} since {since}."
    if running:
        batches = ", ".join(batch.batch_id for batch in running)
        return (
            f"{fact} Of the batches made since then {len(running)} may be its own ({batches}), which only the results"
            " can tell. Waiting until they have ended; nothing is sent again."
        )
    return (
        f"{fact} Another task may be sending it, or its batch may not be listed yet. Nothing is sent again before"
        f" {submission.settled_at(entry):%H:%M:%S} UTC."
    )
