"""The end of uploaded files: a run that has published deletes those that no other run needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from include.enrichment.documents.upload import EXPIRES_AFTER, Upload
from include.enrichment.errors import ApiError, LakeError, SetupError
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Recorded
from include.gateways.uploads.upload_records import UploadRecords

if TYPE_CHECKING:
    from include.gateways.claude import Claude

log = logging.getLogger(__name__)

_AT_ONCE = 8
_TRIES = 20


def delete_files(folder: RunFolder, *, lake: Lake, open_claude: Callable[[], Claude]) -> int:
    """
    Delete the uploaded files that only this run needed, and return their number.

    It may be killed at any point and may run next to other runs: a file that another run has begun to use stays. A
    failure is logged only, because the run has published: the API deletes the files later by itself.

    :param open_claude: opens the API; called only if there are files
    """
    records = UploadRecords(lake, pipeline=folder.pipeline)
    try:
        # A record was written whenever a run began to need its file. Older files have expired.
        recent = records.changed_since(datetime.now(UTC) - EXPIRES_AFTER)
        ending = list(_released(recent, folder.prefix, records))
        if not ending:
            return 0
        with open_claude() as claude:
            found = claude.files.named([name for each in ending for name in each.value.names])
            with ThreadPoolExecutor(_AT_ONCE) as threads:
                list(threads.map(claude.files.delete, [file.file_id for file in found]))
        for each in ending:
            with suppress(Conflict):  # another run needs the file again, and uploads a new one
                records.write(each.value.deleted(at=datetime.now(UTC)), over=each)
    except (ApiError, SetupError, LakeError) as error:
        log.warning(
            "%s The run's uploaded files were not all deleted. The API deletes them by itself %s days after their"
            " upload; clearing this task tries again.",
            error,
            EXPIRES_AFTER.days,
        )
        return 0
    log.info("%s uploaded files deleted that no other run needs", f"{len(found):,}")
    return len(found)


def _released(recent: list[Recorded[Upload]], run: str, records: UploadRecords) -> Iterator[Recorded[Upload]]:
    """The records whose files are to be deleted, once the run does not need them any more."""
    for each in recent:
        known: Recorded[Upload] | None = each
        for _ in range(_TRIES):
            if known is None or (run not in known.value.runs and known.value.state != "deleting"):
                break
            left = known.value.without(run, at=datetime.now(UTC))
            try:
                if run in known.value.runs:
                    known = records.write(left, over=known)
            except Conflict:
                known = records.find(each.value.content_id)
                continue
            if left.state == "deleting":
                yield known
            break
