"""load: the results of an ended batch become validated outcomes in the result store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.evidence.sent_output import read_loaded_output
from include.enrichment.answers.outcome import missing_outcome, outcomes_batch
from include.enrichment.answers.reject_messages import Rejected, describe_load
from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.poll import BatchStatus
from include.enrichment.batches.usage import BatchFacts, count_outcomes, make_usage_record, sum_usage
from include.enrichment.errors import ApiError, BatchNotFound, LoadError
from include.enrichment.storage import layout
from include.gateways.claude import Claude
from include.gateways.disk import working_folder
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.gateways.prefetch import prefetch
from include.gateways.result_store import Part, Received, ResultStore
from include.gateways.usage_store import UsageStore
from include.steps.asking.parts import Parts
from include.steps.files.chunk_files import Chunk, read_chunk
from include.steps.loading.decoding import decode
from include.steps.loading.judging import Judge

log = logging.getLogger(__name__)

_DOWNLOADS = 3
#: How many lines may be missing at the API in a small batch; in a large one 1 %.
_FEW_LINES = 10


def load(chunk_key: str, batch_id: str, *, lake: Lake, claude: Claude, accept_missing: bool = False) -> dict[str, int]:
    """
    Download, check and store the results of the chunk's batch; return the number of requests for each outcome.

    Nothing is loaded before every line has arrived: a download that breaks off is repeated, three downloads in all. A
    loaded batch is not downloaded again. If only its raw copy is left, load reads that, as the API keeps results for 29
    days only. A batch has one usage record, however often it is loaded; a load that knows more replaces it.

    :param accept_missing: if no download holds a few of the lines, their outcome is ``missing``, and ``invalid`` if
        none holds them whole. Missing answers may have been billed, and a retry pass requests them again, so give the
        API time first

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
                made_at, ended_at = _times(batch_id, chunk, entry, lake, claude)
                received = Received(temporary, facts=_facts(batch_id, chunk, entry, made_at, ended_at))
                usage, unusable = _read(raw, received, chunk, batch_id, lake, final=True)
                log.info("Batch %s is loaded again, from the raw copy of its results", batch_id)
            elif chunk.synchronous:
                parts = Parts(lake, pipeline=chunk.pipeline, chunk_id=chunk.chunk_id)
                made_at = entry.asked_since if entry and entry.asked_since else datetime.now(UTC)
                received = Received(temporary, facts=_facts(batch_id, chunk, entry, made_at, parts.ended_at()))
                usage, unusable = _read(parts.lines(), received, chunk, batch_id, lake, final=True)
                if parts.repeated:
                    log.warning(
                        "%s requests were asked by two processes, because one had lost the lake for minutes. The books"
                        " have only their first answers.",
                        f"{parts.repeated:,}",
                    )
            else:
                status = _ended(batch_id, chunk, lake, claude)
                facts = _facts(batch_id, chunk, entry, status.created_at, status.ended_at)
                received = Received(temporary, facts=facts)
                usage, unusable = _download(chunk, batch_id, received, lake, claude, accept_missing=accept_missing)
            # The usage record comes first: a plan would otherwise miss what a loaded batch has cost.
            UsageStore(lake).add(make_usage_record(received.facts, usage))
            store.publish(batch_id, received)
        counts = count_outcomes(usage)
    else:
        log.info("Batch %s was loaded before", batch_id)
        record_usage(batch_id, store, UsageStore(lake))
    if recorded:
        _record_landed(recorded, ledger)
    if chunk.synchronous:
        Parts(lake, pipeline=chunk.pipeline, chunk_id=chunk.chunk_id).delete()
    log.log(logging.WARNING if unusable.samples else logging.INFO, "%s", describe_load(batch_id, counts, unusable))
    return counts


def record_usage(batch_id: str, store: ResultStore, usage_store: UsageStore) -> bool:
    """
    Write the usage record of a loaded batch, unless it has one with a cost. Return False if an earlier version loaded
    the batch, as its results lack the facts for a record.
    """
    facts, outcomes = store.billed(batch_id)
    if facts:
        usage_store.add(make_usage_record(facts, sum_usage(outcomes)))
    return facts is not None


def _facts(
    batch_id: str, chunk: Chunk, entry: Entry | None, made_at: datetime, ended_at: datetime | None
) -> BatchFacts:
    return BatchFacts(
        batch_id=batch_id,
        pipeline=chunk.pipeline,
        partition=entry.partition if entry and entry.partition else chunk.partition,
        pass_name=chunk.pass_name,
        run_id=entry.run_id if entry else None,
        created_at=made_at,
        body_bytes=chunk.body_bytes,
        variant=chunk.variant,
        mode="synchronous" if chunk.synchronous else "batch",
        ended_at=ended_at,
    )


def _times(
    batch_id: str, chunk: Chunk, entry: Entry | None, lake: Lake, claude: Claude
) -> tuple[datetime, datetime | None]:
    """
    When the batch was created, which dates its usage record, and when it ended: from that record, else from the API. If
    neither has it any more, when its ledger entry changed last.
    """
    if times := UsageStore(lake).times(chunk.pipeline, batch_id):
        return times
    if entry and entry.asked_since:
        return entry.asked_since, None
    try:
        status = claude.retrieve(batch_id)
        return status.created_at, status.ended_at
    except ApiError:
        return entry.changed_at if entry else datetime.now(UTC), None


@contextmanager
def _lean_memory() -> Iterator[None]:
    """
    Let Arrow allocate from the system: its own pool keeps freed memory, which would be half of all that a load holds,
    and a task's process is too short to profit from it.
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
                log.info("Batch %s: download %d is complete. The one before was not: %s", batch_id, download, failed)
            return read
    except BatchNotFound as error:
        raise _gone(batch_id, chunk, lake, error) from error
    raise LoadError(f"{failed} That was download {_DOWNLOADS} of {_DOWNLOADS}.", retryable=True) from failed


def _ended(batch_id: str, chunk: Chunk, lake: Lake, claude: Claude) -> BatchStatus:
    """The batch. Raises LoadError if it has not ended or is not the chunk's."""
    try:
        status = claude.retrieve(batch_id)
    except BatchNotFound as error:
        raise _gone(batch_id, chunk, lake, error) from error
    _check_ended(status, chunk)
    return status


def _gone(batch_id: str, chunk: Chunk, lake: Lake, error: BatchNotFound) -> LoadError:
    entry = lake.locate(layout.ledger_entry(chunk.pipeline, chunk.chunk_id))
    return LoadError(
        f"{error} Nothing was loaded. A 404 may be temporary: clear this task.\nThe API keeps results for 29 days after"
        f" the batch was created. If {batch_id} is older and was never loaded, its answers are lost: delete {entry} and"
        " clear the pass's `plan` with downstream, which sends its requests again and pays for them.",
        retryable=True,
    )


def _check_ended(status: BatchStatus, chunk: Chunk) -> None:
    if not status.ended:
        raise LoadError(
            f"Batch {status.batch_id} has not ended: {status.requests:,} requests are in processing. Nothing was"
            f" loaded, nothing is lost. It ends by {status.expires_at:%Y-%m-%d %H:%M} UTC; clear `wait` to wait for it."
        )
    if status.requests != len(chunk.request_ids):
        raise LoadError(
            f"Batch {status.batch_id} holds {status.requests:,} requests, but chunk {chunk.chunk_id} holds"
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
    Judge every line and keep a raw copy. Return the usage of the lines, and a summary of the unusable answers.

    :param final: accept any unreadable lines, and of a batch a few missing ones, instead of suspecting a broken
        download. The lines of a synchronous chunk are all stored: another process may just be deleting their parts
    :param hang_up: interrupts the wait for the next piece
    """
    outstanding = set(chunk.request_ids)
    judge = Judge(
        chunk=chunk,
        batch_id=batch_id,
        output=read_loaded_output(chunk.schema_text),
        outstanding=outstanding,
        lake=lake,
        final=final,
    )
    usage: list[pa.Table] = []
    unusable = Rejected()

    def keep(outcomes: pa.RecordBatch) -> None:
        received.add(outcomes)
        usage.append(sum_usage(outcomes))
        _count_unusable(outcomes, unusable)

    # Four things happen at the same time: one part is received and kept, the part before is decoded, the one before
    # that judged, and the outcomes of the one before that are written.
    with (
        received,
        prefetch(received.parts(pieces), hang_up=hang_up) as parts,
        prefetch(map(decode, parts), hang_up=hang_up) as decoded,
    ):
        for each in decoded:
            for outcomes in judge.outcomes(each):
                _check_known(outcomes["request_id"].to_pylist(), each.part, outstanding, chunk, batch_id)
                keep(outcomes)
        odd = judge.odd()
        if outstanding:
            odd.append(
                _describe_missing(outstanding, chunk.request_ids, batch_id, accept=final and not chunk.synchronous)
            )
            keep(outcomes_batch([missing_outcome(request_id) for request_id in sorted(outstanding)]))
    if odd:
        log.warning("Batch %s: %s", batch_id, " ".join(odd))
    return pa.concat_tables(usage), unusable


def _count_unusable(outcomes: pa.RecordBatch, unusable: Rejected) -> None:
    found = outcomes.select(["request_id", "outcome", "reason"]).filter(pc.not_equal(outcomes["outcome"], "succeeded"))
    for line in found.to_pylist():
        unusable.add(f"request {line['request_id']}", line["outcome"], line["reason"])


def _check_known(request_ids: Sequence[str], part: Part, outstanding: set[str], chunk: Chunk, batch_id: str) -> None:
    """Remove these from ``outstanding``. Raises LoadError if one was not sent, or occurred before."""
    ids = set(request_ids)
    if len(ids) == len(request_ids) and ids <= outstanding:
        outstanding -= ids
        return
    for request_id in request_ids:
        if request_id not in outstanding:
            raise _stranger(request_id, part, batch_id, repeated=request_id in chunk.request_ids)
        outstanding.remove(request_id)


def _describe_missing(outstanding: Collection[str], sent: Collection[str], batch_id: str, *, accept: bool) -> str:
    """
    Describe the lines that were not received. Raises LoadError unless they may count as missing.

    A few lines that no download holds are missing at the API. Many mean a download that ended too early, which looks
    the same: counting those as missing would mean paying for them again.
    """
    fact = f"{len(sent) - len(outstanding):,} of {len(sent):,} result lines were received."
    if not accept or len(outstanding) > min(max(_FEW_LINES, len(sent) // 100), len(sent) - 1):
        raise LoadError(f"Batch {batch_id}: {fact} Nothing was loaded.", retryable=True)
    return f"{fact} No download held the others: they count as missing, and may be sent and billed again."


def _stranger(custom_id: str, part: Part, batch_id: str, *, repeated: bool) -> LoadError:
    fact = "occurs twice" if repeated else "was not sent with this batch"
    return LoadError(
        f"Lines {part.first:,} to {part.first + part.lines - 1:,} of batch {batch_id}'s results: request {custom_id!r}"
        f" {fact}. Nothing was loaded; the results stay at the API for 29 days."
        " Clear this task to try again; if that does not help, send the batch id to Anthropic's support.",
        retryable=True,
    )


def _record_landed(recorded: Recorded[Entry], ledger: Ledger) -> None:
    known: Recorded[Entry] | None = recorded
    while known and known.value.state in ("submitted", "asking"):
        try:
            ledger.write(known.value.becomes("landed", at=datetime.now(UTC), asked_until=None), over=known)
            return
        except Conflict:  # another run has loaded the same batch, or has begun to wait for it
            known = ledger.find(known.value.chunk_id)
