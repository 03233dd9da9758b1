"""The files of a chunk: what its requests name by a file id is uploaded before the create, once for all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from include.enrichment.batches import submission
from include.enrichment.documents.attachment import Attachment
from include.enrichment.documents.upload import EXPIRES_AFTER, Upload, UploadedFile, begin_upload
from include.enrichment.errors import ApiError, LakeError, NotYet
from include.gateways.claude import Claude
from include.gateways.disk import working_folder
from include.gateways.documents.attachment_bytes import AttachmentBytes
from include.gateways.documents.inspector import Inspector
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Recorded
from include.gateways.uploads.upload_records import UploadRecords
from include.steps.files.chunk_files import Chunk, uploads_in
from include.steps.files.request_body import OpenBuckets

log = logging.getLogger(__name__)

#: Uploads at once. Their files are on the local disk.
_AT_ONCE = 4
_TRIES = 20


def upload_attachments(
    chunk: Chunk, *, run: str, lake: Lake, claude: Claude, open_buckets: OpenBuckets
) -> dict[str, str]:
    """
    Upload what the chunk's requests send as files, and return the file ids by content id: see upload_files().

    :param run: what needs the files: the folder of the run, or the id of one that has none
    :param open_buckets: as for submit()

    Raises the errors of AttachmentBytes, too, if an object is gone or has changed.
    """
    attachments = uploads_in(lake, chunk)
    if not attachments:
        return {}
    assert chunk.attachments_connection
    with Inspector() as inspector:
        attached = AttachmentBytes(open_buckets(chunk.attachments_connection), inspector)
        return upload_files(
            attachments,
            pipeline=chunk.pipeline,
            chunk_id=chunk.chunk_id,
            run=run,
            fetch=attached.fetch,
            lake=lake,
            claude=claude,
        )


def upload_files(
    attachments: Iterable[Attachment],
    *,
    pipeline: str,
    chunk_id: str,
    run: str,
    fetch: Callable[[Attachment, Path], None],
    lake: Lake,
    claude: Claude,
) -> dict[str, str]:
    """
    Make sure that each of the attachments is uploaded until the chunk's batch has ended, and return their file ids by
    content id.

    A file that any run of the pipeline has uploaded is used again, unless it expires too soon or is gone. Uploads are
    free. The record of a file is written before its upload, so a process may die anywhere: the file is found by name.

    :param run: what needs the files: the folder of a run
    :param fetch: writes the bytes of an attachment, as they are sent, to a local file. Several threads call it

    Raises NotYet while the API accepts no uploads or another task uploads one of the files, SetupError or ApiError if
    the API rejects one for a reason that waiting does not fix, and what ``fetch`` raises. Nothing is billed then.
    """
    each = {attachment.content_id: attachment for attachment in attachments}
    if not each:
        return {}
    records = UploadRecords(lake, pipeline=pipeline)
    gone = _gone(records.of(list(each)), claude)
    with working_folder() as temporary, ThreadPoolExecutor(_AT_ONCE) as threads:
        uploader = _Uploader(
            records, chunk_id=chunk_id, run=run, fetch=fetch, claude=claude, gone=gone, folder=temporary
        )
        found = dict(zip(each, threads.map(uploader.file_id, each.values()), strict=True))
    log.info("The chunk's requests name %s uploaded files", f"{len(found):,}")
    return found


def _gone(records: Iterable[Recorded[Upload] | None], claude: Claude) -> set[str]:
    """The recorded files that the API does not have: deleted by hand, or of another workspace."""
    now = datetime.now(UTC)
    known = [each.value for each in records if each and each.value.next_action(now=now) == "use"]
    file_ids = [record.file_id for record in known if record.file_id]
    with _later():
        return set(file_ids) - claude.files.existing(file_ids)


class _Uploader:
    """Finds or uploads the files of one chunk. Several threads use it, for different attachments."""

    def __init__(
        self,
        records: UploadRecords,
        *,
        chunk_id: str,
        run: str,
        fetch: Callable[[Attachment, Path], None],
        claude: Claude,
        gone: set[str],
        folder: Path,
    ) -> None:
        self._records = records
        self._chunk_id = chunk_id
        self._run = run
        self._fetch = fetch
        self._claude = claude
        self._gone = gone
        self._folder = folder

    def file_id(self, attachment: Attachment) -> str:
        """Return the id of the attachment's file, and record that the run needs it."""
        for _ in range(_TRIES):
            known = self._records.find(attachment.content_id)
            try:
                return (known and self._known_file(known)) or self._upload(attachment, known)
            except Conflict:
                continue
        raise LakeError(
            f"Other tasks changed the record of an upload {_TRIES} times at the same moment. No request was sent."
        )

    def _known_file(self, known: Recorded[Upload]) -> str | None:
        """The id of a file that exists already. Raises NotYet if another task may be uploading it at this moment."""
        record, now = known.value, datetime.now(UTC)
        match record.next_action(now=now):
            case "use" if record.file_id not in self._gone:
                if (needed := record.needed_by(self._run)) != record:
                    self._records.write(needed, over=known)
                return record.file_id
            case "look":
                with _later():
                    listed = self._claude.files.named(record.names[-1:])
                # The API lists files that have expired, too. The upload may have been long ago.
                found = [
                    made for file in listed if (made := record.uploaded(file, at=now)).next_action(now=now) == "use"
                ]
                if found and found[0].file_id:
                    log.info("File %s is used: its upload got no response, and the API lists it", found[0].file_id)
                    self._records.write(found[0].needed_by(self._run), over=known)
                    return found[0].file_id
                if record.may_be_uploading(self._chunk_id, now=now):
                    raise NotYet(
                        f"A file that chunk {self._chunk_id} needs has been uploading since"
                        f" {record.changed_at:%H:%M:%S} UTC, in the task of chunk {record.chunk_id}. No request was"
                        " sent.",
                        again_at=now + submission.SOON,
                    )
        return None

    def _upload(self, attachment: Attachment, known: Recorded[Upload] | None) -> str:
        """Upload the attachment and return the file's id. Raises Conflict if another task has begun to do the same."""
        token = uuid4().hex[:8]
        self._fetch(attachment, path := self._folder / token)
        record = begin_upload(
            attachment,
            known.value if known else None,
            token=token,
            chunk_id=self._chunk_id,
            run=self._run,
            at=datetime.now(UTC),
        )
        begun = self._records.write(record, over=known)
        with _later(), path.open("rb") as content:
            file = self._claude.files.upload(
                record.names[-1], content, media_type=attachment.media_type, expires_after=EXPIRES_AFTER
            )
        path.unlink()
        self._record(file, begun)
        return file.file_id

    def _record(self, file: UploadedFile, begun: Recorded[Upload]) -> None:
        """Record the file. If another task assumed that this one had died and uploaded it as well, delete this one."""
        try:
            self._records.write(begun.value.uploaded(file, at=datetime.now(UTC)), over=begun)
        except Conflict:
            again = self._records.find(begun.value.content_id)
            if again is None or again.value.file_id != file.file_id:
                self._claude.files.delete(file.file_id)
            raise


@contextmanager
def _later() -> Iterator[None]:
    """Raise NotYet for a failed call that may succeed later."""
    try:
        yield
    except ApiError as error:
        if not error.retryable:
            raise
        again_at = submission.refusal_ends_at(1, error.retry_after_seconds, now=datetime.now(UTC))
        raise NotYet(f"{error} No batch was created.", again_at=again_at) from error
