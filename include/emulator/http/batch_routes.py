"""The six calls of the Message Batches API."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Iterator
from pathlib import Path

import msgspec
from starlette.responses import Response

from include.emulator.api_errors import ApiError
from include.emulator.engine import bodies
from include.emulator.engine.batches import SECOND, Batch
from include.emulator.faults.fault import BatchFault
from include.emulator.faults.kinds import (
    Archived,
    HttpError,
    ListLag,
    NotFound,
    QueueLimit,
    ResetAfterCreate,
    ResetBeforeCreate,
)
from include.emulator.http.downloads import download
from include.emulator.http.paging import Page, read_page, render_page
from include.emulator.http.server import Call, json_response, random_id, retry_after, simulated_error
from include.emulator.http.wire import Reset

POLL_AGAIN_SECONDS = 10
_TOO_LARGE = "<html><head><title>413 Request Entity Too Large</title></head><body>413</body></html>"


async def create(call: Call) -> Response:
    """Accept a batch: store it before the response, and make a new one for every accepted call."""
    if call.strike(ResetBeforeCreate, lambda fault: not fault.body_read):
        return Reset()
    store, batch_id = call.server.store, random_id("msgbatch_simulated_")
    part = store.bodies / f"{batch_id}.part"
    try:
        with part.open("wb") as file:
            received_bytes = await bodies.receive(call.pieces, file)
        if call.strike(ResetBeforeCreate, lambda fault: fault.body_read):
            return Reset()
        if received_bytes > bodies.MAX_BYTES:
            # The proxy in front of the real API sends this: no JSON, no request-id.
            return Response(_TOO_LARGE, 413, {"cf-ray": "simulated"}, "text/html")
        size = await asyncio.to_thread(_checked_size, part)
        _check_queue(call, size)  # nothing is awaited from here to the record, so no two creates take the same room
        part.rename(store.bodies / batch_id)
    finally:
        part.unlink(missing_ok=True)
    duration = round(call.server.processing_seconds * SECOND)
    batch = Batch(
        id=batch_id,
        workspace=call.workspace,
        created_at=call.now,
        size=size,
        version=call.version,
        betas=call.betas,
        duration=duration,
        drain=duration,
        faults=tuple(_faults_of_batch(call, store.bodies / batch_id)),
    )
    store.add_batch(batch)
    call.server.processing.watch(batch)
    if call.strike(ResetAfterCreate):
        return Reset()
    if fault := call.strike(HttpError, lambda fault: fault.on == "create" and fault.created):
        raise simulated_error(fault)
    return json_response(batch.describe(batch.created_at, call.base_url))


def _faults_of_batch(call: Call, body: Path) -> Iterator[BatchFault]:
    with body.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield from call.server.strikes(call.workspace, BatchFault, lambda fault: fault.concerns(data))


def _checked_size(path: Path) -> int:
    items = bodies.open_items(path)
    bodies.check(items)
    return len(items)


def _check_queue(call: Call, size: int) -> None:
    waiting, batches = call.server.store.queued(call.workspace)
    if limit := call.strike(QueueLimit, lambda fault: fault.exceeded_by(waiting + size, batches + 1)):
        most = f"{limit.requests} batch requests" if limit.batches is None else f"{limit.batches} batches"
        message = f"This request would exceed your organization's limit of {most} in the processing queue"
        headers = retry_after(limit.retry_after)
        raise ApiError(429, f"{message} ({waiting} requests in {batches} batches are waiting).", headers=headers)


async def retrieve(call: Call) -> Response:
    """Return one batch as it is now."""
    batch = await _current(call)
    headers = {"retry-after": str(POLL_AGAIN_SECONDS)} if batch.ended_at is None else None
    return json_response(batch.describe(call.now, call.base_url), headers=headers)


async def list_batches(call: Call) -> Response:
    """Return a page of the workspace's batches, newest first."""
    page = read_page(call.request.query_params)
    pivot = page.after_id or page.before_id
    if pivot and call.server.store.batch(call.workspace, pivot) is None:
        raise _no_such_batch(pivot)
    lag = call.strike(ListLag)
    until = call.now - round(lag.seconds * SECOND) if lag else call.now
    found = _page(call, page, until)
    if await call.server.processing.wait_briefly(found):
        found = _page(call, page, until)
    # The extra batch only shows whether there are more; it is the one farthest from the cursor.
    shown = found[-page.limit :] if page.before_id else found[: page.limit]
    data = [batch.describe(call.now, call.base_url) for batch in _as_shown(call, shown)]
    return json_response(render_page(data, has_more=len(found) > page.limit))


def _page(call: Call, page: Page, until: int) -> list[Batch]:
    store, limit = call.server.store, page.limit + 1
    if page.before_id:
        return store.next_newer(call.workspace, limit, until=until, newer_than=page.before_id)
    return store.newest(call.workspace, limit, until=until, older_than=page.after_id)


async def cancel(call: Call) -> Response:
    """Start to cancel a batch; a second cancel changes nothing."""
    batch = await _current(call)
    if batch.ended_at is not None:
        raise ApiError(400, f"Message Batch {batch.id} has already ended and cannot be canceled.")
    if batch.cancel_initiated_at is None:
        call.server.store.cancel(batch.id, call.now)
        batch = _stored(call)
        call.server.processing.watch(batch)
    return json_response(batch.describe(call.now, call.base_url))


async def delete(call: Call) -> Response:
    """Delete an ended batch and its results."""
    batch = await _current(call)
    if batch.ended_at is None:
        raise ApiError(400, "In progress batches cannot be deleted. Consider canceling the batch instead.")
    call.server.store.delete(batch.id)
    return json_response({"id": batch.id, "type": "message_batch_deleted"})


async def results(call: Call) -> Response:
    """Return the result lines of an ended batch, for 29 days from its creation."""
    batch = await _current(call)
    if not batch.has_results(call.now):
        raise ApiError(404, f"Message Batch {batch.id} has no available results.")
    return download(call, batch.id)


async def _current(call: Call) -> Batch:
    batch = _stored(call)
    age = (call.now - batch.created_at) / SECOND
    if call.strike(NotFound, lambda fault: fault.on == call.name and (fault.seconds is None or age < fault.seconds)):
        raise _no_such_batch(batch.id)
    if await call.server.processing.wait_briefly([batch]):
        batch = _stored(call)
    return _as_shown(call, [batch])[0]


def _as_shown(call: Call, batches: list[Batch]) -> list[Batch]:
    """Return the batches unchanged, or as archived if that fault strikes."""
    if not any(batch.ended_at is not None for batch in batches) or not call.strike(Archived):
        return batches
    return [msgspec.structs.replace(batch, retention=0) for batch in batches]


def _stored(call: Call) -> Batch:
    batch_id = call.request.path_params["batch_id"]
    batch = call.server.store.batch(call.workspace, batch_id)
    if batch is None:
        raise _no_such_batch(batch_id)
    return batch


def _no_such_batch(batch_id: str) -> ApiError:
    return ApiError(404, f"Message Batch {batch_id} not found.")
