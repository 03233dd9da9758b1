"""
The warm-up: if the prompt cache is cold, one request is sent before a chunk, in a batch of its own. It writes the
prefix that all of the chunk's requests then read.

A warm-up is a chunk like any other, with a ledger entry: it is sent once, whichever runs need it, and is loaded when it
has ended, so that it has a usage record. All this is best effort. A wrong guess costs some tokens, but never a second
payment for a row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from include.enrichment.batches import submission, warming
from include.enrichment.batches.ledger import UNSETTLED, Entry, OpenChunk
from include.enrichment.cost import caching
from include.enrichment.cost.caching import PrefixSize
from include.enrichment.cost.prices import prices
from include.enrichment.errors import ApiError, BatchError, BudgetExceeded, LakeError, LoadError, NotYet
from include.enrichment.runs import passes
from include.enrichment.storage import layout
from include.gateways.claude import Claude
from include.gateways.disk import working_folder
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.steps.files.chunk_files import Chunk, ChunkWriter, params_of, read_chunk
from include.steps.load import load
from include.steps.planning.in_flight import was_sent

log = logging.getLogger(__name__)

_AT_ONCE = 16


class _Text(msgspec.Struct):
    text: str


class _Params(msgspec.Struct):
    model: str
    max_tokens: int
    system: list[_Text]
    output_config: msgspec.Raw = msgspec.Raw(b"")


def keep_warm(chunk: Chunk, *, lake: Lake, claude: Claude, send: Callable[[str], str]) -> None:
    """
    Make sure that the chunk's prefix is in the prompt cache, if that saves more than it costs.

    It is there if a batch with the same prefix was processed within the TTL. The canary's chunk and small chunks never
    wait; they only load warm-ups that have ended.

    :param send: submits the chunk of that key, and returns its batch

    Raises NotYet while a warm-up is in flight, for at most caching.PATIENCE, SetupError if the API rejects the key, and
    what ``send`` raises if the chunk itself could not be sent either.
    """
    if chunk.cached is None or chunk.pass_name == passes.WARM_UP:
        return
    ledger = Ledger(lake, pipeline=chunk.pipeline)
    waits = chunk.pass_name != passes.CANARY and len(chunk.request_ids) >= caching.LEAST_REQUESTS
    ours = False
    for prefix, warm_up in _in_flight(ledger):
        if waits and prefix == layout.warm_ups(chunk.pipeline, chunk.cached.prefix_id):
            ours = True
            _await(warm_up.chunk, ledger, lake, claude, send)
        elif warm_up.batch_id:
            _landed(warm_up.chunk, warm_up.batch_id, lake, claude)
    if waits and not ours and not _is_warm(chunk, ledger, lake) and (made := _make(chunk, ledger, lake)):
        _await(made, ledger, lake, claude, send)


def _in_flight(ledger: Ledger) -> Iterator[tuple[str, Entry]]:
    """The warm-ups that were sent, or may have been, and are not loaded, each with the folder that names its prefix."""
    opened = ledger.open_chunks()
    folders = {chunk_id: chunk.folder for chunk_id, chunk in opened.items() if layout.is_warm_up(chunk.folder)}
    for folder, entry in zip(folders.values(), ledger.entries(list(folders)), strict=True):
        if entry and was_sent(entry) and entry.state != "landed":
            yield folder, entry


def _is_warm(chunk: Chunk, ledger: Ledger, lake: Lake) -> bool:
    """Whether a batch with the chunk's prefix was processed within the TTL."""
    assert chunk.cached
    now, ttl = datetime.now(UTC), chunk.cached.ttl
    since = now - caching.LIFE[ttl] - submission.CLOCK_SKEW
    return any(
        warming.is_cache_warm(entry, ttl, now=now) and _warms(chunk, entry, lake) for entry in _entries(ledger, since)
    )


def _entries(ledger: Ledger, since: datetime) -> Iterator[Entry]:
    """
    The entries of the open chunks, the newest plan's first, as one of them usually decides; then all entries written
    since then, for which the whole ledger has to be listed.
    """
    opened = ledger.open_chunks()
    yield from _in_portions(sorted(opened, key=lambda chunk_id: opened[chunk_id].planned_at, reverse=True), ledger)
    yield from _in_portions(ledger.changed_since(since), ledger)


def _in_portions(chunk_ids: list[str], ledger: Ledger) -> Iterator[Entry]:
    for first in range(0, len(chunk_ids), _AT_ONCE):
        yield from filter(None, ledger.entries(chunk_ids[first : first + _AT_ONCE]))


def _warms(chunk: Chunk, other: Entry, lake: Lake) -> bool:
    """
    Whether the other chunk has the same prefix. A warm-up in flight, which another task has sent since this one looked
    for such, is waited for instead.
    """
    assert chunk.cached
    try:
        found = read_chunk(lake, other.chunk)
    except LakeError as error:  # its file is missing or damaged, which other steps report
        if error.retryable:
            raise
        return False
    awaited = other.state == "submitted" and found.pass_name == passes.WARM_UP
    return not awaited and found.cached is not None and found.cached.prefix_id == chunk.cached.prefix_id


def _make(chunk: Chunk, ledger: Ledger, lake: Lake) -> str | None:
    """Write the chunk that warms the cache for this one, and return its key; None if it costs more than it saves."""
    assert chunk.cached
    ttl, now = chunk.cached.ttl, datetime.now(UTC)
    (text,) = params_of(lake, chunk, chunk.request_ids[:1]).values()
    params = msgspec.json.decode(text, type=_Params)
    size = PrefixSize(
        system_bytes=sum(len(block.text.encode()) for block in params.system),
        format_bytes=len(bytes(params.output_config)),
    )
    requests, price, most = len(chunk.request_ids), prices().models.get(params.model), params.max_tokens
    if price is None or not caching.worth_warming(requests, price, size, ttl, max_tokens=most):
        return None
    expected_usd = caching.warm_up_costs(price, size, ttl, max_tokens=most) * prices().batch / 1_000_000
    with working_folder() as temporary:
        writer = ChunkWriter(
            temporary / "chunk.parquet",
            pipeline=chunk.pipeline,
            schema_text=None,  # nobody reads its answer
            partition=chunk.partition,
            pass_name=passes.WARM_UP,
            cached=chunk.cached,
            variant=chunk.variant,
        )
        with writer:
            writer.add(caching.warm_up(text, ttl, now=now))
        key = writer.upload(lake)
    # Before it is sent: another task finds it here and loads it if this process dies.
    folder = layout.warm_ups(chunk.pipeline, chunk.cached.prefix_id)
    ledger.add_open(writer.chunk_id, OpenChunk(folder=folder, planned_at=now, expected_usd=expected_usd))
    log.info(
        "No batch with the prefix of these %s requests was processed within %s: one request is sent first to warm the"
        " prompt cache",
        f"{requests:,}",
        ttl,
    )
    return key


def _await(key: str, ledger: Ledger, lake: Lake, claude: Claude, send: Callable[[str], str]) -> None:
    """Send the warm-up, if no task has, and load it. Raises NotYet while it is worth waiting for."""
    try:
        batch_id = send(key)
        if _landed(key, batch_id, lake, claude):
            return
        later = NotYet(
            f"Batch {batch_id} warms the prompt cache with one request and has not ended. The chunk is sent after it.",
            again_at=datetime.now(UTC) + submission.LATE,
        )
    except NotYet as not_sent:
        later = not_sent
    except (BatchError, BudgetExceeded, LoadError) as error:
        log.warning("The prompt cache was not warmed, and the chunk is sent anyway: %s", error)
        return
    recorded, now = ledger.find(layout.chunk_id_of(key)), datetime.now(UTC)
    entry = recorded.value if recorded else None
    began = entry.fence.at if entry and entry.fence else now
    if now - began >= caching.PATIENCE:
        log.warning("The chunk is sent anyway, after %s: %s", _format_minutes(now - began), later)
        return
    again_at = later.again_at
    if entry and (entry.batch_id or entry.state in UNSETTLED):  # otherwise the API has said when
        again_at = min(again_at, now + max(submission.SOON, (now - began) / 10))
    raise NotYet(str(later), again_at=min(again_at, began + caching.PATIENCE)) from later


def _landed(key: str, batch_id: str, lake: Lake, claude: Claude) -> bool:
    """Whether the warm-up has ended. Load it if it has; if that fails, the next submit tries again."""
    try:
        if not claude.retrieve(batch_id).ended:
            return False
        load(key, batch_id, lake=lake, claude=claude)
    except (ApiError, LoadError) as error:
        log.warning("Batch %s, which warms the prompt cache, is not loaded yet: %s", batch_id, error)
        return isinstance(error, LoadError)
    return True


def _format_minutes(time: timedelta) -> str:
    return f"{time.total_seconds() / 60:.0f} minutes"
