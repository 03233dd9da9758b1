"""Responses of the API, decoded to the fields in use. (Building the SDK's own models takes ten times as long.)"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec

from include.enrichment.batches.poll import BatchStatus
from include.enrichment.documents.upload import UploadedFile
from include.enrichment.errors import ApiError
from include.enrichment.requests.request import MAX_REQUEST_BYTES
from include.enrichment.spec.model_capabilities import ModelCapabilities

_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_Response = TypeVar("_Response")


class CreatedBatch(msgspec.Struct, frozen=True):
    """The response to a create."""

    id: Annotated[str, msgspec.Meta(min_length=1)]


class _Counts(msgspec.Struct, frozen=True):
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


class Batch(msgspec.Struct, frozen=True):
    """A batch, alone or in the list."""

    id: str
    processing_status: str
    request_counts: _Counts
    created_at: _Time
    expires_at: _Time
    ended_at: _Time | None = None

    def status(self, retry_after: float | None = None) -> BatchStatus:
        """Return the batch as the rest of the project knows it."""
        return BatchStatus(
            batch_id=self.id,
            ended=self.processing_status == "ended",
            counts=msgspec.structs.asdict(self.request_counts),
            created_at=self.created_at,
            expires_at=self.expires_at,
            canceling=self.processing_status == "canceling",
            ended_at=self.ended_at,
            retry_after_seconds=retry_after,
        )


class BatchPage(msgspec.Struct, frozen=True):
    """
    A page of the list of batches, newest first.

    A page without its cursor is an error, never the last page: a batch missing from the list may be sent again.
    """

    data: list[Batch]
    has_more: bool
    last_id: str | None = None

    def __post_init__(self) -> None:
        if self.has_more and not (self.last_id and self.data):
            raise ValueError("there are more pages, but no cursor")

    @property
    def after(self) -> str | None:
        """Return the cursor of the next page, None if this is the last one."""
        return self.last_id if self.has_more else None


class File(msgspec.Struct, frozen=True):
    """An uploaded file, alone or in the list."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    filename: str
    expires_at: _Time | None = None

    def described(self) -> UploadedFile:
        """Return the file as the rest of the project knows it."""
        return UploadedFile(file_id=self.id, name=self.filename, expires_at=self.expires_at)


class FilePage(msgspec.Struct, frozen=True):
    """A page of the list of files, newest first. The last one's ``next_page`` is null, never missing."""

    data: list[File]
    next_page: str | None


class TokenCount(msgspec.Struct, frozen=True):
    """The response to a token count. A request has at least one token, and a token at least one byte."""

    input_tokens: Annotated[int, msgspec.Meta(ge=1, le=MAX_REQUEST_BYTES)]


class _Support(msgspec.Struct, frozen=True):
    supported: bool


class _Thinking(msgspec.Struct, frozen=True):
    types: dict[str, _Support | None]


class _Efforts(msgspec.Struct, frozen=True):
    low: _Support | None = None
    medium: _Support | None = None
    high: _Support | None = None
    xhigh: _Support | None = None
    max: _Support | None = None


class _Capabilities(msgspec.Struct, frozen=True):
    batch: _Support
    structured_outputs: _Support
    thinking: _Thinking
    pdf_input: _Support | None = None
    image_input: _Support | None = None
    effort: _Efforts | None = None


class Model(msgspec.Struct, frozen=True):
    """A model that the API offers."""

    id: str
    lifecycle: str
    max_tokens: int | None = None
    max_input_tokens: int | None = None
    capabilities: _Capabilities | None = None
    retires_at: _Time | None = None

    def described(self) -> ModelCapabilities:
        """Return the model as the rest of the project knows it."""
        known = self.capabilities
        return ModelCapabilities(
            model_id=self.id,
            lifecycle=self.lifecycle,
            max_tokens=self.max_tokens,
            batches=known.batch.supported if known else None,
            structured_outputs=known.structured_outputs.supported if known else None,
            thinking_types={name: kind.supported for name, kind in known.thinking.types.items() if kind}
            if known
            else {},
            efforts={
                name: level.supported
                for name, level in (msgspec.structs.asdict(known.effort) if known and known.effort else {}).items()
                if level
            },
            retires_on=self.retires_at.astimezone(UTC).date() if self.retires_at else None,
            context_tokens=self.max_input_tokens,
            pdfs=known.pdf_input.supported if known and known.pdf_input else None,
            images=known.image_input.supported if known and known.image_input else None,
        )


class ModelPage(msgspec.Struct, frozen=True):
    """The list of models, newest first."""

    data: list[Model]


def decode(kind: type[_Response], content: bytes) -> _Response:
    """Decode a response with status 200. Raises ApiError for any other content, for example a proxy's page."""
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.DecodeError as error:
        text = content[:100].decode(errors="replace")
        raise ApiError(f"The response did not come from the API: {text!r}.", retryable=True) from error
