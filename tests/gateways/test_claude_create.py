"""claude.py: creating a batch exactly once, and knowing whether it was created."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import anthropic
import httpx2
import pytest

from include.enrichment.errors import ApiError, BatchError, LakeError, SetupError
from include.enrichment.requests.chunk import Body
from include.gateways import claude as claude_module
from include.gateways.claude import CREATE_SECONDS, Claude
from tests.fixtures.emulator import Emulator
from tests.gateways.claude_api import FOREIGN_RESPONSES, body, responding, served_by

UNCLEAR = "may or may not have created the batch"


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
def test_a_create_that_ends_unclear_is_sent_once_and_raises_batch_error(
    claude: Claude, emulator: Emulator, fault: dict[str, object]
) -> None:
    emulator.set_faults([fault])
    with pytest.raises(BatchError, match=UNCLEAR) as caught:
        claude.create(body(), since=datetime.now(UTC))
    assert not caught.value.retryable
    assert len(emulator.creates()) == 1


@pytest.mark.parametrize(("kind", "response"), FOREIGN_RESPONSES)
def test_a_foreign_response_to_a_create_leaves_it_unclear(kind: str, response: bytes) -> None:
    with served_by(responding(response, kind=kind)) as claude, pytest.raises(BatchError, match=UNCLEAR):
        claude.create(body(), since=datetime.now(UTC))


def test_a_rejected_create_has_created_nothing(claude: Claude, emulator: Emulator) -> None:
    with pytest.raises(ApiError, match="at least 1 item") as caught:
        claude.create(body(0), since=datetime.now(UTC))
    assert not caught.value.retryable
    assert emulator.batches_made() == []


@pytest.mark.parametrize(("requests", "alone"), [(1, True), (3, False)])
def test_the_error_for_a_body_that_is_too_large_names_its_bytes_and_the_setting(
    claude: Claude, emulator: Emulator, requests: int, alone: bool
) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 413}])
    sent = body(requests)
    with pytest.raises(ApiError, match="HTTP 413") as caught:
        claude.create(sent, since=datetime.now(UTC))
    assert not caught.value.retryable
    assert f"The body has {sent.length:,} bytes ({requests:,} requests)" in str(caught.value)
    assert "Set limits.batch_bytes in pipeline.yaml to the proxy's limit and start a new run" in str(caught.value)
    assert ("only one request, which cannot be split" in str(caught.value)) == alone


def test_a_create_without_a_connection_has_created_nothing() -> None:
    nowhere = anthropic.Anthropic(api_key="k", base_url="http://login:secret@127.0.0.1:9", max_retries=0)
    with pytest.raises(ApiError) as caught, Claude(nowhere, name="c") as claude:
        claude.create(body(), since=datetime.now(UTC))
    assert "The API at http://127.0.0.1:9 could not be reached. Nothing was lost." in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.retryable


def test_a_rate_limit_on_create_can_be_retried_when_the_api_says(claude: Claude, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "retry_after": 7}])
    with pytest.raises(ApiError) as caught:
        claude.create(body(), since=datetime.now(UTC))
    assert (caught.value.retryable, caught.value.retry_after_seconds) == (True, 7)


@pytest.mark.parametrize("code", ["enforced_spend_limit_reached", "contract_spend_limit_reached"])
def test_a_spend_limit_is_not_retried(claude: Claude, emulator: Emulator, code: str) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "create", "status": 429, "error_code": code}])
    with pytest.raises(ApiError, match="has reached a spend limit") as caught:
        claude.create(body(), since=datetime.now(UTC))
    assert not caught.value.retryable


def test_a_workspace_without_human_review_creates_no_batch_and_the_error_says_which_key_would(
    claude: Claude, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "workspace_human_review_disabled", "times": 1}])
    with pytest.raises(SetupError, match=r"Human Review turned off.*with Human Review on into .*'anthropic_default'"):
        claude.create(body(), since=datetime.now(UTC))
    assert emulator.batches_made() == []
    claude.create(body(), since=datetime.now(UTC))


def test_a_create_that_takes_too_long_is_abandoned_and_creates_nothing(
    claude: Claude, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_module, "_SEND_SECONDS", 0.2)
    with pytest.raises(ApiError, match=r"the body was not sent by .* UTC") as caught:
        claude.create(body(pause_seconds=0.4), since=datetime.now(UTC))
    assert caught.value.retryable
    assert emulator.batches_made() == []


def test_a_process_that_was_suspended_after_its_claim_sends_nothing(claude: Claude, emulator: Emulator) -> None:
    with pytest.raises(ApiError, match="was not sent by"):
        claude.create(body(), since=datetime.now(UTC) - timedelta(minutes=20))
    assert emulator.batches_made() == []


def test_a_body_whose_last_piece_was_sent_too_late_leaves_the_create_unclear(
    claude: Claude, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_module, "_SEND_SECONDS", 0.6)
    with pytest.raises(BatchError, match=rf"was not sent by .*{UNCLEAR}"):
        claude.create(body(pause_seconds=0.4), since=datetime.now(UTC))


def test_a_body_that_fails_before_its_end_creates_nothing_and_raises_its_own_error(
    claude: Claude, emulator: Emulator
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"requests":['
        raise LakeError("the chunk is damaged")

    with pytest.raises(LakeError, match="the chunk is damaged"):
        claude.create(Body(pieces=pieces(), length=100, requests=1), since=datetime.now(UTC))
    assert emulator.batches_made() == []


def test_the_length_is_sent_before_the_body(emulator: Emulator) -> None:
    sent: list[httpx2.Request] = []
    http = httpx2.Client(event_hooks={"request": [sent.append]})
    behind = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0, http_client=http)
    with Claude(behind, name="c") as claude:
        claude.create(whole := body(), since=datetime.now(UTC))
    assert sent[0].headers["content-length"] == str(whole.length)
    assert "transfer-encoding" not in sent[0].headers


def test_all_timeouts_of_a_create_add_up_to_its_bound() -> None:
    timeout = claude_module._CREATE_TIMEOUT
    assert timeout.read is not None
    assert timeout.write is not None
    assert timeout.connect is not None
    assert claude_module._SEND_SECONDS + timeout.write + timeout.read == CREATE_SECONDS
    assert timeout.connect < claude_module._SEND_SECONDS
