"""Request bodies for the tests of the Claude gateways, and servers that respond as the emulator does not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import anthropic
import msgspec

from include.enrichment.requests.chunk import Body
from include.gateways.claude import Claude
from tests.fixtures.emulator import Emulator

PARAMS = {"model": "claude-haiku-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
MISSING = "msgbatch_01AAAAAAAAAAAAAAAAAAAAAA"
#: Content type and body of responses that cannot have come from the API.
FOREIGN_RESPONSES = [("text/html", b"<p>Please log in"), ("application/json", b"{}"), ("application/json", b"<")]


def body(count: int = 2, *, pause_seconds: float = 0) -> Body:
    """Build a body of ``count`` requests in two pieces, with a pause after each."""
    data = msgspec.json.encode({"requests": [{"custom_id": f"r{n}", "params": PARAMS} for n in range(count)]})

    def pieces() -> Iterator[bytes]:
        for piece in (data[:10], data[10:]):
            yield piece
            time.sleep(pause_seconds)

    return Body(pieces=pieces(), length=len(data), requests=count)


def client(emulator: Emulator) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)


def list_calls(emulator: Emulator) -> list[str]:
    """Return the paths of the list calls that the emulator received."""
    calls = emulator.log()["calls"]
    return [
        call["path"] for call in calls if call["method"] == "GET" and call["path"].split("?")[0].endswith("batches")
    ]


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served_by(handler: type[Handler]) -> Iterator[Claude]:
    """A client of a server that consists of the handler alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with Claude(anthropic.Anthropic(api_key="k", base_url=url), name="c") as claude:
            yield claude
        server.shutdown()


def responding(data: bytes, *, kind: str = "application/json") -> type[Handler]:
    """Build a handler that sends the same 200 response to every call, as a proxy may."""

    class Responding(Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Responding
