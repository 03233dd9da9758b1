"""submit: a chunk becomes a batch, once."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from include.enrichment.errors import ApiError, BatchError, EnrichmentError, SetupError
from include.enrichment.ledger import Entry
from include.gateways.claude import Claude
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger import Ledger, Recorded
from include.steps.chunks import Chunk, open_chunk

#: How long another task may need for its create. A `submitting` entry that is older than this belongs to a process that
#: died.
_ANOTHER_IS_AT_WORK = timedelta(minutes=35)


def submit(chunk_key: str, *, run_id: str, lake: Lake, claude: Claude) -> str:
    """
    Submit the chunk as a batch and return the batch's id.

    A chunk that the ledger knows as submitted is not sent again, whichever run sent it: its batch id is returned. Where
    it is not clear whether a batch was made, nothing is sent.

    Raises ApiError or SetupError if the API refused (nothing was made, the task may run again), BatchError if a batch
    may exist that nobody has recorded.
    """
    ledger = Ledger(lake)
    with open_chunk(lake, chunk_key) as chunk:
        known = ledger.find(chunk.pipeline, chunk.chunk_id)
        if known and known.entry.batch_id:
            return known.entry.batch_id
        claimed = _claim(chunk, known, ledger, run_id)
        batch_id = _create(chunk, claimed, ledger, claude)
    try:
        ledger.write(claimed.entry.becomes("submitted", at=datetime.now(UTC), batch_id=batch_id), over=claimed)
    except EnrichmentError as error:
        raise BatchError(
            f"Batch {batch_id} ({len(chunk.request_ids):,} requests) was made, but the ledger could not record it:"
            f" {error}"
            f" It was not cancelled. {_by_hand(ledger, claimed.entry)}",
            batch_ids=[batch_id],
        ) from error
    return batch_id


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
        raise _unclear(known.entry, ledger, now)
    else:
        entry = known.entry.becomes("submitting", at=now)
    try:
        return ledger.write(entry, over=known)
    except Conflict as error:
        raise BatchError(
            f"Another run is submitting chunk {chunk.chunk_id} at this moment. This one sends nothing.", retryable=True
        ) from error


def _create(chunk: Chunk, claimed: Recorded, ledger: Ledger, claude: Claude) -> str:
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        body = Path(temporary) / "body.json"
        chunk.write_body(body)
        try:
            with body.open("rb") as file:
                return claude.create(file, requests=len(chunk.request_ids))
        except (ApiError, SetupError):
            ledger.write(claimed.entry.becomes("planned", at=datetime.now(UTC)), over=claimed)
            raise
        except BatchError as error:
            raise BatchError(f"{error} {_by_hand(ledger, claimed.entry)}") from error


def _unclear(entry: Entry, ledger: Ledger, now: datetime) -> BatchError:
    since = f"{entry.changed_at:%Y-%m-%d %H:%M:%S} UTC, by run {entry.run_id}"
    fact = f"Chunk {entry.chunk_id} ({entry.requests:,} requests) has been `submitting` since {since}."
    if now - entry.changed_at < _ANOTHER_IS_AT_WORK:
        return BatchError(
            f"{fact} Another task may be at work; this one sends nothing and looks again later."
            f" {_by_hand(ledger, entry)}",
            retryable=True,
        )
    return BatchError(
        f"{fact} The process that did it died, and whether it made a batch is not known: sending again may pay twice."
        f" {_by_hand(ledger, entry)}"
    )


def _by_hand(ledger: Ledger, entry: Entry) -> str:
    return (
        f"Look in the Claude console for a batch of {entry.requests:,} requests made after"
        f' {entry.changed_at:%H:%M:%S} UTC. If there is one, set "state": "submitted" and its "batch_id" in'
        f" {ledger.locate(entry)}; if there surely is none, delete that object. Then clear this task."
    )
