from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import anthropic
import httpx2
import msgspec
import pytest

from include.enrichment.errors import ApiError, BatchError, BatchNotFound, EnrichmentError, LoadError, SetupError
from include.gateways.claude import AsyncClaude, Claude, translated
from tests.fixtures.emulator import Emulator

PARAMS = {"model": "claude-haiku-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
MISSING = "msgbatch_01AAAAAAAAAAAAAAAAAAAAAA"


def body(count: int = 2) -> io.BytesIO:
    requests = [{"custom_id": f"r{number}", "params": PARAMS} for number in range(count)]
    return io.BytesIO(msgspec.json.encode({"requests": requests}))


def client(emulator: Emulator, api_key: str | None = None) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=api_key or emulator.api_key, base_url=emulator.url)


@pytest.fixture
def claude(emulator: Emulator) -> Iterator[Claude]:
    with Claude(client(emulator), name="anthropic_default") as claude:
        yield claude


def test_a_batch_is_made_waited_for_and_read(claude: Claude) -> None:
    batch_id = claude.create(body(3), requests=3)
    status = claude.retrieve(batch_id)
    assert (status.ended, status.requests) == (True, 3)
    assert status.expires_at - status.created_at == timedelta(hours=24)
    with claude.results(batch_id) as pieces:
        assert b"".join(pieces).count(b"\n") == 3


def test_a_create_is_sent_with_its_length(claude: Claude, emulator: Emulator) -> None:
    claude.create(body(), requests=2)
    assert [call["retry_count"] for call in emulator.creates()] == [0]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset_after_create"},
        {"kind": "reset_before_create"},
        {"kind": "http_error", "on": "create", "status": 500},
        {"kind": "http_error", "on": "create", "status": 529},
    ],
)
def test_a_create_with_an_unclear_end_is_sent_once_and_says_so(
    claude: Claude, emulator: Emulator, fault: dict[str, object]
) -> None:
    emulator.set_faults([fault])
    with pytest.raises(BatchError, match="may have made the batch, or not") as caught:
        claude.create(body(), requests=2)
    assert not caught.value.retryable
    assert len(emulator.creates()) == 1


@contextmanager
def proxy(kind: str, answer: bytes) -> Iterator[Claude]:
    """The API behind a proxy that answers 200 to everything, with a body of its own."""

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        behind = anthropic.Anthropic(api_key="k", base_url=f"http://127.0.0.1:{server.server_port}")
        with Claude(behind, name="c") as claude:
            yield claude
        server.shutdown()


PAGES = [("text/html", b"<p>Please log in"), ("application/json", b"{}"), ("application/json", b"<")]


@pytest.mark.parametrize(("kind", "answer"), PAGES)
def test_a_create_that_is_answered_by_something_else_may_have_made_a_batch(kind: str, answer: bytes) -> None:
    with proxy(kind, answer) as claude, pytest.raises(BatchError, match="may have made the batch, or not"):
        claude.create(body(), requests=2)


@pytest.mark.parametrize(("kind", "answer"), PAGES)
def test_a_look_that_is_answered_by_something_else_may_be_tried_again(kind: str, answer: bytes) -> None:
    with proxy(kind, answer) as claude, pytest.raises(ApiError, match="is no ") as caught:
        claude.retrieve("msgbatch_1")
    assert caught.value.retryable


def test_a_model_that_is_answered_by_a_page_may_be_asked_for_again() -> None:
    with proxy("text/html", b"<p>Please log in") as claude, pytest.raises(ApiError, match="is no "):
        claude.model("claude-haiku-5-5")


def test_a_create_that_is_refused_has_surely_made_nothing(claude: Claude, emulator: Emulator) -> None:
    with pytest.raises(ApiError, match="at least 1 item") as caught:
        claude.create(io.BytesIO(b'{"requests":[]}'), requests=0)
    assert not caught.value.retryable
    assert emulator.batches_made() == []


def test_an_api_that_cannot_be_connected_to_has_surely_made_nothing() -> None:
    nowhere = anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1:9", max_retries=0)
    with pytest.raises(ApiError, match="could not be reached") as caught, Claude(nowhere, name="c") as claude:
        claude.create(body(), requests=2)
    assert caught.value.retryable


def test_a_rate_limit_on_create_may_be_tried_again_when_the_api_says(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "retry_after": 7}])
    with pytest.raises(ApiError) as caught:
        claude.create(body(), requests=2)
    assert (caught.value.retryable, caught.value.retry_after_seconds) == (True, 7)


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spend_limit_is_not_waited_out(claude: Claude, emulator: Emulator, code: str) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "error_code": code}])
    with pytest.raises(ApiError, match="spend limit is reached") as caught:
        claude.create(body(), requests=2)
    assert not caught.value.retryable


def test_a_refused_key_names_its_connection() -> None:
    response = httpx2.Response(401, request=httpx2.Request("GET", "http://x"), json={})
    error = anthropic.AuthenticationError("no", response=response, body=None)
    assert isinstance(refused := translated(error, doing="Looking", connection="my_conn"), SetupError)
    assert "'my_conn'" in str(refused)


def test_every_error_of_the_sdk_is_translated() -> None:
    request = httpx2.Request("GET", "http://x")
    with anthropic.Anthropic(api_key="k") as client:
        errors: list[anthropic.APIError] = [
            client._make_status_error("no", body=None, response=httpx2.Response(status, request=request))
            for status in range(400, 600)
        ]
    errors += [anthropic.APIConnectionError(request=request), anthropic.APITimeoutError(request)]
    for error in errors:
        ours = translated(error, doing="Trying", connection="c")
        assert isinstance(ours, EnrichmentError)
        status = getattr(error, "status_code", None)
        assert ours.retryable == (status is None or status in (408, 409, 429) or status >= 500), status


def test_an_unknown_batch_is_told_apart(claude: Claude) -> None:
    with pytest.raises(BatchNotFound, match=MISSING):
        claude.retrieve(MISSING)


def test_results_that_break_off_are_an_error_that_may_be_begun_again(claude: Claude, emulator: Emulator) -> None:
    batch_id = claude.create(body(50), requests=50)
    emulator.set_faults([{"kind": "cut_results", "times": 1}])
    with pytest.raises(LoadError, match="broke off") as caught, claude.results(batch_id) as pieces:
        b"".join(pieces)
    assert caught.value.retryable
    with claude.results(batch_id) as pieces:
        assert b"".join(pieces).count(b"\n") == 50


def test_a_model_is_described_and_an_unknown_one_is_none(claude: Claude) -> None:
    model = claude.model("claude-haiku-5-5")
    assert model is not None
    assert (model.lifecycle, model.batches, model.structured_outputs) == ("active", True, True)
    assert model.thinking_types["disabled"]
    assert claude.model("claude-does-not-exist") is None


def test_the_async_client_sees_what_the_other_sees(claude: Claude, emulator: Emulator) -> None:
    batch_id = claude.create(body(), requests=2)

    async def look() -> None:
        async_client = anthropic.AsyncAnthropic(api_key=emulator.api_key, base_url=emulator.url)
        async with AsyncClaude(async_client, name="c") as waiting:
            assert await waiting.retrieve(batch_id) == claude.retrieve(batch_id)
            with pytest.raises(BatchNotFound):
                await waiting.retrieve(MISSING)

    asyncio.run(look())


@pytest.mark.parametrize("header", ["nan", "inf", "-3", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_advice_on_when_to_come_back_that_makes_no_sense_is_none(header: str) -> None:
    response = httpx2.Response(429, request=httpx2.Request("GET", "http://x"), headers={"retry-after": header})
    error = translated(anthropic.RateLimitError("no", response=response, body=None), doing="Looking", connection="c")
    assert isinstance(error, ApiError)
    assert error.retry_after_seconds is None
