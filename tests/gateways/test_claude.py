from __future__ import annotations

import inspect
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import anthropic
import httpx2
import msgspec
import pytest
from anthropic._error_classes import ERROR_CLASSES, make_status_error
from anthropic.resources.messages import Batches
from anthropic.resources.models import Models

from include.enrichment.errors import (
    ApiError,
    BatchError,
    BatchNotFound,
    EnrichmentError,
    LakeError,
    LoadError,
    SetupError,
)
from include.enrichment.requests.chunk import Body
from include.gateways import claude as claude_module
from include.gateways.claude import CREATE_SECONDS, Claude, translate_error
from tests.fixtures.emulator import Emulator

PARAMS = {"model": "claude-haiku-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
MISSING = "msgbatch_01AAAAAAAAAAAAAAAAAAAAAA"


def body(count: int = 2, *, pause_seconds: float = 0) -> Body:
    """A body of so many requests, in two pieces, with a pause after each."""
    data = msgspec.json.encode({"requests": [{"custom_id": f"r{n}", "params": PARAMS} for n in range(count)]})

    def pieces() -> Iterator[bytes]:
        for piece in (data[:10], data[10:]):
            yield piece
            time.sleep(pause_seconds)

    return Body(pieces=pieces(), length=len(data), requests=count)


def client(emulator: Emulator) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)


def lists(emulator: Emulator) -> list[str]:
    """The list calls that came in."""
    calls = emulator.log()["calls"]
    return [
        call["path"] for call in calls if call["method"] == "GET" and call["path"].split("?")[0].endswith("batches")
    ]


@pytest.fixture
def claude(emulator: Emulator) -> Iterator[Claude]:
    with Claude(client(emulator), name="anthropic_default") as claude:
        yield claude


def test_a_batch_is_made_waited_for_and_read(claude: Claude) -> None:
    batch_id = claude.create(body(3), since=datetime.now(UTC))
    status = claude.retrieve(batch_id)
    assert (status.ended, status.requests) == (True, 3)
    assert status.expires_at - status.created_at == timedelta(hours=24)
    with claude.results(batch_id) as pieces:
        assert b"".join(pieces).count(b"\n") == 3


def test_a_create_is_sent_with_its_length(claude: Claude, emulator: Emulator) -> None:
    claude.create(body(), since=datetime.now(UTC))
    assert [call["retry_count"] for call in emulator.creates()] == [0]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset_after_create"},
        {"kind": "reset_before_create"},
        {"kind": "http_error", "on": "create", "status": 500},
        {"kind": "http_error", "on": "create", "status": 529},
        {"kind": "http_error", "on": "create", "status": 499},
    ],
)
def test_a_create_with_an_unclear_end_is_sent_once_and_says_so(
    claude: Claude, emulator: Emulator, fault: dict[str, object]
) -> None:
    emulator.set_faults([fault])
    with pytest.raises(BatchError, match="may have made the batch, or not") as caught:
        claude.create(body(), since=datetime.now(UTC))
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
        claude.create(body(), since=datetime.now(UTC))


@pytest.mark.parametrize(("kind", "answer"), PAGES)
@pytest.mark.parametrize(
    "look",
    [
        lambda claude: claude.retrieve("msgbatch_1"),
        lambda claude: claude.newest_batch(),
        lambda claude: claude.batches_since(None, not_before=datetime.now(UTC)),
    ],
    ids=["retrieve", "newest_batch", "batches_since"],
)
def test_a_look_that_is_answered_by_something_else_may_be_tried_again(
    kind: str, answer: bytes, look: Callable[[Claude], object]
) -> None:
    with proxy(kind, answer) as claude, pytest.raises(ApiError, match="is no ") as caught:
        look(claude)
    assert caught.value.retryable


def test_a_model_that_is_answered_by_a_page_may_be_asked_for_again() -> None:
    with proxy("text/html", b"<p>Please log in") as claude, pytest.raises(ApiError, match="is no "):
        claude.model("claude-haiku-5-5")


def test_a_create_that_is_refused_has_surely_made_nothing(claude: Claude, emulator: Emulator) -> None:
    with pytest.raises(ApiError, match="at least 1 item") as caught:
        claude.create(body(0), since=datetime.now(UTC))
    assert not caught.value.retryable
    assert emulator.batches_made() == []


@pytest.mark.parametrize(("requests", "alone"), [(1, True), (3, False)])
def test_a_body_that_is_too_large_is_told_with_its_bytes_and_the_setting(
    claude: Claude, emulator: Emulator, requests: int, alone: bool
) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 413}])
    sent = body(requests)
    with pytest.raises(ApiError, match="HTTP 413") as caught:
        claude.create(sent, since=datetime.now(UTC))
    assert not caught.value.retryable
    assert f"The body has {sent.length:,} bytes ({requests:,} requests)" in str(caught.value)
    assert "Set limits.batch_bytes in pipeline.yaml to what it takes and start a new run" in str(caught.value)
    assert ("One request cannot be cut" in str(caught.value)) == alone


def test_an_api_that_cannot_be_connected_to_has_surely_made_nothing() -> None:
    nowhere = anthropic.Anthropic(api_key="k", base_url="http://login:secret@127.0.0.1:9", max_retries=0)
    with pytest.raises(ApiError) as caught, Claude(nowhere, name="c") as claude:
        claude.create(body(), since=datetime.now(UTC))
    assert "The API at http://127.0.0.1:9 could not be reached; nothing was lost." in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.retryable


def test_a_rate_limit_on_create_may_be_tried_again_when_the_api_says(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "retry_after": 7}])
    with pytest.raises(ApiError) as caught:
        claude.create(body(), since=datetime.now(UTC))
    assert (caught.value.retryable, caught.value.retry_after_seconds) == (True, 7)


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spend_limit_is_not_waited_out(claude: Claude, emulator: Emulator, code: str) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "error_code": code}])
    with pytest.raises(ApiError, match="spend limit is reached") as caught:
        claude.create(body(), since=datetime.now(UTC))
    assert not caught.value.retryable


def test_a_refused_key_names_its_connection() -> None:
    response = httpx2.Response(401, request=httpx2.Request("GET", "http://x"), json={})
    error = anthropic.AuthenticationError("no", response=response, body=None)
    assert isinstance(refused := translate_error(error, doing="Looking", connection="my_conn"), SetupError)
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
        ours = translate_error(error, doing="Trying", connection="c")
        assert isinstance(ours, EnrichmentError)
        status = getattr(error, "status_code", None)
        assert ours.retryable == (status is None or status in (408, 409, 429, 499) or status >= 500), status


def status_error(status: int, code: str | None) -> anthropic.APIStatusError:
    """What the SDK makes of such an answer."""
    body = {"type": "error", "error": {"type": "x", "message": "no", "details": {"error_code": code} if code else None}}
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://x"), json=body)
    return make_status_error("no", body=body, response=response)


@pytest.mark.parametrize(("status", "code"), ERROR_CLASSES)
def test_every_code_of_the_sdk_is_translated_and_no_refusal_for_good_is_retried(status: int, code: str | None) -> None:
    error = status_error(status, code)
    assert type(error) is ERROR_CLASSES[status, code]
    ours = translate_error(error, doing="Trying", connection="c")
    assert str(ours).startswith(f"Trying failed: HTTP {status}, x: no.")
    spend = ("enforced_spend_limit_reached", "contract_spend_limit_reached")
    may_pass = status in (408, 409, 429, 499) or status >= 500 or code == "request_body_timeout"
    assert ours.retryable == (may_pass and code not in spend)


def refusals(*calls: Callable[..., object]) -> list[str]:
    """The codes that the SDK's docstrings name for these calls, without those of limits."""
    names = {name for call in calls for name in re.findall(r"^ +(\w+Error):", inspect.getdoc(call) or "", re.MULTILINE)}
    return sorted(
        code for (status, code), kind in ERROR_CLASSES.items() if code and kind.__name__ in names and status < 429
    )


def test_the_refusals_that_the_sdk_names_for_our_calls_are_told_with_their_remedy() -> None:
    codes = refusals(Batches.create, Batches.retrieve, Batches.list, Batches.cancel, Batches.results, Models.retrieve)
    assert "workspace_human_review_disabled" in codes
    assert len(codes) == 4
    for code in [*codes, "cmek_key_network_blocked"]:
        ours = translate_error(status_error(400, code), doing="Creating a batch", connection="my_conn")
        assert isinstance(ours, SetupError)
        assert re.search(r", then clear this task\. Nothing was made, and waiting does not help\.$", str(ours)), ours


def test_a_workspace_without_human_review_takes_no_batch_and_the_message_says_which_key_would_do(
    claude: Claude, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "workspace_human_review_disabled", "times": 1}])
    with pytest.raises(SetupError, match=r"Human Review turned off.*with Human Review on into .*'anthropic_default'"):
        claude.create(body(), since=datetime.now(UTC))
    assert emulator.batches_made() == []
    claude.create(body(), since=datetime.now(UTC))


def test_what_is_no_answer_or_no_credentials_is_not_told_as_an_api_that_cannot_be_reached() -> None:
    response = httpx2.Response(200, request=httpx2.Request("GET", "http://x"))
    odd = translate_error(anthropic.APIResponseValidationError(response, None), doing="Looking", connection="c")
    assert odd.retryable
    assert "no answer of the API" in str(odd)
    none = translate_error(anthropic.CredentialsError("no token file"), doing="Looking", connection="my_conn")
    assert isinstance(none, SetupError)
    assert "no token file" in str(none)
    assert "'my_conn'" in str(none)


def test_credentials_that_are_missing_when_they_are_needed_are_told(emulator: Emulator) -> None:
    def token(**_: Any) -> Any:
        raise anthropic.IdentityTokenFileError("there is no token file")

    behind = anthropic.Anthropic(credentials=token, base_url=emulator.url, max_retries=0)
    with Claude(behind, name="my_conn") as claude:
        with pytest.raises(SetupError, match="'my_conn' gives no credentials"):
            claude.newest_batch()
        with pytest.raises(SetupError, match="'my_conn' gives no credentials"):
            claude.create(body(), since=datetime.now(UTC))


@pytest.mark.parametrize("code", ["linked_organization_spend_limit_reached", None])
def test_an_account_that_cannot_be_billed_is_not_waited_for(code: str | None) -> None:
    ours = translate_error(status_error(402, code), doing="Creating a batch", connection="c")
    assert "cannot be billed, so waiting does not help. Settle it in the Claude console" in str(ours)
    assert not ours.retryable


def test_an_unknown_batch_is_told_apart_once_the_list_has_not_got_it_either(claude: Claude, emulator: Emulator) -> None:
    claude.create(body(), since=datetime.now(UTC))
    with pytest.raises(BatchNotFound, match=f"{MISSING}.*list of the last 30 days' batches does not have it either"):
        claude.retrieve(MISSING)
    assert len(lists(emulator)) == 1


def test_a_batch_that_only_the_list_knows_is_known(
    claude: Claude, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    batch_id = claude.create(body(), since=datetime.now(UTC))
    status = claude.retrieve(batch_id)
    emulator.set_faults([{"kind": "not_found"}])
    with caplog.at_level(logging.WARNING):
        assert claude.retrieve(batch_id) == status
    assert f"{batch_id}: the API says 404" in caplog.text


@pytest.mark.parametrize("status", [404, 503])
def test_a_list_that_fails_says_nothing_of_the_batch(claude: Claude, emulator: Emulator, status: int) -> None:
    batch_id = claude.create(body(), since=datetime.now(UTC))
    emulator.set_faults([{"kind": "not_found"}, {"kind": "http_error", "on": "list", "status": status}])
    with pytest.raises(ApiError) as caught:
        claude.retrieve(batch_id)
    assert caught.value.retryable
    assert not isinstance(caught.value, BatchNotFound)


def test_an_unknown_batch_is_searched_for_page_by_page(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_module, "PAGE_BATCHES", 2)
    oldest, *_ = (claude.create(body(), since=datetime.now(UTC)) for _ in range(5))
    emulator.set_faults([{"kind": "not_found"}])
    assert claude.retrieve(oldest).batch_id == oldest
    assert len(lists(emulator)) == 3


def test_an_unknown_batch_is_not_searched_for_among_those_that_nobody_can_load_any_more(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_module, "PAGE_BATCHES", 1)
    for _ in range(3):
        claude.create(body(), since=datetime.now(UTC))
    monkeypatch.setattr(claude_module, "LISTED_FOR", timedelta(0))
    with pytest.raises(BatchNotFound):
        claude.retrieve(MISSING)
    assert len(lists(emulator)) == 1


def test_the_newest_batch_is_found_with_one_short_call(claude: Claude, emulator: Emulator) -> None:
    assert claude.newest_batch() is None
    newest = [claude.create(body(), since=datetime.now(UTC)) for _ in range(3)][-1]
    assert claude.newest_batch() == newest
    assert [path.split("?")[1] for path in lists(emulator)] == ["limit=1", "limit=1"]


def test_the_batches_since_a_fence_are_those_that_are_newer(claude: Claude) -> None:
    first, second, third, fourth = (claude.create(body(), since=datetime.now(UTC)) for _ in range(4))

    def since(fence: str | None, ago: timedelta) -> list[str]:
        return [batch.batch_id for batch in claude.batches_since(fence, not_before=datetime.now(UTC) - ago)]

    hour = timedelta(hours=1)
    assert since(second, hour) == [fourth, third]
    assert since(fourth, hour) == []
    assert since(None, hour) == since("msgbatch_of_another_day", hour) == [fourth, third, second, first]
    assert since(first, -hour) == []


def test_a_batch_of_the_very_moment_of_the_bound_is_among_those_since(claude: Claude) -> None:
    older, newer = (claude.retrieve(claude.create(body(), since=datetime.now(UTC))) for _ in range(2))
    assert claude.batches_since(None, not_before=newer.created_at) == [newer]
    assert claude.batches_since(None, not_before=older.created_at) == [newer, older]


@pytest.mark.parametrize(("newer", "pages"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3)])
def test_no_more_pages_are_asked_for_than_hold_what_is_newer(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, newer: int, pages: int
) -> None:
    monkeypatch.setattr(claude_module, "PAGE_BATCHES", 2)
    made = [claude.create(body(), since=datetime.now(UTC)) for _ in range(8)]
    found = claude.batches_since(made[-1 - newer], not_before=datetime.now(UTC) - timedelta(hours=1))
    assert [batch.batch_id for batch in found] == made[::-1][:newer]
    assert len(lists(emulator)) == pages


def test_a_canceled_batch_ends(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    batch_id = claude.create(body(), since=datetime.now(UTC))
    claude.cancel(batch_id)
    status = claude.retrieve(batch_id)
    assert (status.ended, status.counts["canceled"]) == (True, 2)


def test_a_batch_that_has_ended_may_be_canceled_to_no_effect(claude: Claude) -> None:
    batch_id = claude.create(body(), since=datetime.now(UTC))
    claude.cancel(batch_id)
    assert claude.retrieve(batch_id).counts["succeeded"] == 2


def test_a_cancel_that_is_refused_while_the_batch_runs_is_an_error(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}, {"kind": "http_error", "on": "cancel", "status": 400}])
    batch_id = claude.create(body(), since=datetime.now(UTC))
    with pytest.raises(ApiError, match=f"Canceling batch {batch_id} failed: HTTP 400"):
        claude.cancel(batch_id)


def test_a_cancel_of_a_batch_that_is_not_there_is_told(claude: Claude) -> None:
    with pytest.raises(BatchNotFound, match=f"Canceling batch {MISSING}"):
        claude.cancel(MISSING)


def test_a_create_that_takes_too_long_is_given_up_before_its_end_and_makes_nothing(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_module, "_SEND_SECONDS", 0.2)
    with pytest.raises(ApiError, match=r"the body was not sent by .* UTC") as caught:
        claude.create(body(pause_seconds=0.4), since=datetime.now(UTC))
    assert caught.value.retryable
    assert emulator.batches_made() == []


def test_a_process_that_was_suspended_since_its_claim_sends_nothing(claude: Claude, emulator: Emulator) -> None:
    with pytest.raises(ApiError, match="was not sent by"):
        claude.create(body(), since=datetime.now(UTC) - timedelta(minutes=20))
    assert emulator.batches_made() == []


def test_a_body_that_was_out_too_late_is_without_a_clear_end(claude: Claude, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claude_module, "_SEND_SECONDS", 0.6)
    with pytest.raises(BatchError, match=r"was not sent by .*may have made the batch, or not"):
        claude.create(body(pause_seconds=0.4), since=datetime.now(UTC))


def test_a_body_that_fails_before_its_end_makes_nothing_and_its_own_error_is_told(
    claude: Claude, emulator: Emulator
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"requests":['
        raise LakeError("the chunk is damaged")

    with pytest.raises(LakeError, match="the chunk is damaged"):
        claude.create(Body(pieces=pieces(), length=100, requests=1), since=datetime.now(UTC))
    assert emulator.batches_made() == []


def test_the_length_of_a_body_is_told_before_it(emulator: Emulator) -> None:
    sent: list[httpx2.Request] = []
    http = httpx2.Client(event_hooks={"request": [sent.append]})
    behind = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0, http_client=http)
    with Claude(behind, name="c") as claude:
        claude.create(whole := body(), since=datetime.now(UTC))
    assert sent[0].headers["content-length"] == str(whole.length)
    assert "transfer-encoding" not in sent[0].headers


def test_all_that_a_create_waits_for_adds_up_to_its_bound() -> None:
    timeout = claude_module._CREATE_TIMEOUT
    assert timeout.read is not None
    assert timeout.write is not None
    assert timeout.connect is not None
    assert claude_module._SEND_SECONDS + timeout.write + timeout.read == CREATE_SECONDS
    assert timeout.connect < claude_module._SEND_SECONDS


def test_results_that_break_off_are_an_error_that_may_be_begun_again(claude: Claude, emulator: Emulator) -> None:
    batch_id = claude.create(body(50), since=datetime.now(UTC))
    emulator.set_faults([{"kind": "cut_results", "times": 1}])
    with pytest.raises(LoadError, match="broke off") as caught, claude.results(batch_id) as pieces:
        b"".join(pieces)
    assert caught.value.retryable
    with claude.results(batch_id) as pieces:
        assert b"".join(pieces).count(b"\n") == 50


def test_results_come_unpacked_also_from_a_server_that_packs_them(claude: Claude, emulator: Emulator) -> None:
    batch_id = claude.create(body(50), since=datetime.now(UTC))
    with claude.results(batch_id) as pieces:
        plain = b"".join(pieces)
    emulator.set_faults([{"kind": "gzip_results"}])
    with claude.results(batch_id) as pieces:
        assert sorted(b"".join(pieces).splitlines()) == sorted(plain.splitlines())


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served_by(handler: type[_Handler]) -> Iterator[Claude]:
    """An API of which the handler is all there is, for what the emulator does not do."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with Claude(anthropic.Anthropic(api_key="k", base_url=url), name="c") as claude:
            yield claude
        server.shutdown()


def endless(left: Event) -> type[_Handler]:
    """Results that have no end; ``left`` is set once their reader has gone."""

    class Endless(_Handler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b'{"custom_id": "r"}\n' * 1000)
            except OSError:
                left.set()

    return Endless


def test_results_may_be_left_early_without_reading_the_rest() -> None:
    left = Event()
    with served_by(endless(left)) as claude:
        with claude.results("msgbatch_1") as pieces:
            assert next(pieces).startswith(b'{"custom_id": "r"}')
        assert left.wait(10)


def answering(data: bytes) -> type[_Handler]:
    """The same answer to whatever is sent."""

    class Answering(_Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Answering


@pytest.mark.parametrize("tokens", ["0", "-5", "true", "1.5", '"12"', "null", "1e999", f"1{'0' * 400}"])
def test_a_count_of_tokens_that_cannot_be_is_none(tokens: str) -> None:
    with (
        served_by(answering(f'{{"input_tokens": {tokens}}}'.encode())) as claude,
        pytest.raises(ApiError, match="gave no count"),
    ):
        claude.count_tokens(PARAMS)


def test_a_count_of_tokens_is_not_waited_for_long(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.set_faults([{"kind": "slow", "on": "count_tokens", "seconds": 1}])
    monkeypatch.setattr(claude_module, "_COUNT_SECONDS", 0.2)
    with pytest.raises(ApiError) as raised:
        claude.count_tokens(PARAMS)
    assert isinstance(raised.value.__cause__, anthropic.APITimeoutError)


def test_a_model_is_described_and_an_unknown_one_is_none(claude: Claude) -> None:
    model = claude.model("claude-haiku-5-5")
    assert model is not None
    assert (model.lifecycle, model.batches, model.structured_outputs) == ("active", True, True)
    assert model.thinking_types["disabled"]
    assert claude.model("claude-does-not-exist") is None


def test_the_models_are_listed_and_none_where_that_fails(claude: Claude, emulator: Emulator) -> None:
    assert "claude-haiku-5-5" in claude.model_ids()
    with proxy("text/html", b"<p>Please log in") as refused:
        assert refused.model_ids() == []
    emulator.set_faults([{"kind": "http_error", "on": "models", "status": 403}])
    assert claude.model_ids() == []


def test_a_model_tells_when_it_retires(claude: Claude) -> None:
    found = {name: claude.model(name) for name in ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-5-5")}
    assert [model and model.retires_on for model in found.values()] == [date(2027, 1, 22), date(2026, 11, 30), None]


@pytest.mark.parametrize("header", ["nan", "inf", "-3", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_advice_on_when_to_come_back_that_makes_no_sense_is_none(header: str) -> None:
    response = httpx2.Response(429, request=httpx2.Request("GET", "http://x"), headers={"retry-after": header})
    error = translate_error(
        anthropic.RateLimitError("no", response=response, body=None), doing="Looking", connection="c"
    )
    assert isinstance(error, ApiError)
    assert error.retry_after_seconds is None
