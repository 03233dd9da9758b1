"""
Responses that ASGI cannot express: a connection reset, and a body that ends when the connection closes.

Both need the transport below a request. The server's protocol class keeps one per open connection, by peer address,
and the ``Response`` classes here look it up by the address in the request's scope.
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
    """uvicorn's HTTP/1.1, which also registers its open connections."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if self.client is not None:
            _transports[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            _transports.pop(self.client, None)
        super().connection_lost(exc)


class Reset(Response):
    """No response: the peer sees "connection reset"."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = _transport(scope)
        connection: socket.socket = transport.get_extra_info("socket")
        # With a linger time of zero the kernel sends RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _let_server_notice()


class Unbounded(Response):
    """A body without a length, which ends when the connection closes: a client cannot see that it is incomplete."""

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
        await _let_server_notice()


class Broken(Response):
    """A chunked body whose connection breaks after the last piece, before the final chunk."""

    def __init__(self, pieces: Iterable[bytes], headers: Mapping[str, str]) -> None:
        super().__init__(headers=headers)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        # A close, not a reset: a reset would also discard data that was sent but not yet read.
        _transport(scope).close()
        await _let_server_notice()


def is_open(scope: Scope) -> bool:
    """Return whether the connection of a request is still open."""
    transport = _transports.get(tuple(scope["client"]))
    return transport is not None and not transport.is_closing()


def _transport(scope: Scope) -> asyncio.Transport:
    return _transports[tuple(scope["client"])]


async def _let_server_notice() -> None:
    """Let the server notice the closed connection; otherwise it would try to complete the response."""
    await asyncio.sleep(0)
