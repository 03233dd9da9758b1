"""One row becomes one request: the exact bytes that are sent for it, and the id that those bytes give it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from include.enrichment.requests.template import Template

#: The Messages API takes 32 MB a request; no figure is documented for one request of a batch (docs of errors,
#: 2026-10-08).
MAX_REQUEST_BYTES = 32_000_000

#: Keeps the place of a row's text. In JSON no such byte stands by itself, whatever a text holds.
_HOLE = msgspec.Raw(b"\0")


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    A row rendered for the API.

    :param request_id: made of ``params``; it is the ``custom_id`` at the API
    :param params: the body of a Messages request as compact UTF-8 JSON, byte for byte as it is sent
    """

    request_id: str
    params: str


class Unsendable(ValueError):
    """The row gives no request that the API can take; the message says why."""


def request_id(params: bytes, *, salt: str = "") -> str:
    """
    The id of a request of these bytes: the first 22 characters of base64url(SHA-256(params + salt)).

    The same content is the same request, whichever row, run or night it comes from. Give a ``salt`` where a fresh
    answer is wanted.
    """
    digest = hashlib.sha256(params + salt.encode()).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode()


def make_request(params: bytes, *, salt: str = "") -> Request:
    """A request of the bytes that are to be sent, with their request_id()."""
    return Request(request_id=request_id(params, salt=salt), params=params.decode())


def encode_params(params: Mapping[str, Any]) -> bytes:
    """
    The body of a Messages request as the bytes that are sent: compact UTF-8 JSON, members in the order of ``params``;
    a ``msgspec.Raw`` among them stands as it is.

    Raises Unsendable if a text is not valid Unicode or there are more than MAX_REQUEST_BYTES.
    """
    return _within_limit(_encode(params))


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        raise Unsendable(
            f"its text is not valid Unicode ({error.reason} at character {error.start:,} of the prompt)"
        ) from error


def _within_limit(params: bytes, most: int = MAX_REQUEST_BYTES) -> bytes:
    if len(params) > MAX_REQUEST_BYTES:
        raise Unsendable(f"it renders to {len(params):,} bytes, and one request may hold {MAX_REQUEST_BYTES:,}")
    if len(params) > most:
        raise Unsendable(
            f"it renders to {len(params):,} bytes, and limits.batch_bytes leaves room for {most:,} in a batch of one"
        )
    return params


class Renderer:
    """
    Renders rows with a pipeline's prompts.

    Row text is data: the templates see it as values and it is never itself a template. A NULL renders as nothing.

    :param constant: the members of ``params`` before and after ``system`` and ``messages``: they are the same for every
        row
    :param cache: the lifetime of the system prompt in the prompt cache, None for no caching
    :param max_bytes: the most bytes that a batch has room for in the params of one request
    """

    def __init__(
        self,
        *,
        system: Template,
        user: Template,
        constant: Mapping[str, Any],
        cache: str | None,
        salt: str = "",
        max_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        self._system = system
        self._user = user
        self._constant = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in constant.items()}
        self._cache_control = {"cache_control": {"type": "ephemeral", "ttl": cache}} if cache else {}
        self._salt = salt
        self._max_bytes = max_bytes
        self._framed: tuple[str, bytes, bytes] | None = None

    def render(self, row: Mapping[str, Any]) -> Request:
        """The request for ``row`` (column name to value). Raises what encode() raises."""
        request_id, params = self.encode(row)
        return Request(request_id=request_id, params=params.decode())

    def encode(self, row: Mapping[str, Any]) -> tuple[str, bytes]:
        """
        The id of the request for ``row`` (column name to value), and its params as the bytes that are sent.

        Raises Unsendable if the row's prompt is empty, its text is not valid Unicode or the request is larger than
        MAX_REQUEST_BYTES or ``max_bytes``, SpecError if a template fails on this row.
        """
        system, user = self._system.render(row), self._user.render(row)
        if not user.strip():
            raise Unsendable(f"its prompt is empty: {self._user.file} renders to nothing for it")
        before, after = self._frame(system)
        params = _within_limit(b"".join((before, _encode(user), after)), self._max_bytes)
        return request_id(params, salt=self._salt), params

    def _frame(self, system: str) -> tuple[bytes, bytes]:
        """The params before and after the user's text. They are made anew only where the system prompt has changed."""
        if self._framed is None or self._framed[0] != system:
            params = {
                **self._constant,
                "system": [{"type": "text", "text": system, **self._cache_control}],
                "messages": [{"role": "user", "content": _HOLE}],
            }
            if not system.strip():
                del params["system"]
            before, after = _encode(params).split(bytes(_HOLE))
            self._framed = system, before, after
        return self._framed[1:]
