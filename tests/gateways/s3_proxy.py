"""Lakes on the S3 test server, directly and through a proxy that changes how it treats conditional writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

from include.gateways.lake import Lake

ALL_CONDITIONS = ("if-match", "if-none-match")


def on_s3(uri: str, endpoint: str, *, runs_never_race: bool = False) -> Lake:
    return Lake.on_s3(
        uri,
        credentials=lambda: {"access_key_id": "testing", "secret_access_key": "testing", "expires_at": None},
        region="us-east-1",
        endpoint=endpoint,
        runs_never_race=runs_never_race,
    )


class Proxy(ThreadingHTTPServer):
    """
    A proxy in front of an S3 server.

    :param handling: what it does with conditional writes
    :param conditions: the headers that make a write conditional
    """

    def __init__(self, endpoint: str, *, handling: str, conditions: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.behind = urlsplit(endpoint).netloc
        self.handling = handling
        self.conditions = conditions
        self.calls: list[str] = []
        self.bytes_out = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.calls.append(self.command)
        headers = dict(self.headers)
        if conditional := [name for name in headers if name.lower() in self.server.conditions]:
            if self.server.handling == "not implemented":
                return self.answer(501, b"<Error><Code>NotImplemented</Code></Error>", {})
            if self.server.handling == "ignored":
                headers = {name: value for name, value in headers.items() if name not in conditional}
            if self.server.handling == "responses lost" and not any("lost" in call for call in self.server.calls):
                self.server.calls.append("lost")
                self.forward(headers, body)
                return self.answer(503, b"", {})
        self.answer(*self.forward(headers, body))

    def forward(self, headers: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        behind = HTTPConnection(self.server.behind)
        behind.request(self.command, self.path, body, headers)
        answer = behind.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("content-length", length)
        self.end_headers()
        self.wfile.write(body)
        self.server.bytes_out += len(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(endpoint: str, *, handling: str = "passed on", conditions: Sequence[str] = ALL_CONDITIONS) -> Iterator[Proxy]:
    with Proxy(endpoint, handling=handling, conditions=conditions) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
