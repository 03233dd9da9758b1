"""
The emulator's own calls, under ``/_emulator``: faults, the clock, the log, the bills.

A call with an API key affects that key's workspace only; a call without one affects all workspaces. None is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from include.emulator.billing.bills import report
from include.emulator.engine.batches import timestamp
from include.emulator.faults import fault_list
from include.emulator.faults.armed_faults import EVERYWHERE
from include.emulator.http.server import Server, json_response, key_of, workspace_of

Endpoint = Callable[[Request], Awaitable[Response]]


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a clock call."""

    advance_seconds: Annotated[float, msgspec.Meta(ge=0)]


def fault_routes(server: Server) -> Endpoint:
    """Return the route for faults: GET shows the armed ones, PUT replaces them, DELETE clears them."""

    async def serve(request: Request) -> Response:
        scope = _scope(request)
        if request.method == "PUT":
            try:
                server.store.faults.replace(scope, fault_list.parse(await request.body()))
            except fault_list.FaultError as error:
                return json_response({"error": str(error)}, 400)
        elif request.method == "DELETE":
            server.store.faults.replace(scope, [])
        armed = server.store.faults.of(scope)
        shown = [{"fault": one.fault, "remaining": one.remaining, "chances": one.chances} for one in armed]
        return json_response({"faults": shown})

    return serve


def clock_route(server: Server) -> Endpoint:
    """Return the route for the clock: POST moves it forward and ends batches that become due, GET shows the time."""

    async def serve(request: Request) -> Response:
        scope = _scope(request)
        if request.method == "POST":
            try:
                advance = msgspec.json.decode(await request.body(), type=Advance)
            except msgspec.DecodeError as error:
                return json_response({"error": f'{error}; send {{"advance_seconds": N}}'}, 400)
            server.store.advance(scope, advance.advance_seconds)
            server.processing.resume()
        return json_response({"now": timestamp(server.store.now(scope))})

    return serve


def log_route(server: Server) -> Endpoint:
    """Return the route for the log: GET lists the calls, the batches made and the files uploaded, oldest first."""

    async def serve(request: Request) -> Response:
        scope, store = _scope(request), server.store
        files = store.files.ever_uploaded(scope)
        return json_response({"calls": store.calls(scope), "batches": store.batches_made(scope), "files": files})

    return serve


def bills_route(server: Server) -> Endpoint:
    """Return the route for bills: GET reports tokens and dollars, and the requests billed more than once."""

    async def serve(request: Request) -> Response:
        return json_response(await asyncio.to_thread(report, server.store.bills_of(_scope(request))))

    return serve


def _scope(request: Request) -> str:
    key = key_of(request)
    return workspace_of(key) if key else EVERYWHERE
