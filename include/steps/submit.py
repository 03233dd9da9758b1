"""submit: a chunk becomes a batch, once."""

from __future__ import annotations

import logging
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.enrichment.errors import ApiError, BatchError, EnrichmentError, SetupError
from include.enrichment.ledger import Entry
from include.gateways.claude import Claude
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger import Ledger, Recorded
from include.steps.chunks import Chunk, open_chunk

log = logging.getLogger(__name__)

#: How long another task may need for its create. A `submitting` entry that is older than this belongs to a process that
#: died.
_ANOTHER_IS_AT_WORK = timedelta(minutes=60)


def submit(chunk_key: str, *, run_id: str, lake: Lake, claude: Claude) -> str:
    """
    Submit the chunk as a batch and return the batch's id.

    A chunk that the ledger knows as submitted is not sent again, whichever run sent it: its batch id is returned. Where
    it is not clear whether a batch was made, nothing is sent.

    Raises ApiError or SetupError if the API refused (nothing was made, the task may run again), BatchError if a batch
    may exist that nobody has recorded.
    """
    ledger = Ledger(lake)
    with open_chunk(lake, chunk_key) as chunk, tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        known = ledger.find(chunk.pipeline, chunk.chunk_id)
        if known and known.entry.batch_id:
            _log_reused(known.entry)
            return known.entry.batch_id
        # Whatever can fail without the API fails before the claim, which says that a batch may exist.
        body = Path(temporary) / "body.json"
        chunk.write_body(body)
        claimed = _claim(chunk, known, ledger, run_id)
        batch_id = _create(body, chunk, claimed, ledger, claude)
    try:
        ledger.write(claimed.entry.becomes("submitted", at=datetime.now(UTC), batch_id=batch_id), over=claimed)
    except EnrichmentError as error:
        raise BatchError(
            f"Batch {batch_id} ({len(chunk.request_ids):,} requests) was made, but the ledger could not record it:"
            f" {error}"
            f" It was not cancelled. {_by_hand(chunk, ledger, claimed.entry)}",
            batch_ids=[batch_id],
        ) from error
    log.info("%s requests submitted as batch %s", f"{len(chunk.request_ids):,}", batch_id)
    return batch_id


def _log_reused(entry: Entry) -> None:
    log.info(
        "Already submitted as batch %s (%s requests, by run %s, %s since %s): nothing is sent, nothing is paid",
        entry.batch_id,
        f"{entry.requests:,}",
        entry.run_id,
        entry.state,
        f"{entry.changed_at:%Y-%m-%d %H:%M} UTC",
    )


def _claim(chunk: Chunk, known: Recorded | None, ledger: Ledger, run_id: str) -> Recorded:
    now = datetime.now(UTC)
    if known is None:
        entry = Entry(
            chunk_id=chunk.chunk_id,
            pipeline=chunk.pipeline,
            chunk=chunk.key,
            requests=len(chunk.request_ids),
            run_id=run_id,
            state="submitting",
            changed_at=now,
        )
    elif known.entry.state == "submitting":
        raise _unclear(known.entry, chunk, ledger, now)
    else:
        entry = known.entry.becomes("submitting", at=now, run_id=run_id)
    try:
        return ledger.write(entry, over=known)
    except Conflict as error:
        raise BatchError(
            f"Another run is submitting chunk {chunk.chunk_id} at this moment. This one sends nothing.", retryable=True
        ) from error


def _create(body: Path, chunk: Chunk, claimed: Recorded, ledger: Ledger, claude: Claude) -> str:
    try:
        with body.open("rb") as file:
            return claude.create(file, requests=len(chunk.request_ids))
    except (ApiError, SetupError) as refusal:
        _give_back(claimed, ledger, refusal)
        raise
    except BatchError as error:
        raise BatchError(f"{error} {_by_hand(chunk, ledger, claimed.entry)}") from error


def _give_back(claimed: Recorded, ledger: Ledger, refusal: EnrichmentError) -> None:
    """The API has surely made nothing, so the chunk may be sent again."""
    try:
        ledger.write(claimed.entry.becomes("planned", at=datetime.now(UTC)), over=claimed)
    except EnrichmentError as error:
        raise BatchError(
            f"{refusal} Surely no batch was made, but the ledger could not record that: {error}"
            f" Delete {ledger.locate(claimed.entry)}, then clear this task."
        ) from refusal


def _unclear(entry: Entry, chunk: Chunk, ledger: Ledger, now: datetime) -> BatchError:
    since = f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC, by run {entry.run_id}"
    fact = f"Chunk {entry.chunk_id} ({entry.requests:,} requests) has been `submitting` since {since}."
    if now - entry.changed_at < _ANOTHER_IS_AT_WORK:
        return BatchError(
            f"{fact} Another task may be at work; this one sends nothing. Clear it after"
            f" {entry.changed_at + _ANOTHER_IS_AT_WORK:%H:%M} UTC if its retries end before that.",
            retryable=True,
        )
    return BatchError(
        f"{fact} The process that did it died, and whether it made a batch is not known: sending again may pay twice."
        f" {_by_hand(chunk, ledger, entry)}"
    )


def _by_hand(chunk: Chunk, ledger: Ledger, entry: Entry) -> str:
    return (
        f"Look in the Claude console for a batch of {entry.requests:,} requests made after"
        f" {entry.changed_at:%Y-%m-%d %H:%M:%S} UTC whose results hold the custom_id {chunk.request_ids[0]}."
        f' If there is one, set "state": "submitted" and its "batch_id" in {ledger.locate(entry)};'
        " if there surely is none, delete that object. Then clear this task."
    )
