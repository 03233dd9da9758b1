"""Failed calls as results of their requests, in the form of a batch's result lines."""

from __future__ import annotations

from typing import Any

import anthropic
import msgspec

from include.enrichment.errors import SetupError
from include.gateways.claude_errors import is_account_error, translate_error

_TYPES = {413: "request_too_large"}
_MESSAGE_CHARACTERS = 500


class _Error(msgspec.Struct):
    type: str
    message: str
    details: Any = None


class _ErrorResponse(msgspec.Struct):
    error: _Error


def errored(error: anthropic.APIStatusError, *, connection: str) -> bytes:
    """
    Return the result of a request that the API rejected.

    Raises SetupError if the API rejects the key or the account, and hence every other request.

    :param connection: the Airflow connection that holds the key
    """
    translated = translate_error(error, doing="Asking for an answer", connection=connection)
    if isinstance(translated, SetupError):
        raise translated from error
    if is_account_error(error):
        raise SetupError(str(translated)) from error
    try:
        found = msgspec.json.decode(error.response.content, type=_ErrorResponse).error
    except msgspec.DecodeError:  # a response of something in between
        text = error.response.text[:_MESSAGE_CHARACTERS]
        found = _Error(_TYPES.get(error.status_code, "api_error"), f"HTTP {error.status_code}: {text}")
    return _result(found, error.request_id)


def no_answer(failure: str, *, tries: int) -> bytes:
    """Return the result of a request whose calls ended without an answer. A later pass asks again."""
    message = f"{tries} calls ended without an answer ({failure}). Each may have been billed."
    return _result(_Error("timeout_error", message), None)


def _result(error: _Error, request_id: str | None) -> bytes:
    envelope = {"type": "error", "error": error, "request_id": request_id}
    return msgspec.json.encode({"type": "errored", "error": envelope})
