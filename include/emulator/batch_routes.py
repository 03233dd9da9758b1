"""The six calls of the Message Batches API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import Response

from include.emulator import bodies
from include.emulator.batches import SECOND, Batch
from include.emulator.downloads import download
from include.emulator.errors import ApiError
from include.emulator.faults import (
    BatchFault,
    Fault,
    HttpError,
    ListLag,
    ResetAfterCreate,
    ResetBeforeCreate,
    RowFault,
)
from include.emulator.paging import read_page, render_page
from include.emulator.server import Call, as_api_error, json_response, no_such_batch, random_id
from include.emulator.wire import Reset

POLL_AGAIN_SECONDS = 10
_TOO_LARGE = "<html><head><title>413 Request Entity Too Large</title></head><body>413</body></html>"


async def create(call: Call) -> Response:
    """Accept a batch: durable before it is answered for, and a new one for every accepted call."""
    store, batch_id = call.server.store, random_id("msgbatch_simulated_")
    part = store.bodies / f"{batch_id}.part"
    try:
        with part.open("wb") as file:
            received_bytes = await bodies.receive(call.pieces, file)
        if call.strike(ResetBeforeCreate):
            return Reset()
        if received_bytes > bodies.MAX_BYTES:
            # The proxy in front of the real API says this: no JSON, no request-id.
            return Response(_TOO_LARGE, 413, {"cf-ray": "simulated"}, "text/html")
        size = await asyncio.to_thread(_checked_size, part)
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
        faults=tuple(_faults_of_a_new_batch(call)),
    )
    store.add_batch(batch)
    call.server.processing.watch(batch)
    if call.strike(ResetAfterCreate):
        return Reset()
    if fault := call.strike(HttpError, on="create", created=True):
        raise as_api_error(fault)
    return json_response(batch.describe(batch.created_at, call.base_url))


def _checked_size(path: Path) -> int:
    items = bodies.open_items(path)
    bodies.check(items)
    return len(items)


def _faults_of_a_new_batch(call: Call) -> Iterator[Fault]:
    for armed in call.server.store.faults(call.workspace):
        if isinstance(armed.fault, BatchFault | RowFault):
            call.server.store.strike(armed)
            yield armed.fault


async def retrieve(call: Call) -> Response:
    """One batch as it is now."""
    batch = await _current(call)
    headers = {"retry-after": str(POLL_AGAIN_SECONDS)} if batch.ended_at is None else None
    return json_response(batch.describe(call.now, call.base_url), headers=headers)


async def list_batches(call: Call) -> Response:
    """A page of the workspace's batches, newest first."""
    page = read_page(call.request.query_params)
    pivot = page.after_id or page.before_id
    if pivot and call.server.store.batch(call.workspace, pivot) is None:
        raise no_such_batch(pivot)
    found = _page(call, page.limit + 1, page.after_id, page.before_id)
    if await call.server.processing.patience(found):
        found = _page(call, page.limit + 1, page.after_id, page.before_id)
    # One more than asked for tells whether there is more; it is the one farthest from the cursor.
    shown = found[-page.limit :] if page.before_id else found[: page.limit]
    if lag := call.strike(ListLag):
        shown = [batch for batch in shown if batch.created_at <= call.now - lag.seconds * SECOND]
    data = [batch.describe(call.now, call.base_url) for batch in shown]
    return json_response(render_page(data, has_more=len(found) > page.limit))


def _page(call: Call, limit: int, after_id: str | None, before_id: str | None) -> list[Batch]:
    if before_id:
        return call.server.store.next_newer(call.workspace, limit, newer_than=before_id)
    return call.server.store.newest(call.workspace, limit, older_than=after_id)


async def cancel(call: Call) -> Response:
    """Ask a batch to stop; a second time changes nothing."""
    batch = await _current(call)
    if batch.ended_at is not None:
        raise ApiError(400, f"Message Batch {batch.id} has already ended and cannot be canceled.")
    if batch.cancel_initiated_at is None:
        call.server.store.cancel(batch.id, call.now)
        batch = _stored(call)
        call.server.processing.watch(batch)
    return json_response(batch.describe(call.now, call.base_url))


async def delete(call: Call) -> Response:
    """Forget an ended batch and its results."""
    batch = await _current(call)
    if batch.ended_at is None:
        raise ApiError(400, "In progress batches cannot be deleted. Consider canceling the batch instead.")
    call.server.store.delete(batch.id)
    return json_response({"id": batch.id, "type": "message_batch_deleted"})


async def results(call: Call) -> Response:
    """The result lines of an ended batch, for 29 days from its creation."""
    batch = await _current(call)
    if not batch.has_results(call.now):
        raise ApiError(404, f"Message Batch {batch.id} has no available results.")
    return download(call, call.server.store.results / batch.id)


async def _current(call: Call) -> Batch:
    batch = _stored(call)
    return _stored(call) if await call.server.processing.patience([batch]) else batch


def _stored(call: Call) -> Batch:
    batch_id = call.request.path_params["batch_id"]
    batch = call.server.store.batch(call.workspace, batch_id)
    if batch is None:
        raise no_such_batch(batch_id)
    return batch
