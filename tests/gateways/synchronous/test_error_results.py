from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import msgspec
import pytest

from include.enrichment.errors import SetupError
from include.gateways.synchronous.error_results import errored, no_answer


def failed(status: int, body: object) -> anthropic.APIStatusError:
    """The SDK's error for a response, as its client makes it."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    request = httpx2.Request("POST", "http://api/v1/messages")
    response = httpx2.Response(status, content=content, headers={"request-id": "req_1"}, request=request)
    return anthropic.Anthropic(api_key="k")._make_status_error_from_response(response)


def envelope(type: str, message: str, **details: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": type, "message": message, "details": details}, "request_id": "req_1"}


def test_the_error_of_the_api_is_kept_as_it_is() -> None:
    error = failed(404, envelope("not_found_error", "model: x", error_code="no_model"))
    assert msgspec.json.decode(errored(error, connection="c")) == {
        "type": "errored",
        "error": envelope("not_found_error", "model: x", error_code="no_model"),
    }


@pytest.mark.parametrize(("status", "type"), [(413, "request_too_large"), (520, "api_error")])
def test_the_error_of_a_proxy_has_the_type_of_its_status(status: int, type: str) -> None:
    result = msgspec.json.decode(errored(failed(status, b"<p>No"), connection="c"))
    assert (result["error"]["error"]["type"], result["error"]["error"]["message"]) == (type, f"HTTP {status}: <p>No")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, envelope("authentication_error", "invalid x-api-key")),
        (403, envelope("permission_error", "no")),
        (402, envelope("billing_error", "no card")),
        (429, envelope("rate_limit_error", "limit", error_code="enforced_spend_limit_reached")),
        (400, envelope("invalid_request_error", "You have reached your specified API usage limits.")),
        (400, envelope("invalid_request_error", "on hold", error_code="organization_on_hold")),
    ],
)
def test_an_error_that_every_other_request_would_meet_stops_everything(status: int, body: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=f"Asking for an answer failed: HTTP {status}"):
        errored(failed(status, body), connection="my_conn")


def test_a_request_without_an_answer_says_that_it_may_have_been_billed() -> None:
    error = msgspec.json.decode(no_answer("ReadTimeout", tries=3))["error"]["error"]
    assert error["type"] == "timeout_error"
    assert error["message"] == "3 calls ended without an answer (ReadTimeout). Each may have been billed."
