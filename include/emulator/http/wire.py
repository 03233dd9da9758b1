"""
What an ASGI application cannot say: a connection reset, and an answer that ends when the connection does.

Both need the transport below a request. The server's protocol class keeps one per open connection, by peer address,
and the ``Response`` classes here find theirs by the address in the request's scope.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_transports: dict[tuple[str, int], asyncio.Transport] = {}


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, with its open connections on record."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self.client is not None:
            _transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            _transports.pop(self.client, None)
        super().connection_lost(exc)


class Reset(Response):
    """No answer: the peer sees "connection reset"."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = _transport(scope)
        connection: socket.socket = transport.get_extra_info("socket")
        # With a linger time of zero the kernel sends RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _noticed()


class Unbounded(Response):
    """A body without a length, which ends where the connection is closed: nobody can tell that there was more."""

    def __init__(self, pieces: Iterable[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = _transport(scope)
        head = [b"HTTP/1.1 200 OK", b"connection: close"]
        head += [name + b": " + value for name, value in self.raw_headers if name != b"content-length"]
        transport.write(b"\r\n".join(head) + b"\r\n\r\n")
        for piece in self._pieces:
            transport.write(piece)
        transport.close()
        await _noticed()


class Broken(Response):
    """A chunked body whose connection breaks after the last piece, before the end was announced."""

    def __init__(self, pieces: Iterable[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        # A close, not a reset: a reset would also destroy what was sent and not yet read.
        _transport(scope).close()
        await _noticed()


def is_open(scope: Scope) -> bool:
    """Whether the connection of a request is still there."""
    transport = _transports.get(tuple(scope["client"]))
    return transport is not None and not transport.is_closing()


def _transport(scope: Scope) -> asyncio.Transport:
    return _transports[tuple(scope["client"])]


async def _noticed() -> None:
    """Let the server notice the closed connection, or it would try to complete the answer for us."""
    await asyncio.sleep(0)
