"""The paging parameters of a list call: a limit and a cursor."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import QueryParams

from include.emulator.api_errors import ApiError

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000


@dataclass(frozen=True)
class Page:
    """The requested part of a list; at most one of the two cursors is set."""

    limit: int
    after_id: str | None
    before_id: str | None


def read_page(query: QueryParams) -> Page:
    """Parse the page from a query string. Raises ApiError (400)."""
    limit = read_limit(query)
    if "after_id" in query and "before_id" in query:
        raise ApiError(400, "after_id and before_id cannot be combined")
    return Page(limit, query.get("after_id"), query.get("before_id"))


def read_limit(query: QueryParams) -> int:
    """Parse the size of a page from a query string. Raises ApiError (400)."""
    text = query.get("limit", str(DEFAULT_LIMIT))
    try:
        limit = int(text)
    except ValueError as error:
        message = "limit: Input should be a valid integer, unable to parse string as an integer"
        raise ApiError(400, message) from error
    if not 1 <= limit <= MAX_LIMIT:
        bound = "greater than or equal to 1" if limit < 1 else f"less than or equal to {MAX_LIMIT}"
        raise ApiError(400, f"limit: Input should be {bound}")
    return limit


def render_page(data: list[dict[str, object]], has_more: bool) -> dict[str, object]:
    """Return a page as the API's JSON object."""
    return {
        "data": data,
        "has_more": has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
