"""Errors of the Claude SDK as ours: whether a call may be retried, and whether it may have cost money."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

import anthropic
import httpx2

from include.enrichment.errors import ApiError, BatchError, BatchNotFound, EnrichmentError, SetupError
from include.enrichment.requests.chunk import Body

#: The API keeps results for 29 days after a batch's creation. Older batches are useless to any caller.
LISTED_FOR = timedelta(days=30)
#: A longer `retry-after` is an error on the sender's part. (The header may also hold "nan" or a date.)
_LONGEST_RETRY_AFTER_SECONDS = 3600
#: After these statuses the API may have created the batch.
_AMBIGUOUS_STATUS = (408, 409, 499)
_RETRYABLE_STATUS = (408, 409, 429, 499)
_RETRYABLE_CODES = ("request_body_timeout",)
#: Rejections that only a person can resolve, by error code: the cause, and what to do before clearing the task.
_REMEDIES = {
    "workspace_human_review_disabled": (
        "The key's workspace has Human Review turned off, which disables batches. Put the key of a workspace with Human"
        " Review on into connection {connection!r}"
    ),
    "organization_on_hold": (
        "Anthropic has disabled the organization for trust and safety reasons. Appeal to Anthropic, or put the key of"
        " another organization into connection {connection!r}"
    ),
    "claude_code_key_creator_not_member": (
        "The key belongs to the Claude Code workspace, and its creator is no longer a member. Put another key into"
        " connection {connection!r}"
    ),
    "storage_quota_exceeded": (
        "The organization's storage for uploaded files is full. Delete files that nobody needs in the Claude console,"
        " or raise attachments.upload_above in pipeline.yaml"
    ),
    "cmek_key_disabled": (
        "The workspace's encryption key is disabled or revoked. Enable it in your key management service"
    ),
    "cmek_key_network_blocked": (
        "The network rules of your key management service block Anthropic's access to the workspace's encryption key."
        " Allow it"
    ),
}
#: A limit that the organization or workspace set itself is a plain 400, recognizable by its message only (docs of rate
#: limits, 2026-10-08).
_OWN_SPEND_LIMIT = re.compile("reached your specified (workspace )?API usage limits")
#: Codes of a 429 that no wait resolves.
SPEND_LIMITS = ("enforced_spend_limit_reached", "contract_spend_limit_reached")


def translate_error(error: anthropic.AnthropicError, *, doing: str, connection: str) -> ApiError | SetupError:
    """
    Return the error to raise for an SDK error. For creates see create_error().

    :param doing: the attempted action, for the message
    :param connection: the Airflow connection that holds the key
    """
    fact = f"{doing} failed: {_describe(error)}."
    if isinstance(error, anthropic.CredentialsError):
        return SetupError(
            f"{fact} Connection {connection!r} provides no credentials. Nothing was sent. Fix the connection."
        )
    if isinstance(error, anthropic.APIResponseValidationError):
        return ApiError(f"{fact} The response did not come from the API. Nothing was lost.", retryable=True)
    if not isinstance(error, anthropic.APIStatusError):
        return ApiError(f"{fact} The API{_address(error)} could not be reached. Nothing was lost.", retryable=True)
    return _translate_status(error, fact, connection)


def _translate_status(error: anthropic.APIStatusError, fact: str, connection: str) -> ApiError | SetupError:
    status = error.status_code
    if status in (401, 403):
        return SetupError(
            f"{fact} The API rejected the key of connection {connection!r}. Nothing was sent. Put a valid key into the"
            " connection."
        )
    if status == 404:
        return BatchNotFound(fact, retryable=False)
    if remedy := _REMEDIES.get(error.error_code or ""):
        return SetupError(
            f"{fact} {remedy.format(connection=connection)}, then clear this task. Nothing was created, and retrying"
            " does not help."
        )
    if status == 402:
        return ApiError(
            f"{fact} The account cannot be billed, so retrying does not help. Fix the billing in the Claude console,"
            " then clear this task.",
            retryable=False,
        )
    if is_account_error(error):
        return ApiError(
            f"{fact} The account has reached a spend limit, so retrying does not help. Raise the limit in the Claude"
            " console, then clear this task.",
            retryable=False,
        )
    retryable = status in _RETRYABLE_STATUS or status >= 500 or error.error_code in _RETRYABLE_CODES
    return ApiError(fact, retryable=retryable, retry_after_seconds=retry_after_seconds(error.response.headers))


def is_account_error(error: anthropic.APIStatusError) -> bool:
    """Return whether the account cannot be billed or has reached a spend limit, so that every call would fail."""
    reached = error.error_code in SPEND_LIMITS or _OWN_SPEND_LIMIT.search(error.api_message or "")
    return error.status_code == 402 or bool(reached)


def create_error(error: anthropic.AnthropicError, body: Body, *, is_sent: bool, connection: str) -> EnrichmentError:
    """
    Return the error to raise for a create that failed: a BatchError if the API may have created the batch, else another
    one. An error raised by the body's own pieces is returned as it is.

    :param is_sent: whether the last piece of the body was handed to the connection
    """
    if isinstance(error.__cause__, EnrichmentError):
        return error.__cause__
    if is_sent and _may_have_created(error):
        return unclear_create(body.requests, _describe(error))
    if isinstance(error, anthropic.APIStatusError) and error.status_code == 413:
        return _too_large(body, _describe(error))
    return translate_error(error, doing="Creating a batch", connection=connection)


def unclear_create(requests: int, response: str) -> BatchError:
    """Return the error for a create that may or may not have created a batch of that many requests."""
    return BatchError(
        f"Creating a batch of {requests:,} requests ended without a clear response ({response}). The API may or may not"
        " have created the batch."
    )


def _may_have_created(error: anthropic.AnthropicError) -> bool:
    """Return False if the API rejected the create, or no connection was established."""
    if isinstance(error, anthropic.APIStatusError):
        return error.status_code in _AMBIGUOUS_STATUS or error.status_code >= 500
    return not isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)


def _too_large(body: Body, response: str) -> ApiError:
    alone = (
        " The batch has only one request, which cannot be split: its row becomes a reject if the limit is below its"
        " size."
        if body.requests == 1
        else ""
    )
    return ApiError(
        f"Creating a batch failed: {response}. The body has {body.length:,} bytes ({body.requests:,} requests). The API"
        " accepts 256 MB, so something in between, probably a proxy, accepts less. No batch was created. Set"
        " limits.batch_bytes in pipeline.yaml to the proxy's limit and start a new run, which sends smaller"
        f" batches.{alone}",
        retryable=False,
    )


def not_listed(error: BatchNotFound) -> BatchNotFound:
    """Return the error for a batch that the API answers 404 for and that its list does not contain either."""
    return BatchNotFound(
        f"{error} The list of the batches of the last {LISTED_FOR.days} days does not contain it either.",
        retryable=False,
    )


def list_error(error: ApiError | SetupError) -> ApiError | SetupError:
    """Return the error for a failed list call: a 404 there says nothing about any batch."""
    return ApiError(str(error), retryable=True) if isinstance(error, BatchNotFound) else error


def may_have_stopped(error: anthropic.AnthropicError) -> bool:
    """Return whether a rejected cancel may mean that the batch had stopped; the API does not document the status."""
    return isinstance(error, anthropic.APIStatusError) and error.status_code in (400, 409)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a response requests, None if it requests none or a senseless one."""
    try:
        seconds = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds <= _LONGEST_RETRY_AFTER_SECONDS else None


def _describe(error: anthropic.AnthropicError) -> str:
    if isinstance(error, anthropic.APIStatusError):
        request_id = f" ({error.request_id})" if error.request_id else ""
        return f"HTTP {error.status_code}, {error.type or 'no type'}: {error.api_message or error.message}{request_id}"
    return f"{type(error).__name__}: {error.__cause__ or error}"


def _address(error: anthropic.AnthropicError) -> str:
    """Return the address of a call that got no response, without the secrets that a URL may contain."""
    if not isinstance(error, anthropic.APIConnectionError):
        return ""
    url = error.request.url
    return f" at {url.scheme}://{url.netloc.decode()}"
