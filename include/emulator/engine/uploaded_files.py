"""
The files of the Files API: a table in the emulator's database, and one file per upload in ``<state>/files``.

A deleted file is gone at once. The content of an expired one is gone too, but its metadata is listed for 30 days more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from include.emulator.api_errors import RequestRejected
from include.emulator.engine.batches import SECOND, timestamp

#: How long the metadata of an expired file is kept.
METADATA_KEPT = 30 * 24 * 3600 * SECOND

_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, workspace TEXT NOT NULL,
    created_at INTEGER NOT NULL, filename TEXT NOT NULL, mime_type TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    expires_at INTEGER, deleted INTEGER NOT NULL DEFAULT 0);
"""
_COLUMNS = "id, workspace, created_at, filename, mime_type, size_bytes, expires_at"


class UploadedFile(msgspec.Struct, frozen=True):
    """The record of an uploaded file. Times are microseconds by the workspace's clock; None: it never expires."""

    id: str
    workspace: str
    created_at: int
    filename: str
    mime_type: str
    size_bytes: int
    expires_at: int | None

    def is_expired(self, now: int) -> bool:
        """Return whether its content is gone."""
        return self.expires_at is not None and now >= self.expires_at

    def describe(self) -> dict[str, object]:
        """Return the file as the API's JSON object."""
        return {
            "id": self.id,
            "type": "file",
            "filename": self.filename,
            "mime_type": self.mime_type,
            "size_bytes": self.size_bytes,
            "created_at": timestamp(self.created_at),
            "expires_at": timestamp(self.expires_at),
            "downloadable": False,
        }


class FileContent(NamedTuple):
    """The content of an uploaded file."""

    data: bytes
    media_type: str


@dataclass(frozen=True)
class FileContents:
    """The files of a workspace at one moment, for requests that name them. Another thread may use it."""

    folder: Path
    files: dict[str, UploadedFile]
    now: int

    def resolve(self, file_id: str) -> FileContent:
        """Return the content of a file. Raises RequestRejected if it is gone."""
        file = self.files.get(file_id)
        if file is not None and file.is_expired(self.now):
            raise expired(file_id)
        try:
            if file is not None:
                return FileContent((self.folder / file_id).read_bytes(), file.mime_type)
        except FileNotFoundError:  # deleted meanwhile
            pass
        raise not_found(file_id)


class UploadedFiles:
    """The files of all workspaces. Like the store, it is used on the event loop only."""

    def __init__(self, db: sqlite3.Connection, folder: Path) -> None:
        self._db = db
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        db.executescript(_TABLE)
        known = {file_id for (file_id,) in db.execute("SELECT id FROM files WHERE NOT deleted")}
        for path in folder.iterdir():
            if path.name not in known:  # a killed process left it behind
                path.unlink()

    def add(self, file: UploadedFile) -> None:
        """Record an upload; its content must be in place."""
        self._db.execute(f"INSERT INTO files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(file))

    def find(self, workspace: str, file_id: str, now: int) -> UploadedFile | None:
        """Return a file of this workspace, expired or not; None if it is deleted or was never there."""
        return next(self._select(workspace, now, "AND id = ?", file_id), None)

    def newest(self, workspace: str, now: int, limit: int, *, after: str | None = None) -> list[UploadedFile]:
        """
        Return up to ``limit`` files, newest first.

        :param after: only files older than this one
        """
        where = "AND number < (SELECT number FROM files WHERE id = ?)" if after else ""
        values = [*([after] if after else []), limit]
        return list(self._select(workspace, now, f"{where} ORDER BY number DESC LIMIT ?", *values))

    def by_id(self, workspace: str, now: int, ids: Sequence[str]) -> list[UploadedFile]:
        """Return these files, newest first. Unknown ids are left out."""
        marks = ",".join("?" * len(ids))
        return list(self._select(workspace, now, f"AND id IN ({marks}) ORDER BY number DESC", *ids))

    def delete(self, file_id: str) -> None:
        """Delete a file and its content."""
        self._db.execute("UPDATE files SET deleted = 1 WHERE id = ?", (file_id,))
        (self.folder / file_id).unlink(missing_ok=True)

    def contents(self, workspace: str, now: int) -> FileContents:
        """Return the contents that requests of this workspace may name at this time."""
        return FileContents(self.folder, {file.id: file for file in self._select(workspace, now, "")}, now)

    def ever_uploaded(self, workspace: str) -> list[dict[str, object]]:
        """Return every upload of a workspace (of all workspaces for EVERYWHERE), deleted ones too, oldest first."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS}, deleted FROM files WHERE ? IN ('', workspace) ORDER BY number", (workspace,)
        )
        return [{**UploadedFile(*row[:-1]).describe(), "deleted": bool(row[-1])} for row in rows]

    def _select(self, workspace: str, now: int, where: str, *values: object) -> Iterator[UploadedFile]:
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM files WHERE workspace = ? AND NOT deleted"
            f" AND (expires_at IS NULL OR expires_at > ?) {where}",
            (workspace, now - METADATA_KEPT, *values),
        )
        return (UploadedFile(*row) for row in rows)


def not_found(file_id: str) -> RequestRejected:
    """Return the error for a file that is deleted or was never there."""
    return RequestRejected(f"File not found: {file_id}", type="not_found_error")


def expired(file_id: str) -> RequestRejected:
    """Return the error for a file whose time has passed."""
    return RequestRejected(
        f"File has expired: {file_id}", type="not_found_error", details={"error_code": "file_expired"}
    )
