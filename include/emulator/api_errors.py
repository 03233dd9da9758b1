"""
The API's errors and their one envelope.

ApiError        an HTTP answer other than 200; raised anywhere below a route and rendered once, in app.py
RequestRefused  one request's ``params`` are not acceptable; an errored line in a batch, a 4xx in POST /v1/messages
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
    """An HTTP error answer; the error type follows from ``status``."""

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
        """The API's name for this status; an unlisted status counts as the server's own failure."""
        return TYPE_BY_STATUS.get(self.status, "api_error")


class RequestRefused(Exception):
    """One request is refused for what its ``params`` say; nothing of it is billed."""

    def __init__(self, message: str, *, type: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.message = message
        self.type = type

    def as_api_error(self) -> ApiError:
        """The same refusal as POST /v1/messages gives it, where one request is the whole call."""
        return ApiError(404 if self.type == "not_found_error" else 400, self.message)


def envelope(
    type: str, message: str, request_id: str | None, details: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The error object of the API: whole answers carry it, and errored lines carry it one level down."""
    error: dict[str, object] = {"type": type, "message": message}
    if details:
        error["details"] = details
    return {"type": "error", "error": error, "request_id": request_id}
