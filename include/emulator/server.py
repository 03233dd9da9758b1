"""
One call to the API, from its headers to its answer: authentication, version, faults, standard headers, the log.

Routes are written as functions from a Call to a Response; ``endpoint`` wraps one into what Starlette serves. An
ApiError raised anywhere below becomes the API's error answer here, and only here.
"""

from __future__ import annotations

import asyncio
import secrets
import string
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from include.emulator.batches import SECOND, timestamp
from include.emulator.errors import ApiError, envelope
from include.emulator.faults import Endpoint, Fault, HttpError, NotFound, Slow
from include.emulator.frame import Rules
from include.emulator.processing import Processing
from include.emulator.store import Store
from include.emulator.wire import Reset

VERSIONS = ("2023-06-01", "2026-10-21")
REQUESTS_PER_MINUTE = 1000
# A key that begins so is refused, which gives tests of a bad key something to send.
INVALID_KEY_PREFIX = "invalid"

_ALPHABET = string.ascii_letters + string.digits
_MINUTE = 60 * SECOND
F = TypeVar("F", bound=Fault)


@dataclass(frozen=True, kw_only=True)
class Server:
    """What all routes share."""

    store: Store
    processing: Processing
    seed: int
    #: How long a batch takes, and how long a canceled one takes to end, in seconds.
    processing_seconds: float
    calls_per_minute: Counter[tuple[str, int]] = field(default_factory=Counter)

    def strike(self, workspace: str, kind: type[F], **wanted: object) -> F | None:
        """The first fault of this kind in force whose fields are as wanted, counted as having struck; or None."""
        for armed in self.store.faults(workspace):
            fault = armed.fault
            if isinstance(fault, kind) and all(getattr(fault, name) == value for name, value in wanted.items()):
                self.store.strike(armed)
                return fault
        return None


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call that was let in."""

    server: Server
    request: Request
    #: The body as it arrives; to be iterated once.
    pieces: AsyncIterator[bytes]
    workspace: str
    version: str
    betas: frozenset[str]

    @property
    def base_url(self) -> str:
        """The server as the client addressed it, without a slash at the end."""
        return str(self.request.base_url).rstrip("/")

    @property
    def now(self) -> int:
        """The workspace's time, in microseconds."""
        return self.server.store.now(self.workspace)

    def rules(self, *, batch: bool) -> Rules:
        """The terms under which this call's requests are read."""
        return Rules(version=self.version, betas=self.betas, batch=batch)

    def strike(self, kind: type[F], **wanted: object) -> F | None:
        """See Server.strike."""
        return self.server.strike(self.workspace, kind, **wanted)


Handler = Callable[[Call], Awaitable[Response]]


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def random_id(prefix: str) -> str:
    """A new id in the API's manner: a prefix and 24 characters."""
    return prefix + "01" + "".join(secrets.choice(_ALPHABET) for _ in range(22))


def key_of(request: Request) -> str | None:
    """The API key of a call, from either header; None without one."""
    if key := request.headers.get("x-api-key"):
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token or None if scheme.lower() == "bearer" else None


def workspace_of(key: str) -> str:
    """The workspace of a key: each distinct key has its own."""
    return f"wrkspc_{sha256(key.encode()).hexdigest()[:24]}"


def endpoint(server: Server, name: Endpoint, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a route with everything that is the same for all of them."""

    async def serve(request: Request) -> Response:
        request_id = random_id("req_")
        key = key_of(request)
        workspace = workspace_of(key) if key else "unknown"
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        retries = request.headers.get("x-stainless-retry-count", "0")
        number = server.store.log_call(workspace, request.method, path, int(retries) if retries.isdigit() else 0)
        pieces = request.stream()
        try:
            call = _admit(server, request, pieces, key)
            _fail_if_asked(call, name)
            response = await handler(call)
        except ApiError as error:
            # A client that is still sending would not look at the answer.
            async for _ in pieces:
                pass
            body = envelope(error.type, error.message, request_id, error.details)
            response = json_response(body, error.status, error.headers)
        except ClientDisconnect:
            return Response()
        if slow := server.strike(workspace, Slow, on=name):
            await asyncio.sleep(slow.seconds)
        if isinstance(response, Reset):
            return response  # no answer, so nothing to write down about it
        if "cf-ray" not in response.headers:  # what the proxy in front answers carries none of these
            response.headers.update(_standard_headers(server, workspace, request_id))
        server.store.log_status(number, response.status_code)
        return response

    return serve


def _admit(server: Server, request: Request, pieces: AsyncIterator[bytes], key: str | None) -> Call:
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
        request=request,
        pieces=pieces,
        workspace=workspace,
        version=version,
        betas=frozenset(filter(None, betas.split(","))),
    )


def _fail_if_asked(call: Call, name: Endpoint) -> None:
    if fault := call.strike(HttpError, on=name, created=False):
        raise as_api_error(fault)
    if name in ("retrieve", "cancel", "results") and call.strike(NotFound, on=name):
        raise no_such_batch(call.request.path_params["batch_id"])


def as_api_error(fault: HttpError) -> ApiError:
    """The error answer a fault asks for."""
    headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
    details = None if fault.error_code is None else {"error_code": fault.error_code}
    return ApiError(fault.status, fault.message, details=details, headers=headers)


def no_such_batch(batch_id: str) -> ApiError:
    """The 404 for an id that this workspace does not have."""
    return ApiError(404, f"Message Batch {batch_id} not found.")


def _standard_headers(server: Server, workspace: str, request_id: str) -> dict[str, str]:
    now = server.store.now(workspace)
    minute = now // _MINUTE
    used = server.calls_per_minute
    used[workspace, minute] += 1
    if len(used) > REQUESTS_PER_MINUTE:
        used.clear()  # only the current minute matters, and forgetting it merely tells a client it has room
    return {
        "request-id": request_id,
        "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
        "anthropic-workspace-id": workspace,
        "anthropic-ratelimit-requests-limit": str(REQUESTS_PER_MINUTE),
        "anthropic-ratelimit-requests-remaining": str(max(REQUESTS_PER_MINUTE - used[workspace, minute], 0)),
        "anthropic-ratelimit-requests-reset": f"{timestamp((minute + 1) * _MINUTE)}",
    }
