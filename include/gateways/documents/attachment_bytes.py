"""The bytes of attachments as they are sent: read again, made again, and compared with what extract found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from include.enrichment.documents.attachment import Attachment
from include.enrichment.errors import LakeError
from include.gateways.disk import disk_errors, sha256_of, working_folder
from include.gateways.documents.inspector import CannotMake
from include.gateways.lake import ObjectMissing, UnreadableKey

if TYPE_CHECKING:
    from include.gateways.documents.buckets import Buckets
    from include.gateways.documents.inspector import Inspector

_CLEAR = "No batch was created. Clear the run's `extract` with downstream: rows with an answer are not billed again."


class AttachmentBytes:
    """
    Reads attachments. Several threads may use it.

    Both methods raise LakeError, not to be retried, if the object is gone or has other bytes than extract read, and the
    errors of Buckets if the store fails.

    :param inspector: applies the recipes
    """

    def __init__(self, buckets: Buckets, inspector: Inspector) -> None:
        self._buckets = buckets
        self._inspector = inspector

    def read(self, attachment: Attachment) -> bytes:
        """Return the attachment's bytes as sent, before base64."""
        with working_folder() as temporary:
            self.fetch(attachment, path := temporary / "attachment")
            return path.read_bytes()

    def fetch(self, attachment: Attachment, path: Path) -> None:
        """Write the attachment's bytes as sent, before base64, to a local file. Raises SetupError if the file fails."""
        if not attachment.recipe:
            self._fetch_object(attachment, path)
            return
        original = path.with_name(f"{path.name}.original")
        self._fetch_object(attachment, original)
        try:
            self._inspector.make(original, attachment.recipe, path)
        except CannotMake as error:
            raise LakeError(
                f"{attachment.uri} could not be prepared again as in extract: the document {error.problem}."
                " No batch was created. If this repeats, clear the run's `extract` with downstream.",
                retryable=True,
            ) from error
        with disk_errors(original):
            original.unlink()
        if sha256_of(path) != attachment.sent_sha256:
            raise LakeError(
                f"{attachment.uri} is unchanged, but '{attachment.recipe}' makes {path.stat().st_size:,} bytes of it"
                f" that differ from the {attachment.sent_bytes:,} of extract: libraries were updated since. {_CLEAR}",
                retryable=False,
            )

    def _fetch_object(self, attachment: Attachment, path: Path) -> None:
        try:
            stored = self._buckets.fetch(attachment.uri, path)
        except (ObjectMissing, UnreadableKey) as error:
            raise LakeError(f"{error} It was there when extract read it. {_CLEAR}", retryable=False) from error
        if stored.sha256 != attachment.sha256:
            raise LakeError(
                f"{attachment.uri} has changed since extract read it: {stored.size_bytes:,} bytes with SHA-256"
                f" {stored.sha256[:12]}…, not {attachment.size_bytes:,} with {attachment.sha256[:12]}…. {_CLEAR}",
                retryable=False,
            )
