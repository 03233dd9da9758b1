"""load: the results of an ended batch become validated outcomes in the result store."""

from __future__ import annotations

import json
import logging
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from include.enrichment import layout
from include.enrichment.errors import BatchNotFound, LoadError
from include.enrichment.outcome import Outcome, decode_line, judge, unreadable
from include.enrichment.output_schema import OutputSchema
from include.enrichment.poll import BatchStatus
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.gateways.ledger import Ledger
from include.gateways.results import Received, ResultStore, lines
from include.steps.chunks import Chunk, open_chunk

log = logging.getLogger(__name__)

_DOWNLOADS = 3


def load(chunk_key: str, batch_id: str, *, lake: Lake, claude: Claude) -> dict[str, int]:
    """
    Download, check and store the results of the chunk's batch; return the number of requests for each outcome.

    Nothing becomes visible before every line is there: a download that breaks off is begun again, three times in all. A
    batch that has been loaded is not downloaded again.

    Raises LoadError if the batch has not ended, or its lines do not reconcile with the requests that were sent.
    """
    with open_chunk(lake, chunk_key) as chunk:
        store = ResultStore(lake, pipeline=chunk.pipeline)
        counts = store.outcome_counts(batch_id, of=chunk.request_ids)
        if counts is None:
            try:
                status = claude.retrieve(batch_id)
                _check_ended(status, chunk)
                with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
                    received, counts = _download(chunk, status, Path(temporary), claude)
                    store.publish(batch_id, received)
            except BatchNotFound as error:
                raise _gone(batch_id, chunk, lake, error) from error
        _record_landed(chunk, lake)
    return counts


def _gone(batch_id: str, chunk: Chunk, lake: Lake, error: BatchNotFound) -> LoadError:
    entry = lake.locate(layout.ledger_entry(chunk.pipeline, chunk.chunk_id))
    return LoadError(
        f"{error} Nothing was loaded. A 404 may pass: clear this task. The API keeps results for 29 days after the"
        f" batch was made; if {batch_id} is older and was never loaded, its answers are gone: delete {entry} and start"
        " a new run, which pays for them again.",
        retryable=True,
    )


def _check_ended(status: BatchStatus, chunk: Chunk) -> None:
    if not status.ended:
        raise LoadError(
            f"Batch {status.batch_id} has not ended: {status.requests:,} requests are in processing. Nothing was"
            " loaded, nothing is lost."
            f" It ends by {status.expires_at:%Y-%m-%d %H:%M} UTC; clear `wait` to wait for it."
        )
    if status.requests != len(chunk.request_ids):
        raise LoadError(
            f"Batch {status.batch_id} holds {status.requests:,} requests, chunk {chunk.chunk_id}"
            f" {len(chunk.request_ids):,}: it is not this chunk's batch."
            f" Nothing was loaded. Compare the ledger entry with the batch in the Claude console."
        )


def _download(chunk: Chunk, status: BatchStatus, folder: Path, claude: Claude) -> tuple[Received, dict[str, int]]:
    for attempt in range(1, _DOWNLOADS + 1):
        try:
            return _download_once(chunk, status, folder, claude, lenient=attempt == _DOWNLOADS)
        except LoadError as error:
            if not error.retryable or attempt == _DOWNLOADS:
                raise
            log.warning("Download %d of %d: %s", attempt, _DOWNLOADS, error)
    raise AssertionError("the last attempt returns or raises")


def _download_once(
    chunk: Chunk, status: BatchStatus, folder: Path, claude: Claude, *, lenient: bool
) -> tuple[Received, dict[str, int]]:
    schema = OutputSchema(json.loads(chunk.schema_text)) if chunk.schema_text else None
    outstanding = set(chunk.request_ids)
    sent = frozenset(outstanding)
    counts: Counter[str] = Counter()
    received = Received(folder)
    with received, claude.results(status.batch_id) as pieces:

        def kept(piece: bytes) -> bytes:
            received.keep(piece)
            return piece

        for number, line in enumerate(lines(kept(piece) for piece in pieces), start=1):
            outcome = _outcome(line, number, status, schema, lenient=lenient)
            if outcome.request_id not in outstanding:
                raise _stranger(outcome.request_id, number, status, repeated=outcome.request_id in sent)
            outstanding.remove(outcome.request_id)
            counts[outcome.outcome] += 1
            received.add(outcome)
        lines_received = len(sent) - len(outstanding)
        if lines_received < status.requests:
            raise LoadError(
                f"Batch {status.batch_id}: {lines_received:,} of {status.requests:,} result lines were received."
                " Nothing of them became visible.",
                retryable=True,
            )
    return received, dict(counts)


def _outcome(line: bytes, number: int, status: BatchStatus, schema: OutputSchema | None, *, lenient: bool) -> Outcome:
    """
    The outcome of a line.

    A line that cannot be read most likely comes from a download that was cut. One that is still like that in the last
    download is the API's own, and must not keep the others from being loaded: if it says whose it is, it is invalid.
    Not so a line without its line feed, which may be cut even in a download that seems to have ended well.
    """
    try:
        return judge(decode_line(line), schema)
    except msgspec.DecodeError as error:
        if lenient and line.endswith(b"\n") and (outcome := unreadable(line, error)):
            return outcome
        raise LoadError(
            f"Line {number:,} of batch {status.batch_id}'s results cannot be read ({error}): the download was"
            " cut or garbled. Nothing of it became visible.",
            retryable=True,
        ) from error


def _stranger(custom_id: str, number: int, status: BatchStatus, *, repeated: bool) -> LoadError:
    fact = "stands twice" if repeated else "was not sent with this batch"
    return LoadError(
        f"Line {number:,} of batch {status.batch_id}'s results: request {custom_id!r} {fact}. Nothing was loaded; the"
        " results stay at the API for 29 days."
        " Clear this task to try again; if it stays so, tell Anthropic's support the batch id.",
        retryable=True,
    )


def _record_landed(chunk: Chunk, lake: Lake) -> None:
    ledger = Ledger(lake)
    recorded = ledger.find(chunk.pipeline, chunk.chunk_id)
    if recorded and recorded.entry.state == "submitted":
        ledger.write(recorded.entry.becomes("landed", at=datetime.now(UTC)), over=recorded)
