"""
The promises of the documented API, tested with the real SDK.

The same tests run against the emulator and, with ANTHROPIC_API_KEY_CONTRACT and ``-m real_api``, against Anthropic:
that keeps the emulator honest. A whole run costs well under a cent there.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import MODEL, Api, request, results

LABELS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"label": {"type": "string", "enum": ["billing", "bug", "other"]}},
    "required": ["label"],
}


def _message(error: anthropic.APIStatusError) -> str:
    body: Any = error.body
    return str(body["error"]["message"])


def test_a_new_batch_is_in_progress_with_everything_in_processing(api: Api) -> None:
    api.hold_batches()
    batch = api.create(request(), request())
    assert batch.id.startswith("msgbatch_")
    assert batch.processing_status == "in_progress"
    assert batch.request_counts.to_dict() == {
        "processing": 2,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    assert batch.expires_at - batch.created_at == timedelta(hours=24)
    assert (batch.ended_at, batch.cancel_initiated_at, batch.archived_at, batch.results_url) == (None,) * 4


def test_a_batch_always_has_all_ten_keys(api: Api) -> None:
    api.hold_batches()
    raw = api.client.messages.batches.with_raw_response.create(requests=[{"custom_id": "a", "params": request()}])  # type: ignore[typeddict-item]
    body = json.loads(raw.text())
    assert set(body) == {
        *("id", "type", "processing_status", "request_counts", "created_at", "expires_at", "ended_at"),
        *("cancel_initiated_at", "archived_at", "results_url"),
    }
    assert body["created_at"].endswith("Z")
    assert len(body["created_at"]) == len("2026-11-22T01:00:00.123456Z")


def test_each_accepted_create_makes_a_batch_even_if_byte_identical(api: Api) -> None:
    api.hold_batches()
    assert api.create(request()).id != api.create(request()).id


def test_every_response_names_its_request_and_workspace(api: Api) -> None:
    raw = api.client.messages.batches.with_raw_response.list(limit=1)
    assert raw.headers["request-id"].startswith("req_")
    assert raw.headers["anthropic-organization-id"]
    assert raw.headers["anthropic-ratelimit-requests-limit"]


def test_an_error_repeats_its_request_id_in_the_body(api: Api) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        api.client.messages.batches.retrieve("msgbatch_unknown")
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"] == {"type": "not_found_error", "message": "Message Batch msgbatch_unknown not found."}
    assert body["request_id"] == caught.value.response.headers["request-id"]


def test_an_invalid_key_is_rejected(api: Api) -> None:
    with pytest.raises(anthropic.AuthenticationError, match="API key is invalid"):
        api.client.with_options(api_key="invalid-key").messages.batches.list()


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["no spaces"], "requests.0.custom_id: String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"),
        (["a" * 65], "requests.0.custom_id: String should have at most 64 characters"),
        (
            ["dup", "other", "dup"],
            "requests: custom_id's must be unique within a batch. Duplicate custom_id found: dup",
        ),
        ([], "requests: List should have at least 1 item after validation, not 0"),
    ],
    ids=["bad characters", "too long", "duplicate", "empty"],
)
def test_a_custom_id_that_breaks_a_rule_fails_the_whole_create(api: Api, ids: list[str], message: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        api.create(*[request() for _ in ids], ids=ids)
    assert _message(caught.value) == message


def test_a_missing_custom_id_fails_the_whole_create(api: Api) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        api.client.messages.batches.create(requests=[{"params": request()}])  # type: ignore[typeddict-item]
    assert _message(caught.value) == "requests.0.custom_id: Field required"


def test_a_body_that_is_not_json_fails_the_whole_create(api: Api) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        api.client.post("/v1/messages/batches", content=b'{"requests": [', cast_to=object)
    assert _message(caught.value).startswith("The request body is not valid JSON: ")


def test_the_list_is_newest_first_and_pages_both_ways(api: Api) -> None:
    api.hold_batches()
    first, second, third = (api.create(request()).id for _ in range(3))
    newest = api.client.messages.batches.list(limit=2)
    assert [batch.id for batch in newest.data] == [third, second]
    assert (newest.first_id, newest.last_id, newest.has_more) == (third, second, True)
    assert api.client.messages.batches.list(limit=1, after_id=second).data[0].id == first
    assert [batch.id for batch in api.client.messages.batches.list(limit=2, before_id=first).data] == [third, second]


@pytest.mark.parametrize("limit", [0, 1001])
def test_a_page_has_1_to_1000_batches(api: Api, limit: int) -> None:
    with pytest.raises(anthropic.BadRequestError):
        api.client.messages.batches.list(limit=limit)


def test_an_ended_batch_has_one_result_line_for_each_request(api: Api) -> None:
    schema = {"format": {"type": "json_schema", "schema": LABELS}}
    batch = api.create(request(output_config=schema), request(max_tokens=0), request(model="claude-does-not-exist-9"))
    batch = api.ended(batch.id)
    counts = batch.request_counts
    assert (counts.processing, counts.succeeded, counts.errored) == (0, 1, 2)
    lines = results(api.client, batch.id)
    message = lines["r-0"]["message"]
    assert message["model"] == "claude-haiku-4-5-20251001"
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["service_tier"] == "batch"
    assert json.loads(message["content"][-1]["text"])["label"] in {"billing", "bug", "other"}
    assert lines["r-1"]["error"]["error"]["type"] == "invalid_request_error"
    assert lines["r-1"]["error"]["error"]["message"] == "max_tokens: must be greater than or equal to 1"
    assert lines["r-2"]["error"]["error"] == {
        "type": "not_found_error",
        "message": "model: claude-does-not-exist-9",
        "details": {"error_visibility": "user_facing"},
    }


def test_results_are_json_lines(api: Api) -> None:
    batch = api.ended(api.create(request()).id)
    with api.client.messages.batches.with_streaming_response.results(batch.id) as response:
        assert response.headers["content-type"] == "application/x-jsonl"
        assert len(response.read().splitlines()) == 1


def test_there_are_no_results_before_the_end(api: Api) -> None:
    api.hold_batches()
    batch = api.create(request())
    with pytest.raises(anthropic.NotFoundError) as caught:
        api.client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)
    assert _message(caught.value) == f"Message Batch {batch.id} has no available results."


def test_a_poll_of_a_running_batch_has_a_retry_after(api: Api) -> None:
    api.hold_batches()
    batch = api.create(request())
    assert api.client.messages.batches.with_raw_response.retrieve(batch.id).headers["retry-after"] == "10"


def test_a_cancel_is_initiated_first_and_may_be_repeated(api: Api) -> None:
    api.hold_batches()
    batch = api.create(request())
    canceling = api.client.messages.batches.cancel(batch.id)
    assert canceling.processing_status == "canceling"
    assert canceling.cancel_initiated_at is not None
    assert canceling.request_counts.processing == 1


def test_a_running_batch_cannot_be_deleted(api: Api) -> None:
    api.hold_batches()
    batch = api.create(request())
    with pytest.raises(anthropic.BadRequestError) as caught:
        api.client.messages.batches.delete(batch.id)
    assert _message(caught.value) == "In progress batches cannot be deleted. Consider canceling the batch instead."


def test_a_deleted_batch_is_gone(api: Api) -> None:
    batch = api.ended(api.create(request()).id)
    deleted = api.client.messages.batches.delete(batch.id)
    assert deleted.to_dict() == {"id": batch.id, "type": "message_batch_deleted"}
    with pytest.raises(anthropic.NotFoundError):
        api.client.messages.batches.retrieve(batch.id)


def test_an_alias_resolves_to_its_snapshot(api: Api) -> None:
    model = api.client.models.retrieve(MODEL)
    assert model.id == "claude-haiku-4-5-20251001"
    assert model.capabilities is not None
    assert model.capabilities.batch.supported


def test_an_unknown_model_is_not_found(api: Api) -> None:
    with pytest.raises(anthropic.NotFoundError):
        api.client.models.retrieve("claude-does-not-exist-9")


def test_tokens_can_be_counted(api: Api) -> None:
    count = api.client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": "Hello there"}])
    assert 0 < count.input_tokens < 50


def test_a_synchronous_message_is_answered_at_the_standard_tier(api: Api) -> None:
    message = api.client.messages.create(model=MODEL, max_tokens=60, messages=[{"role": "user", "content": "Say hi"}])
    assert message.role == "assistant"
    assert message.usage.service_tier == "standard"


def test_a_workspace_sees_only_its_own_batches(api: Api, client_of: Any) -> None:
    if api.emulator is None:
        pytest.skip("takes a second workspace, and the key for the real API opens one only")
    other: Anthropic = client_of(api.emulator.workspace())
    batch = api.create(request())
    assert other.messages.batches.list().data == []
    with pytest.raises(anthropic.NotFoundError):
        other.messages.batches.retrieve(batch.id)


def test_a_call_without_a_version_is_rejected(api: Api) -> None:
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version"):
        api.client.with_options(default_headers={"anthropic-version": ""}).messages.batches.list()
