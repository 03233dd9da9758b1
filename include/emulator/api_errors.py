"""
The API's errors and their one envelope.

ApiError         a response other than 200; raised anywhere below a route and rendered once, in http/server.py
RequestRejected  the ``params`` of one request are invalid: an errored line in a batch, a 4xx in POST /v1/messages
"""

from __future__ import annotations

from collections.abc import Mapping

TYPE_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ApiError(Exception):
    """An error response; the error type follows from ``status``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """Return the API's name for this status; an unlisted status counts as a failure of the server."""
        return TYPE_BY_STATUS.get(self.status, "api_error")


class RequestRejected(Exception):
    """One request has invalid ``params``; it is not billed."""

    def __init__(
        self, message: str, *, type: str = "invalid_request_error", details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.details = details

    def to_api_error(self) -> ApiError:
        """Return the error response of POST /v1/messages, where one request is the whole call."""
        status = next(status for status, type in TYPE_BY_STATUS.items() if type == self.type)
        return ApiError(status, self.message, details=self.details)


def envelope(
    type: str, message: str, request_id: str | None, details: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return the API's error object: the whole error response, and one level down in an errored line."""
    error: dict[str, object] = {"type": type, "message": message}
    if details:
        error["details"] = details
    return {"type": "error", "error": error, "request_id": request_id}
