"""load: the results of an ended batch become validated outcomes in the result store."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import missing_outcome, outcomes_batch
from include.enrichment.answers.reject_messages import Rejected, loaded_lines
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.poll import BatchStatus
from include.enrichment.batches.usage import BatchFacts, count_outcomes, make_usage_record, usage_columns
from include.enrichment.errors import ApiError, BatchNotFound, LoadError
from include.enrichment.storage import layout
from include.gateways.claude import Claude
from include.gateways.disk import working_folder
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.gateways.prefetch import prefetch
from include.gateways.result_store import Part, Received, ResultStore
from include.gateways.usage_store import UsageStore
from include.steps.files.chunk_files import Chunk, read_chunk
from include.steps.loading.decoding import decode
from include.steps.loading.judging import Judge

log = logging.getLogger(__name__)

_DOWNLOADS = 3
#: So many lines may be missing at the API in a small batch; in a large one it is 1 %.
_FEW_LINES = 10


def load(chunk_key: str, batch_id: str, *, lake: Lake, claude: Claude, accept_missing: bool = False) -> dict[str, int]:
    """
    Download, check and store the results of the chunk's batch; return the number of requests for each outcome.

    Nothing becomes visible before every line is there: a download that breaks off is begun again, three times in all. A
    batch that has been loaded is not downloaded again; where only its raw copy is left, that is read, as the API keeps
    results for 29 days only. What the batch cost is booked once, however often it is loaded; a load that knows more of
    it than the one before replaces that line.

    :param accept_missing: take a few lines that no download held for outcomes of their own, ``missing``, and lines that
        none held whole for ``invalid`` ones. The first may have been paid for, and a retry pass asks for them again:
        not to be done before time has been given to the API

    Raises LoadError if the batch has not ended, or its lines do not reconcile with the requests that were sent.
    """
    chunk = read_chunk(lake, chunk_key)
    ledger = Ledger(lake, pipeline=chunk.pipeline)
    recorded = ledger.find(chunk.chunk_id)
    if recorded and (left := recorded.value.remainder):
        left = layout.chunk(chunk.pipeline, left)
        return load(left, batch_id, lake=lake, claude=claude, accept_missing=accept_missing)
    store = ResultStore(lake, pipeline=chunk.pipeline)
    unusable = Rejected()
    counts = store.outcome_counts(batch_id, of=chunk.request_ids)
    if counts is None:
        entry = recorded.value if recorded else None
        with working_folder() as temporary, _lean_memory():
            if raw := store.raw(batch_id):
                made_at = _made_at(batch_id, chunk, entry, lake, claude)
                received = Received(temporary, facts=_facts(batch_id, chunk, entry, made_at))
                sums, unusable = _read(raw, received, chunk, batch_id, lake, final=True)
                log.info("Batch %s is loaded anew, from the raw copy of its results", batch_id)
            else:
                made_at = _ended(batch_id, chunk, lake, claude).created_at
                received = Received(temporary, facts=_facts(batch_id, chunk, entry, made_at))
                sums, unusable = _download(chunk, batch_id, received, lake, claude, accept_missing=accept_missing)
            # What is visible is in the books: a plan that counts what was spent would miss it otherwise.
            UsageStore(lake).add(make_usage_record(received.facts, sums))
            store.publish(batch_id, received)
        counts = count_outcomes(sums)
    else:
        log.info("Batch %s was loaded before", batch_id)
        record_usage(batch_id, store, UsageStore(lake))
    if recorded:
        _record_landed(recorded, ledger)
    log.log(logging.WARNING if unusable.samples else logging.INFO, "%s", loaded_lines(batch_id, counts, unusable))
    return counts


def record_usage(batch_id: str, store: ResultStore, books: UsageStore) -> bool:
    """
    Book what a loaded batch cost, unless it is booked with a cost. False if it cannot be: an earlier version has loaded
    it.
    """
    facts, outcomes = store.billed(batch_id)
    if facts:
        books.add(make_usage_record(facts, usage_columns(outcomes)))
    return facts is not None


def _facts(batch_id: str, chunk: Chunk, entry: Entry | None, made_at: datetime) -> BatchFacts:
    return BatchFacts(
        batch_id=batch_id,
        pipeline=chunk.pipeline,
        partition=entry.partition if entry and entry.partition else chunk.partition,
        pass_name=chunk.pass_name,
        run_id=entry.run_id if entry else None,
        created_at=made_at,
        body_bytes=chunk.body_bytes,
    )


def _made_at(batch_id: str, chunk: Chunk, entry: Entry | None, lake: Lake, claude: Claude) -> datetime:
    """
    When the batch was made, which is the day that it is booked on: by the books, else by the API. Where neither has it
    any more, when the ledger last heard of it.
    """
    if made_at := UsageStore(lake).created_at(chunk.pipeline, batch_id):
        return made_at
    try:
        return claude.retrieve(batch_id).created_at
    except ApiError:
        return entry.changed_at if entry else datetime.now(UTC)


@contextmanager
def _lean_memory() -> Iterator[None]:
    """
    Arrow takes memory as C does: its own pool keeps what was given back, half of all that a load would hold, and a
    task's process is too short to gain by it.
    """
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def _download(
    chunk: Chunk, batch_id: str, received: Received, lake: Lake, claude: Claude, *, accept_missing: bool
) -> tuple[pa.Table, Rejected]:
    failed: LoadError | None = None
    try:
        for download in range(1, _DOWNLOADS + 1):
            final = accept_missing and download == _DOWNLOADS
            try:
                with claude.results(batch_id) as pieces:
                    read = _read(pieces, received, chunk, batch_id, lake, final=final, hang_up=pieces.hang_up)
            except LoadError as error:
                if not error.retryable:
                    raise
                failed = error
                continue
            if failed and not final:
                log.info("Batch %s: download %d is whole. The one before was not: %s", batch_id, download, failed)
            return read
    except BatchNotFound as error:
        raise _gone(batch_id, chunk, lake, error) from error
    raise LoadError(f"{failed} That was download {_DOWNLOADS} of {_DOWNLOADS}.", retryable=True) from failed


def _ended(batch_id: str, chunk: Chunk, lake: Lake, claude: Claude) -> BatchStatus:
    """The batch, which has ended and is the chunk's."""
    try:
        status = claude.retrieve(batch_id)
    except BatchNotFound as error:
        raise _gone(batch_id, chunk, lake, error) from error
    _check_ended(status, chunk)
    return status


def _gone(batch_id: str, chunk: Chunk, lake: Lake, error: BatchNotFound) -> LoadError:
    entry = lake.locate(layout.ledger_entry(chunk.pipeline, chunk.chunk_id))
    return LoadError(
        f"{error} Nothing was loaded. A 404 may pass: clear this task. The API keeps results for 29 days after the"
        f" batch was made; if {batch_id} is older and was never loaded, its answers are gone: delete {entry} and clear"
        " the pass's `plan` with downstream, which sends, and pays for, its requests again.",
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


def _read(
    pieces: Iterator[bytes],
    received: Received,
    chunk: Chunk,
    batch_id: str,
    lake: Lake,
    *,
    final: bool,
    hang_up: Callable[[], None] | None = None,
) -> tuple[pa.Table, Rejected]:
    """
    Judge every line, keep what was received as it is, and add up what the lines used. Returns that, and the requests
    that have no usable answer.

    :param final: take a few lines that are missing, and any that cannot be read, for the API's own word and not for a
        broken download
    :param hang_up: ends what the next piece is waited for
    """
    schema = OutputSchema(json.loads(chunk.schema_text)) if chunk.schema_text else None
    outstanding = set(chunk.request_ids)
    judge = Judge(chunk=chunk, batch_id=batch_id, schema=schema, outstanding=outstanding, lake=lake, final=final)
    sums: list[pa.Table] = []
    unusable = Rejected()
    # Four things go on at the same time: a part is received and kept, the one before is decoded, the one before that is
    # judged, and the outcomes of the one before that are written.
    with (
        received,
        prefetch(received.parts(pieces), hang_up=hang_up) as parts,
        prefetch(map(decode, parts), hang_up=hang_up) as decoded,
    ):
        for some in decoded:
            for outcomes in judge.outcomes(some):
                _check_known(outcomes["request_id"].to_pylist(), some.part, outstanding, chunk, batch_id)
                received.add(outcomes)
                sums.append(usage_columns(outcomes))
                _count_unusable(outcomes, unusable)
        odd = judge.odd()
        if outstanding:
            odd.append(_missing(outstanding, chunk.request_ids, batch_id, accept=final))
            outcomes = outcomes_batch([missing_outcome(request_id) for request_id in sorted(outstanding)])
            received.add(outcomes)
            sums.append(usage_columns(outcomes))
            _count_unusable(outcomes, unusable)
    if odd:
        log.warning("Batch %s: %s", batch_id, " ".join(odd))
    return pa.concat_tables(sums), unusable


def _count_unusable(outcomes: pa.RecordBatch, unusable: Rejected) -> None:
    found = outcomes.select(["request_id", "outcome", "reason"]).filter(pc.not_equal(outcomes["outcome"], "succeeded"))
    for line in found.to_pylist():
        unusable.add(f"request {line['request_id']}", line["outcome"], line["reason"])


def _check_known(request_ids: Sequence[str], part: Part, outstanding: set[str], chunk: Chunk, batch_id: str) -> None:
    """Take these off what is outstanding. Raises LoadError if one was not sent, or was there before."""
    ids = set(request_ids)
    if len(ids) == len(request_ids) and ids <= outstanding:
        outstanding -= ids
        return
    for request_id in request_ids:
        if request_id not in outstanding:
            raise _stranger(request_id, part, batch_id, repeated=request_id in chunk.request_ids)
        outstanding.remove(request_id)


def _missing(outstanding: Collection[str], sent: Collection[str], batch_id: str, *, accept: bool) -> str:
    """
    What there is to say of lines that were not received. Raises LoadError unless they may count as missing.

    A few lines that no download held are missing at the API. Many are a download that ended too early, which looks no
    different: taking them for missing would mean to pay for them again.
    """
    fact = f"{len(sent) - len(outstanding):,} of {len(sent):,} result lines were received."
    if not accept or len(outstanding) > min(max(_FEW_LINES, len(sent) // 100), len(sent) - 1):
        raise LoadError(f"Batch {batch_id}: {fact} Nothing of them became visible.", retryable=True)
    return f"{fact} No download held the others: they count as missing, and may be asked, and paid, again."


def _stranger(custom_id: str, part: Part, batch_id: str, *, repeated: bool) -> LoadError:
    fact = "stands twice" if repeated else "was not sent with this batch"
    return LoadError(
        f"Lines {part.first:,} to {part.first + part.lines - 1:,} of batch {batch_id}'s results: request {custom_id!r}"
        f" {fact}. Nothing was loaded; the results stay at the API for 29 days."
        " Clear this task to try again; if it stays so, tell Anthropic's support the batch id.",
        retryable=True,
    )


def _record_landed(recorded: Recorded[Entry], ledger: Ledger) -> None:
    known: Recorded[Entry] | None = recorded
    while known and known.value.state == "submitted":
        try:
            ledger.write(known.value.becomes("landed", at=datetime.now(UTC)), over=known)
            return
        except Conflict:  # another run has loaded the same batch, or has just taken hold of it
            known = ledger.find(known.value.chunk_id)
