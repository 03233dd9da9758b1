from __future__ import annotations

import msgspec
import pytest

from include.enrichment.errors import ApiError
from include.gateways.claude_responses import Batch, BatchPage, CreatedBatch, Model, decode

BATCH = {
    "id": "b",
    "processing_status": "in_progress",
    "request_counts": dict.fromkeys(["processing", "succeeded", "errored", "canceled", "expired"], 0),
    "created_at": "2026-11-01T00:00:00Z",
    "expires_at": "2026-11-02T00:00:00Z",
}


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b'{"id": ""}', b'{"id": 1}', b"<p>Please log in"])
def test_a_create_response_without_an_id_did_not_come_from_the_api(content: bytes) -> None:
    with pytest.raises(ApiError, match="did not come from the API") as caught:
        decode(CreatedBatch, content)
    assert caught.value.retryable


def test_the_cursor_of_a_page_is_its_last_id_if_there_are_more() -> None:
    for has_more, after in ((True, "b"), (False, None)):
        content = msgspec.json.encode({"data": [BATCH], "has_more": has_more, "last_id": "b"})
        assert decode(BatchPage, content).after == after


def test_a_model_without_capabilities_has_unknown_ones() -> None:
    found = decode(Model, b'{"id": "m", "lifecycle": "active", "capabilities": null}').described()
    assert (found.max_tokens, found.batches, found.structured_outputs, found.thinking_types) == (None, None, None, {})


def test_an_unsupported_kind_of_thinking_is_false_and_an_absent_one_unknown() -> None:
    content = b"""
    {"id": "m", "lifecycle": "active", "capabilities": {"batch": {"supported": true},
     "structured_outputs": {"supported": false},
     "thinking": {"supported": true, "types": {"enabled": {"supported": false}, "adaptive": null}}}}
    """
    found = decode(Model, content).described()
    assert (found.batches, found.structured_outputs, found.thinking_types) == (True, False, {"enabled": False})


def test_the_efforts_of_a_model_are_known_as_far_as_the_api_says() -> None:
    content = b"""
    {"id": "m", "lifecycle": "active", "capabilities": {"batch": {"supported": true},
     "structured_outputs": {"supported": true}, "thinking": {"supported": true, "types": {}},
     "effort": {"supported": true, "low": {"supported": true}, "max": {"supported": false}, "xhigh": null}}}
    """
    assert decode(Model, content).described().efforts == {"low": True, "max": False}


def test_the_context_window_and_what_a_model_reads_are_known_if_the_api_says_so() -> None:
    content = b"""
    {"id": "m", "lifecycle": "active", "max_input_tokens": 200000, "capabilities": {"batch": {"supported": true},
     "structured_outputs": {"supported": true}, "thinking": {"supported": true, "types": {}},
     "pdf_input": {"supported": false}, "image_input": {"supported": true}}}
    """
    found = decode(Model, content).described()
    assert (found.context_tokens, found.pdfs, found.images) == (200_000, False, True)


@pytest.mark.parametrize(
    ("processing_status", "ended", "stopped"),
    [("in_progress", False, False), ("canceling", False, True), ("ended", True, True)],
)
def test_a_canceled_batch_has_stopped_before_it_has_ended(processing_status: str, ended: bool, stopped: bool) -> None:
    content = msgspec.json.encode(BATCH | {"processing_status": processing_status, "ended_at": None})
    status = decode(Batch, content).status()
    assert (status.ended, status.stopped, status.ended_at) == (ended, stopped, None)
