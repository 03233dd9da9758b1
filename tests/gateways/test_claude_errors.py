from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic._error_classes import ERROR_CLASSES, make_status_error
from anthropic.resources.messages import Batches
from anthropic.resources.models import Models

from include.enrichment.errors import ApiError, EnrichmentError, SetupError
from include.gateways.claude import Claude
from include.gateways.claude_errors import retry_after_seconds, translate_error
from tests.fixtures.emulator import Emulator
from tests.gateways.claude_api import body


def test_the_error_for_a_rejected_key_names_its_connection() -> None:
    ours = translate_error(status_error(401, None), doing="Retrieving", connection="my_conn")
    assert isinstance(ours, SetupError)
    assert "'my_conn'" in str(ours)


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
    """Build the SDK's error for a response with this status and error code."""
    body = {"type": "error", "error": {"type": "x", "message": "no", "details": {"error_code": code} if code else None}}
    response = httpx2.Response(status, request=httpx2.Request("POST", "http://x"), json=body)
    return make_status_error("no", body=body, response=response)


@pytest.mark.parametrize(("status", "code"), ERROR_CLASSES)
def test_every_code_of_the_sdk_is_translated_and_no_permanent_rejection_is_retried(
    status: int, code: str | None
) -> None:
    error = status_error(status, code)
    assert type(error) is ERROR_CLASSES[status, code]
    ours = translate_error(error, doing="Trying", connection="c")
    assert str(ours).startswith(f"Trying failed: HTTP {status}, x: no.")
    spend = ("enforced_spend_limit_reached", "contract_spend_limit_reached")
    may_pass = status in (408, 409, 429, 499) or status >= 500 or code == "request_body_timeout"
    assert ours.retryable == (may_pass and code not in spend)


def rejections(*calls: Callable[..., object]) -> list[str]:
    """Return the error codes that the SDK's docstrings name for these calls, without those of limits."""
    names = {name for call in calls for name in re.findall(r"^ +(\w+Error):", inspect.getdoc(call) or "", re.MULTILINE)}
    return sorted(
        code for (status, code), kind in ERROR_CLASSES.items() if code and kind.__name__ in names and status < 429
    )


def test_every_rejection_that_the_sdk_documents_for_our_calls_has_a_remedy() -> None:
    codes = rejections(Batches.create, Batches.retrieve, Batches.list, Batches.cancel, Batches.results, Models.retrieve)
    assert "workspace_human_review_disabled" in codes
    assert len(codes) == 4
    for code in [*codes, "cmek_key_network_blocked"]:
        ours = translate_error(status_error(400, code), doing="Creating a batch", connection="my_conn")
        assert isinstance(ours, SetupError)
        assert re.search(r", then clear this task\. Nothing was created, and retrying does not help\.$", str(ours)), (
            ours
        )


def test_a_foreign_response_or_missing_credentials_are_not_reported_as_an_unreachable_api() -> None:
    response = httpx2.Response(200, request=httpx2.Request("GET", "http://x"))
    odd = translate_error(anthropic.APIResponseValidationError(response, None), doing="Retrieving", connection="c")
    assert odd.retryable
    assert "did not come from the API" in str(odd)
    none = translate_error(anthropic.CredentialsError("no token file"), doing="Retrieving", connection="my_conn")
    assert isinstance(none, SetupError)
    assert "no token file" in str(none)
    assert "'my_conn'" in str(none)


def test_credentials_that_are_missing_at_the_first_call_are_reported(emulator: Emulator) -> None:
    def token(**_: Any) -> Any:
        raise anthropic.IdentityTokenFileError("there is no token file")

    behind = anthropic.Anthropic(credentials=token, base_url=emulator.url, max_retries=0)
    with Claude(behind, name="my_conn") as claude:
        with pytest.raises(SetupError, match="'my_conn' provides no credentials"):
            claude.newest_batch()
        with pytest.raises(SetupError, match="'my_conn' provides no credentials"):
            claude.create(body(), since=datetime.now(UTC))


@pytest.mark.parametrize("code", ["linked_organization_spend_limit_reached", None])
def test_an_account_that_cannot_be_billed_is_not_retried(code: str | None) -> None:
    ours = translate_error(status_error(402, code), doing="Creating a batch", connection="c")
    assert "cannot be billed, so retrying does not help. Fix the billing in the Claude console" in str(ours)
    assert not ours.retryable


@pytest.mark.parametrize("header", ["nan", "inf", "-3", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_senseless_retry_after_header_is_ignored(header: str) -> None:
    response = httpx2.Response(429, request=httpx2.Request("GET", "http://x"), headers={"retry-after": header})
    error = anthropic.RateLimitError("no", response=response, body=None)
    ours = translate_error(error, doing="Retrieving", connection="c")
    assert isinstance(ours, ApiError)
    assert ours.retry_after_seconds is None
    assert retry_after_seconds({"retry-after": "7"}) == 7
