"""
One call to the API, from its headers to its response: authentication, version, faults, standard headers, the log.

A route is a function from a Call to a Response; ``endpoint`` wraps it for Starlette. An ApiError raised anywhere
below becomes an error response here, and only here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar, get_args

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from include.emulator.api_errors import ApiError, envelope
from include.emulator.engine.batches import SECOND, timestamp
from include.emulator.engine.processing import Processing
from include.emulator.engine.request_frame import Rules
from include.emulator.engine.store import Store
from include.emulator.faults.fault import Fault
from include.emulator.faults.kinds import (
    BatchEndpoint,
    CallsPerMinute,
    Endpoint,
    FileEndpoint,
    HttpError,
    Slow,
    WorkspaceHumanReviewDisabled,
)
from include.emulator.http.rate_limits import ORGANIZATION, Bucket, Kind
from include.emulator.http.streaming import EventStream
from include.emulator.http.wire import Reset

VERSIONS = ("2023-06-01", "2026-10-21")
#: The rate limit in response headers; it is enforced only by the fault ``calls_per_minute``.
CALLS_PER_MINUTE = 1000
# Keys with this prefix are rejected, so that tests can send an invalid key.
INVALID_KEY_PREFIX = "invalid"

_MINUTE = 60 * SECOND
#: The group of endpoints whose calls count together; that of all others is "".
_GROUPS: dict[str, str] = {
    **dict.fromkeys(get_args(BatchEndpoint), "batches"),
    **dict.fromkeys(get_args(FileEndpoint), "files"),
}
F = TypeVar("F", bound=Fault)


@dataclass(frozen=True, kw_only=True)
class Server:
    """The state that all routes share."""

    store: Store
    processing: Processing
    seed: int
    #: How long a batch takes, and how long a canceled one takes to end, in seconds.
    processing_seconds: float
    #: Minute and number of calls in it, by workspace and by the group of endpoints that has a limit of its own.
    calls: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    #: The rate limits of messages by workspace, model and kind.
    buckets: dict[tuple[str, str, Kind], Bucket] = field(default_factory=dict)

    def strikes(self, workspace: str, kind: type[F], applies: Callable[[F], bool] = lambda fault: True) -> Iterator[F]:
        """Yield the armed faults of this kind that apply and strike; each is counted when it is yielded."""
        for armed in self.store.faults.of(workspace):
            fault = armed.fault
            if isinstance(fault, kind) and applies(fault) and self.store.faults.strikes(armed, self.seed):
                yield fault

    def calls_this_minute(self, workspace: str, name: Endpoint, *, new: int = 0) -> int:
        """Return the number of calls in the workspace's current minute that count together with this endpoint."""
        group = workspace, _GROUPS.get(name, "")
        minute = self.store.now(workspace) // _MINUTE
        then, count = self.calls.get(group, (minute, 0))
        self.calls[group] = minute, new + (count if then == minute else 0)
        return self.calls[group][1]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One authenticated call."""

    server: Server
    name: Endpoint
    request: Request
    #: The body as it arrives; can be iterated once.
    pieces: AsyncIterator[bytes]
    workspace: str
    version: str
    betas: frozenset[str]

    @property
    def base_url(self) -> str:
        """Return the server's URL as the client addressed it, without a trailing slash."""
        return str(self.request.base_url).rstrip("/")

    @property
    def now(self) -> int:
        """Return the workspace's time, in microseconds."""
        return self.server.store.now(self.workspace)

    def rules(self, *, batch: bool) -> Rules:
        """Return the rules for the requests of this call."""
        return Rules(version=self.version, betas=self.betas, batch=batch)

    def strike(self, kind: type[F], applies: Callable[[F], bool] = lambda fault: True) -> F | None:
        """Return the first fault of this kind that applies and strikes; None if none does."""
        return next(self.server.strikes(self.workspace, kind, applies), None)


Handler = Callable[[Call], Awaitable[Response]]


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def random_id(prefix: str) -> str:
    """Return a new id in the API's format: a prefix and 24 characters."""
    return f"{prefix}01{secrets.token_hex(11)}"


def key_of(request: Request) -> str | None:
    """Return the API key of a call, from either header; None without one."""
    if key := request.headers.get("x-api-key"):
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token or None if scheme.lower() == "bearer" else None


def workspace_of(key: str) -> str:
    """Return the workspace of a key; each key has its own."""
    return f"wrkspc_{sha256(key.encode()).hexdigest()[:24]}"


def endpoint(server: Server, name: Endpoint, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a route with the work that all routes share."""

    async def serve(request: Request) -> Response:
        request_id = random_id("req_simulated_")
        key = key_of(request)
        workspace = workspace_of(key) if key else "unknown"
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        retries = request.headers.get("x-stainless-retry-count", "0")
        number = server.store.log_call(workspace, request.method, path, int(retries) if retries.isdigit() else 0)
        server.calls_this_minute(workspace, name, new=1)
        pieces = request.stream()
        try:
            call = _admit(server, name, request, pieces, key)
            _raise_armed_fault(call)
            response = await handler(call)
        except ApiError as error:
            # A client that is still sending would not read the response.
            async for _ in pieces:
                pass
            body = envelope(error.type, error.message, request_id, error.details)
            response = json_response(body, error.status, error.headers)
        except ClientDisconnect:
            return Response()
        if slow := next(server.strikes(workspace, Slow, lambda fault: fault.on == name), None):
            if isinstance(response, EventStream):
                response.delay_seconds = slow.seconds
            else:
                await asyncio.sleep(slow.seconds)
        if isinstance(response, Reset):
            return response  # without a response there is no status to log
        if "cf-ray" not in response.headers:  # a response of the proxy in front carries none of these
            # The limits of a message are those of its model.
            standard = _standard_headers(server, workspace, name, request_id)
            given = {name for name, _ in response.raw_headers}
            response.raw_headers += [one for one in standard if one[0] not in given]
        server.store.log_status(number, response.status_code)
        return response

    return serve


def _admit(server: Server, name: Endpoint, request: Request, pieces: AsyncIterator[bytes], key: str | None) -> Call:
    if key is None or key.startswith(INVALID_KEY_PREFIX):
        raise ApiError(401, "API key is invalid.")
    workspace = workspace_of(key)
    version = request.headers.get("anthropic-version")
    if version is None:
        raise ApiError(400, "anthropic-version: header is required")
    if version not in VERSIONS:
        raise ApiError(400, f'anthropic-version: "{version}" is not a valid version')
    if request.headers.get("anthropic-workspace-id", workspace) != workspace:
        raise ApiError(400, "anthropic-workspace-id: does not match the workspace of the API key")
    betas = request.headers.get("anthropic-beta", "").replace(" ", "")
    return Call(
        server=server,
        name=name,
        request=request,
        pieces=pieces,
        workspace=workspace,
        version=version,
        betas=frozenset(filter(None, betas.split(","))),
    )


def _raise_armed_fault(call: Call) -> None:
    calls = call.server.calls_this_minute(call.workspace, call.name)
    group = _GROUPS.get(call.name)
    if limit := call.strike(CallsPerMinute, lambda fault: fault.on == group and calls > fault.calls):
        left = -(-(_MINUTE - call.now % _MINUTE) // SECOND)
        message = f"This request would exceed your organization's rate limit of {limit.calls} requests per minute."
        raise ApiError(429, message, headers=retry_after(left))
    if call.name == "create" and call.strike(WorkspaceHumanReviewDisabled):
        message = "Message Batches are not available in a workspace that has Human Review turned off."
        raise ApiError(400, message, details={"error_code": "workspace_human_review_disabled"})
    if fault := call.strike(HttpError, lambda fault: fault.on == call.name and not fault.created):
        raise simulated_error(fault)


def simulated_error(fault: HttpError) -> ApiError:
    """Return the error that a fault describes."""
    details = None if fault.error_code is None else {"error_code": fault.error_code}
    return ApiError(fault.status, fault.message, details=details, headers=retry_after(fault.retry_after))


def retry_after(seconds: float | None) -> dict[str, str]:
    """Return the ``retry-after`` header; no header for None."""
    return {} if seconds is None else {"retry-after": f"{seconds:g}"}


def _standard_headers(server: Server, workspace: str, name: Endpoint, request_id: str) -> list[tuple[bytes, bytes]]:
    minute = server.store.now(workspace) // _MINUTE
    used = server.calls_this_minute(workspace, name)
    faults = (armed.fault for armed in server.store.faults.of(workspace))
    limits = [fault.calls for fault in faults if isinstance(fault, CallsPerMinute) and fault.on == _GROUPS.get(name)]
    limit = limits[0] if limits else CALLS_PER_MINUTE
    headers = {
        "request-id": request_id,
        "anthropic-organization-id": ORGANIZATION,
        "anthropic-workspace-id": workspace,
        "anthropic-ratelimit-requests-limit": str(limit),
        "anthropic-ratelimit-requests-remaining": str(max(limit - used, 0)),
        "anthropic-ratelimit-requests-reset": f"{timestamp((minute + 1) * _MINUTE)}",
    }
    return [(header.encode(), value.encode()) for header, value in headers.items()]
