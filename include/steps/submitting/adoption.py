"""The adoption of a batch whose create got no response: the API lists it, and its results show that it is ours."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from include.enrichment.answers.outcome import decode_line
from include.enrichment.batches import submission
from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.poll import BatchStatus
from include.enrichment.errors import ApiError, BatchError, BatchNotFound, EnrichmentError, LoadError, NotYet
from include.gateways.claude import Claude
from include.gateways.ledger_store import Ledger, Recorded
from include.gateways.result_store import lines
from include.steps.files.chunk_files import Chunk
from include.steps.submitting.claim import record, write_over

log = logging.getLogger(__name__)

_DOWNLOADS = 3


def settle(chunk: Chunk, known: Recorded[Entry], ledger: Ledger, claude: Claude) -> Recorded[Entry]:
    """
    Find and record the batch that an unclear create made. Return the entry as it was last read.

    Returning without a recorded batch means that certainly none was created. Raises NotYet while that is uncertain, and
    BatchError if the results of a batch that may be the one stayed unreadable for so long that a person has to decide.
    """
    entry = known.value
    assert entry.fence
    try:
        listed = claude.batches_since(entry.fence.newest_batch, not_before=entry.fence.at - submission.CLOCK_SKEW)
        found = submission.find_candidates(entry, listed, ledger.claimed_batches())
    except ApiError as error:
        raise _not_listed(error, entry) from error
    examined = _examine([batch for batch in found if batch.ended], chunk, claude)
    if examined.ours:
        record(examined.ours, known, ledger, claude)
        log.warning(
            "Run %s created batch %s at %s and got no response. Its results hold this chunk's requests, so it was"
            " adopted; nothing is sent again",
            entry.run_id,
            examined.ours,
            f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC",
        )
        return known
    if examined.strangers:
        known = write_over(known, entry.with_strangers(examined.strangers), ledger)
    running = [batch for batch in found if not batch.ended]
    if examined.unread:
        raise _unreadable(examined.unread, entry)
    if again_at := submission.check_again_at(entry, running, now=datetime.now(UTC)):
        raise NotYet(_describe_unsettled(entry, running), again_at=again_at)
    log.warning(
        "Run %s got no response to its create at %s, and the API lists no batch of it: none was created. The chunk may"
        " be sent again",
        entry.run_id,
        f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC",
    )
    return known


def _not_listed(error: ApiError, entry: Entry) -> EnrichmentError:
    if not error.retryable and not isinstance(error, BatchNotFound):
        return error
    return NotYet(
        f"{error} So it is not known yet whether the create of chunk {entry.chunk_id}, which got no response, made a"
        " batch. Nothing is sent again until that is clear.",
        again_at=submission.refusal_ends_at(1, error.retry_after_seconds, now=datetime.now(UTC)),
    )


@dataclass(frozen=True, kw_only=True)
class _Examined:
    """
    The result of examining ended batches.

    :param ours: the batch that was made of the chunk's requests; None if no batch certainly is
    :param strangers: batches that certainly are not
    :param unread: batches whose results do not show it, with the reason
    """

    ours: str | None = None
    strangers: list[str] = field(default_factory=list)
    unread: list[tuple[BatchStatus, EnrichmentError]] = field(default_factory=list)


def _examine(batches: Iterable[BatchStatus], chunk: Chunk, claude: Claude) -> _Examined:
    """
    Read the results of these batches until the chunk's batch is found.

    A batch that cannot be read may be another program's, so the search continues after it. Raises ApiError for an error
    that a retry does not fix.
    """
    strangers: list[str] = []
    unread: list[tuple[BatchStatus, EnrichmentError]] = []
    for batch in batches:
        try:
            if _is_ours(batch, chunk, claude):
                return _Examined(ours=batch.batch_id)
            strangers.append(batch.batch_id)
        except (ApiError, LoadError) as error:
            if not error.retryable and not isinstance(error, BatchNotFound):
                raise
            unread.append((batch, error))
    return _Examined(strangers=strangers, unread=unread)


def _is_ours(batch: BatchStatus, chunk: Chunk, claude: Claude) -> bool:
    """Whether the ended batch was made of the chunk's requests. Raises LoadError if its results do not show it."""
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
        f"The results of batch {batch.batch_id} do not show whether it belongs to chunk {chunk.chunk_id}: {ours:,}"
        f" lines match its {len(ids):,} requests, {strangers:,} do not. Nothing is sent until that is clear.",
        retryable=True,
    )


def _unreadable(unread: Sequence[tuple[BatchStatus, EnrichmentError]], entry: Entry) -> EnrichmentError:
    """The error for batches that may be the chunk's and cannot be read: to be retried, or left to a person."""
    batch, why = unread[0]
    names = ", ".join(batch.batch_id for batch, _ in unread)
    message = (
        f"{why} Run {entry.run_id} got no response to the create of chunk {entry.chunk_id} ({entry.requests:,}"
        f" requests). {len(unread):,} of the batches created since then may be its own ({names}), but their results do"
        " not show it. Nothing is sent again until that is clear."
    )
    now = datetime.now(UTC)
    if again_at := submission.read_again_at(batch, now=now):
        retry_after = why.retry_after_seconds if isinstance(why, ApiError) else None
        requested = submission.refusal_ends_at(1, retry_after, now=now) if retry_after is not None else again_at
        return NotYet(message, again_at=max(again_at, requested))
    return BatchError(
        f"{message} They are still unreadable two days after they were created. Check in the Claude console"
        f" whose they are. If none holds this chunk's requests, delete the ledger entry {entry.chunk_id} and"
        " clear this task. It sends the chunk again, and pays again if one of them did.",
        batch_ids=[batch.batch_id for batch, _ in unread],
    )


def _describe_unsettled(entry: Entry, running: Sequence[BatchStatus]) -> str:
    since = f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC, by run {entry.run_id}"
    fact = f"Chunk {entry.chunk_id} ({entry.requests:,} requests) has been {entry.state} since {since}."
    if running:
        batches = ", ".join(batch.batch_id for batch in running)
        return (
            f"{fact} {len(running):,} of the batches created since then may be its own ({batches}), which only results"
            " can show. Waiting until they have ended; nothing is sent again."
        )
    return (
        f"{fact} Another task may be sending it, or its batch may not be listed yet. Nothing is sent again before"
        f" {submission.settled_at(entry):%H:%M:%S} UTC."
    )
