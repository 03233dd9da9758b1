"""
Uploaded files: the record of each, which says before an upload that a file may exist, and until when it is needed.

    (none) ──► uploading ──► uploaded ──► deleting ──► deleted
                   ▲             │ expires too soon        │
                   └─────────────┴──── needed again ◄──────┘

A file is known by its name, which is chosen before the upload. So a file whose upload got no response is found in the
API's list, and whatever has one of a record's names can be deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import msgspec
from pydantic import Field

from include.enrichment.documents.attachment import Attachment, attachments_in, reference, split_attachments
from include.enrichment.storage.version import Versioned

State = Literal["uploading", "uploaded", "deleting", "deleted"]
Action = Literal["use", "upload", "look"]

#: The API deletes a file after this long by itself. A file of a run that never publishes disappears so.
EXPIRES_AFTER = timedelta(days=7)
#: A batch reads a file when it processes the request, up to 24 hours after the create. A file that expires sooner than
#: this is uploaded again.
LEAST_LEFT = timedelta(days=2)
#: An upload has ended after this time, however it ends. A later look at the API's list then shows its file.
UPLOAD_WINDOW = timedelta(minutes=20)


@dataclass(frozen=True, kw_only=True)
class UploadedFile:
    """
    A file as the API describes it.

    :param expires_at: UTC; None: it does not expire
    """

    file_id: str
    name: str
    expires_at: datetime | None


class Upload(Versioned):
    """
    The record of one attachment that a pipeline sends as a file.

    :param content_id: Attachment.content_id
    :param names: the names under which the API may have files of it. The last is that of the latest upload
    :param file_id: of the latest upload; None until it is known
    :param expires_at: when the API deletes that file, UTC
    :param changed_at: when the record took its state, UTC
    :param chunk_id: the chunk whose task began the latest upload
    :param runs: the folders of the runs that need the file
    """

    content_id: str
    state: State
    names: list[str]
    file_id: str | None = None
    expires_at: datetime | None = None
    changed_at: datetime
    chunk_id: str
    runs: list[str] = Field(default_factory=list)

    def next_action(self, *, now: datetime) -> Action:
        """Return what a task does that needs the file: use it, upload it, or look whether it has been uploaded."""
        if self.state == "uploading":
            return "look"
        lasts = self.expires_at is None or self.expires_at - now >= LEAST_LEFT
        return "use" if self.state == "uploaded" and lasts else "upload"

    def may_be_uploading(self, chunk_id: str, *, now: datetime) -> bool:
        """Return whether a task of another chunk may be uploading the file at this moment."""
        return self.state == "uploading" and self.chunk_id != chunk_id and now < self.changed_at + UPLOAD_WINDOW

    def uploaded(self, file: UploadedFile, *, at: datetime) -> Self:
        """Return the record with its file."""
        return self._becomes("uploaded", at, file_id=file.file_id, expires_at=file.expires_at)

    def needed_by(self, run: str) -> Self:
        """Return the record with one more run that needs the file."""
        return self if run in self.runs else self.model_copy(update={"runs": [*self.runs, run]})

    def without(self, run: str, *, at: datetime) -> Self:
        """Return the record after the end of a run. A file that no run needs is to be deleted."""
        left = self.model_copy(update={"runs": [each for each in self.runs if each != run]})
        return left if left.runs or self.state in ("deleting", "deleted") else left._becomes("deleting", at)

    def deleted(self, *, at: datetime) -> Self:
        """Return the record after the deletion of its files."""
        return self._becomes("deleted", at, file_id=None, expires_at=None)

    def is_over(self, *, now: datetime) -> bool:
        """Return whether the API certainly has no file of it any more."""
        return self.state == "deleted" or now >= self.changed_at + EXPIRES_AFTER + UPLOAD_WINDOW

    def _becomes(self, state: State, at: datetime, **changes: Any) -> Self:
        return type(self).model_validate({**dict(self), "state": state, "changed_at": at, **changes})


def begin_upload(
    attachment: Attachment, before: Upload | None, *, token: str, chunk_id: str, run: str, at: datetime
) -> Upload:
    """
    Return the record that precedes an upload.

    :param before: the record until now. If an upload may have ended without a response, its name is used again. After
        a deletion it is not: whoever deletes must not find the new file
    :param token: makes the name unique, so that it says for sure who uploaded a file
    """
    names = [] if before is None or before.state == "deleted" else before.names
    if before is None or before.state != "uploading":
        names = [*names, f"{attachment.sent_sha256}-{token}"]
    runs = before.runs if before else []
    return Upload(
        content_id=attachment.content_id, state="uploading", names=names, changed_at=at, chunk_id=chunk_id, runs=runs
    ).needed_by(run)


def find_shared(requests: Iterable[bytes]) -> set[str]:
    """
    Return the content ids that more than one of these requests uses.

    :param requests: the stored params of each, no two alike
    """
    seen, shared = set[int](), set[str]()
    for params in requests:
        for content_id in {attachment.content_id for attachment in attachments_in(params)}:
            name = hash(content_id)  # a tenth of its memory. Two of the same hash would be uploaded, which does no harm
            if name in seen:
                shared.add(content_id)
            seen.add(name)
    return shared


def mark_uploads(params: bytes, shared: Collection[str], *, above: int | None) -> bytes:
    """
    Return stored params in which each attachment says whether it is sent as an uploaded file.

    :param shared: the content ids that more than one request of the run uses
    :param above: AttachmentSettings.upload_above
    """
    return b"".join(
        bytes(reference(_marked(piece, shared, above))) if isinstance(piece, Attachment) else piece
        for piece in split_attachments(params)
    )


def _marked(attachment: Attachment, shared: Collection[str], above: int | None) -> Attachment:
    upload = attachment.content_id in shared or (above is not None and attachment.sent_bytes > above)
    return msgspec.structs.replace(attachment, upload=upload)
