"""Renders a row into a request: the exact bytes that are sent, and the id that depends on those bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from include.enrichment.documents.attachment import canonical_params, has_attachments, params_bytes_as_sent
from include.enrichment.requests.template import Template

#: The limit of the Messages API is 32 MB per request; none is documented for a request in a batch (its documentation
#: of errors, 2026-10-08).
MAX_REQUEST_BYTES = 32_000_000

#: The placeholder of a row's text. JSON never contains this byte.
_PLACEHOLDER = msgspec.Raw(b"\0")


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    A row rendered for the API.

    :param request_id: the hash of ``params``; the API's ``custom_id``
    :param params: the body of a Messages request as compact UTF-8 JSON, byte for byte as sent, except that a reference
        stands for the bytes of each attachment
    """

    request_id: str
    params: str


class Unsendable(ValueError):
    """The row makes no request that the API accepts. The message says why."""


def request_id(params: bytes, *, salt: str = "") -> str:
    """
    Return the id of a request: the first 22 characters of base64url(SHA-256(params + salt)).

    The same content is the same request in any row, run or night, wherever its attachments are stored. A ``salt``
    requests a fresh answer.
    """
    digest = hashlib.sha256(canonical_params(params) + salt.encode()).digest()
    return base64.urlsafe_b64encode(digest)[:22].decode()


def make_request(params: bytes, *, salt: str = "") -> Request:
    """Return the request with these params and their request_id()."""
    return Request(request_id=request_id(params, salt=salt), params=params.decode())


def encode_params(params: Mapping[str, Any]) -> bytes:
    """
    Return the body of a Messages request as stored: compact UTF-8 JSON with the members in the order of ``params``. A
    ``msgspec.Raw`` is used unchanged.

    Raises Unsendable if a text is not valid Unicode or the body exceeds MAX_REQUEST_BYTES.
    """
    return _within_limit(encode_json(params))


def encode_json(value: Any) -> bytes:
    """Return the value as JSON. Raises Unsendable if a text in it is not valid Unicode."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        raise Unsendable(
            f"its text is not valid Unicode ({error.reason} at character {error.start:,} of the text)"
        ) from error


def _within_limit(params: bytes, maximum: int = MAX_REQUEST_BYTES) -> bytes:
    size = params_bytes_as_sent(params)
    if size > MAX_REQUEST_BYTES:
        remedy = "; with attachments.upload_above, large documents do not count" if has_attachments(params) else ""
        raise Unsendable(f"it renders to {size:,} bytes; the limit of one request is {MAX_REQUEST_BYTES:,}{remedy}")
    if size > maximum:
        raise Unsendable(
            f"it renders to {size:,} bytes; limits.batch_bytes leaves {maximum:,} for a request in its own batch"
        )
    return params


class Renderer:
    """
    Renders rows with a pipeline's prompts.

    Row text is data: the templates get it as values, and it is never a template itself. A NULL renders as nothing.

    :param constant: the members of ``params`` besides ``system`` and ``messages``, which are the same for every row
    :param cache: the lifetime of the system prompt in the prompt cache; None: no caching
    :param max_bytes: the most bytes of params that fit into a batch of one request
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
        #: The model that is asked.
        self.model = str(constant.get("model", ""))
        self._constant = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in constant.items()}
        self._cache_control = {"cache_control": {"type": "ephemeral", "ttl": cache}} if cache else {}
        self._salt = salt
        self._max_bytes = max_bytes
        self._framed: tuple[str, bytes, bytes] | None = None

    def render(self, row: Mapping[str, Any]) -> Request:
        """Return the request for ``row`` (column name to value). Raises the errors of encode()."""
        request_id, params = self.encode(row)
        return Request(request_id=request_id, params=params.decode())

    def encode(self, row: Mapping[str, Any], blocks: Sequence[msgspec.Raw] = ()) -> tuple[str, bytes]:
        """
        Return the id of the request for ``row`` (column name to value), and its params as stored.

        :param blocks: the content blocks of the row's documents and images, which come before the prompt

        Raises Unsendable if the row's prompt is empty, its text is not valid Unicode or the request exceeds
        MAX_REQUEST_BYTES or ``max_bytes``, SpecError if a template fails on this row.
        """
        system, user = self._system.render(row), self._user.render(row)
        if not user.strip():
            raise Unsendable(f"its prompt is empty: {self._user.file} renders to nothing")
        before, after = self._frame(system)
        content = encode_json([*blocks, {"type": "text", "text": user}] if blocks else user)
        params = _within_limit(b"".join((before, content, after)), self._max_bytes)
        return request_id(params, salt=self._salt), params

    def _frame(self, system: str) -> tuple[bytes, bytes]:
        """Return the params before and after the user's text; encoded again only if the system prompt has changed."""
        if self._framed is None or self._framed[0] != system:
            params = {
                **self._constant,
                "system": [{"type": "text", "text": system, **self._cache_control}],
                "messages": [{"role": "user", "content": _PLACEHOLDER}],
            }
            if not system.strip():
                del params["system"]
            before, after = encode_json(params).split(bytes(_PLACEHOLDER))
            self._framed = system, before, after
        return self._framed[1:]
