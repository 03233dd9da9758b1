"""
The emulator's own calls, under ``/_emulator``: faults, the clock, the log, the bills.

Sent with an API key, a call concerns that key's workspace alone; without one, all workspaces. None of them is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from include.emulator.billing.bills import report
from include.emulator.engine import faults
from include.emulator.engine.batches import timestamp
from include.emulator.engine.store import EVERYWHERE
from include.emulator.http.server import Server, json_response, key_of, workspace_of

Endpoint = Callable[[Request], Awaitable[Response]]


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a clock call."""

    advance_seconds: Annotated[float, msgspec.Meta(ge=0)]


def fault_routes(server: Server) -> Endpoint:
    """GET shows the faults in force, PUT replaces them, DELETE clears them."""

    async def serve(request: Request) -> Response:
        scope = _scope(request)
        if request.method == "PUT":
            try:
                server.store.set_faults(scope, faults.parse(await request.body()))
            except faults.FaultError as error:
                return json_response({"error": str(error)}, 400)
        elif request.method == "DELETE":
            server.store.set_faults(scope, [])
        armed = server.store.faults(scope)
        shown = [{"fault": one.fault, "remaining": one.remaining, "chances": one.chances} for one in armed]
        return json_response({"faults": shown})

    return serve


def clock_route(server: Server) -> Endpoint:
    """POST moves the clock forward; GET tells the time. Batches that fall due by it end at once."""

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
    """GET tells the calls that came in and the batches that were made, oldest first."""

    async def serve(request: Request) -> Response:
        scope = _scope(request)
        return json_response({"calls": server.store.calls(scope), "batches": server.store.made(scope)})

    return serve


def bills_route(server: Server) -> Endpoint:
    """GET tells what was billed, in tokens and dollars, and which requests more than once."""

    async def serve(request: Request) -> Response:
        return json_response(await asyncio.to_thread(report, server.store.booked(_scope(request))))

    return serve


def _scope(request: Request) -> str:
    key = key_of(request)
    return workspace_of(key) if key else EVERYWHERE
