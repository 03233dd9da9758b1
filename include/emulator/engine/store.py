"""
The server's state on disk: a SQLite file for records, and one file per batch for bodies, results and bills.

    <state>/emulator.db              records
    <state>/bodies/<batch id>        the create body as received
    <state>/results/<batch id>       the result lines, written when the batch ends
    <state>/bills/<batch id>         the billed requests, see billing/bills.py; kept after a delete
    <state>/files/<file id>          the content of an uploaded file

A killed process loses nothing that it confirmed: a body is in place before its record is committed, and the record
before the 200 is sent. Commits do not wait for the disk (synchronous=OFF): a SIGKILL cannot lose data that the kernel
has. There is one connection, used on the event loop only, so no call here may take long.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from include.emulator.billing.bills import Bill, Charge
from include.emulator.billing.message_bills import MessageBills
from include.emulator.engine.batches import SECOND, Batch, Counts, timestamp
from include.emulator.engine.uploaded_files import UploadedFiles
from include.emulator.faults import fault_list
from include.emulator.faults.armed_faults import EVERYWHERE, ArmedFaults

KEPT_CALLS = 20_000

_TABLES = """
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, workspace TEXT NOT NULL,
    created_at INTEGER NOT NULL, size INTEGER NOT NULL, version TEXT NOT NULL, betas TEXT NOT NULL,
    duration INTEGER NOT NULL, drain INTEGER NOT NULL, faults BLOB NOT NULL, cancel_initiated_at INTEGER,
    ended_at INTEGER, counts BLOB, deleted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS batches_of_workspace ON batches (workspace, number);
CREATE TABLE IF NOT EXISTS calls (
    number INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, at INTEGER NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, retry_count INTEGER NOT NULL, status INTEGER);
CREATE TABLE IF NOT EXISTS bills (batch_id TEXT PRIMARY KEY, tokens BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS downloads (batch_id TEXT PRIMARY KEY, times INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS clocks (workspace TEXT PRIMARY KEY, ahead INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS prefixes (
    scope TEXT NOT NULL, prefix TEXT NOT NULL, readable_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, prefix));
CREATE TABLE IF NOT EXISTS refusals (
    workspace TEXT NOT NULL, custom_id TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (workspace, custom_id));
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# A write or read extends the TTL of a live entry; it stays readable for requests that could already read it.
_WARM = """
INSERT INTO prefixes VALUES (?1, ?2, ?3, ?4) ON CONFLICT (scope, prefix) DO UPDATE SET
    readable_at = CASE WHEN expires_at > ?5 THEN MIN(readable_at, ?3) ELSE ?3 END, expires_at = MAX(expires_at, ?4)
"""
_BATCH_COLUMNS = (
    "id, workspace, created_at, size, version, betas, duration, drain, faults, cancel_initiated_at, ended_at, counts"
)


class StateInUse(RuntimeError):
    """Another running emulator uses the state directory."""


class Store:
    """The state directory; the module's docstring lists its files."""

    def __init__(self, state: Path) -> None:
        self.bodies = state / "bodies"
        self.results = state / "results"
        self.bills = state / "bills"
        for folder in (state, self.bodies, self.results, self.bills):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = (state / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel releases it, however the process ends
        except BlockingIOError as error:
            raise StateInUse(f"Another emulator is using {state}: stop it, or choose another --state.") from error
        self._db = sqlite3.connect(state / "emulator.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_TABLES)
        self._clocks: dict[str, int] = dict(self._db.execute("SELECT workspace, ahead FROM clocks"))
        self.faults = ArmedFaults(self._db)
        self.messages = MessageBills(self._db)
        self.files = UploadedFiles(self._db, state / "files")
        self._sweep()

    def close(self) -> None:
        """Close the database and release the directory."""
        self._db.close()
        self._lock.close()

    def _sweep(self) -> None:
        """Delete files without a record, which a killed process left behind."""
        made = {batch_id: deleted for batch_id, deleted in self._db.execute("SELECT id, deleted FROM batches")}
        for file in (*self.bodies.iterdir(), *self.results.iterdir()):
            if made.get(file.name, True):
                file.unlink()
        for file in self.bills.iterdir():
            if file.name not in made:
                file.unlink()

    # Time

    def now(self, workspace: str) -> int:
        """Return the workspace's time in microseconds: the machine's, plus the seconds it was moved forward."""
        ahead = sum(self._clocks.get(name, 0) for name in {workspace, EVERYWHERE})
        return time.time_ns() // 1000 + ahead

    def advance(self, workspace: str, seconds: float) -> None:
        """Move the clock of a workspace, or of EVERYWHERE, forward."""
        self._clocks[workspace] = self._clocks.get(workspace, 0) + round(seconds * SECOND)
        self._db.execute("REPLACE INTO clocks VALUES (?, ?)", (workspace, self._clocks[workspace]))

    # Batches

    def add_batch(self, batch: Batch) -> None:
        """Store a new batch; its body file must be in place."""
        row = (
            *(batch.id, batch.workspace, batch.created_at, batch.size, batch.version, ",".join(sorted(batch.betas))),
            *(batch.duration, batch.drain, fault_list.encode(batch.faults)),
        )
        self._db.execute(
            "INSERT INTO batches (id, workspace, created_at, size, version, betas, duration, drain, faults)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def batch(self, workspace: str, batch_id: str) -> Batch | None:
        """Return a batch of this workspace; None if it is deleted or belongs to another workspace."""
        row = self._db.execute(
            f"SELECT {_BATCH_COLUMNS} FROM batches WHERE id = ? AND workspace = ? AND NOT deleted",
            (batch_id, workspace),
        ).fetchone()
        return None if row is None else _batch(row)

    def newest(self, workspace: str, limit: int, *, until: int, older_than: str | None = None) -> list[Batch]:
        """
        Return up to ``limit`` batches made at the time ``until`` or before, newest first.

        :param older_than: only batches made before this one
        """
        return self._page(workspace, "<", older_than, "DESC", limit, until)

    def next_newer(self, workspace: str, limit: int, *, until: int, newer_than: str) -> list[Batch]:
        """Return the first ``limit`` batches made after ``newer_than``, and at ``until`` or before, newest first."""
        return self._page(workspace, ">", newer_than, "ASC", limit, until)[::-1]

    def _page(self, workspace: str, side: str, pivot: str | None, order: str, limit: int, until: int) -> list[Batch]:
        where = f"AND number {side} (SELECT number FROM batches WHERE id = ?)" if pivot else ""
        rows = self._db.execute(
            f"SELECT {_BATCH_COLUMNS} FROM batches WHERE workspace = ? AND created_at <= ? AND NOT deleted {where}"
            f" ORDER BY number {order} LIMIT ?",
            (workspace, until, *([pivot] if pivot else []), limit),
        )
        return [_batch(row) for row in rows]

    def running(self) -> list[Batch]:
        """Return every batch that has not ended, of all workspaces, oldest first."""
        rows = self._db.execute(f"SELECT {_BATCH_COLUMNS} FROM batches WHERE ended_at IS NULL ORDER BY number")
        return [_batch(row) for row in rows]

    def queued(self, workspace: str) -> tuple[int, int]:
        """Count the requests in a workspace's batches that have not ended, and these batches."""
        requests, batches = self._db.execute(
            "SELECT COALESCE(SUM(size), 0), COUNT(*) FROM batches WHERE workspace = ? AND ended_at IS NULL",
            (workspace,),
        ).fetchone()
        return requests, batches

    def cancel(self, batch_id: str, at: int) -> None:
        """Record the cancel of a batch."""
        self._db.execute("UPDATE batches SET cancel_initiated_at = ? WHERE id = ?", (at, batch_id))

    def end(
        self,
        batch: Batch,
        at: int,
        counts: Counts,
        warmed: Mapping[str, int],
        charge: Charge,
        refused: Mapping[str, int],
    ) -> None:
        """
        Record the end of a batch and its charge, and put its prompt prefixes (prefix to TTL in seconds) into the cache.

        :param refused: how often it could not process the PDF or image of a custom_id

        Its results and its bill must be in place.
        """
        self._db.execute("BEGIN")
        self._db.execute(
            "UPDATE batches SET ended_at = ?, counts = ? WHERE id = ?", (at, msgspec.json.encode(counts), batch.id)
        )
        self._db.execute("REPLACE INTO bills VALUES (?, ?)", (batch.id, msgspec.json.encode(charge)))
        self._db.executemany(
            "INSERT INTO refusals VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET times = times + excluded.times",
            [(batch.workspace, custom_id, times) for custom_id, times in refused.items()],
        )
        self.warm(batch.workspace, warmed, started_at=batch.created_at, readable_at=at)
        self._db.execute("COMMIT")

    def refusals(self, workspace: str) -> dict[str, int]:
        """Return how often the PDF or image of a custom_id could not be processed."""
        rows = self._db.execute("SELECT custom_id, times FROM refusals WHERE workspace = ?", (workspace,))
        return dict(rows.fetchall())

    def delete(self, batch_id: str) -> None:
        """Delete a batch with its body and results; it stays in the log and in the bills."""
        self._db.execute("UPDATE batches SET deleted = 1 WHERE id = ?", (batch_id,))
        (self.bodies / batch_id).unlink(missing_ok=True)
        (self.results / batch_id).unlink(missing_ok=True)

    def count_download(self, batch_id: str) -> None:
        """Count a complete download of a batch's results."""
        self._db.execute(
            "INSERT INTO downloads VALUES (?, 1) ON CONFLICT (batch_id) DO UPDATE SET times = times + 1", (batch_id,)
        )

    def bills_of(self, workspace: str) -> list[Bill]:
        """Return the bills of a workspace (of all for EVERYWHERE): oldest batch first, then the synchronous calls."""
        rows = self._db.execute(
            "SELECT batches.workspace, id, tokens FROM batches JOIN bills ON batch_id = id"
            " WHERE ? IN ('', batches.workspace) ORDER BY number",
            (workspace,),
        )
        return [
            Bill(
                workspace=name,
                id=batch_id,
                charge=msgspec.json.decode(charge, type=Charge),
                read=(self.bills / batch_id).read_bytes,
            )
            for name, batch_id, charge in rows
        ] + self.messages.of(workspace)

    # Prompt cache

    def warm(self, scope: str, prefixes: Mapping[str, int], *, started_at: int, readable_at: int) -> None:
        """
        Put prefixes (prefix to TTL in seconds) into the cache of a scope, or refresh those already in it.

        :param started_at: when the request began that wrote or read them; their TTL counts from here
        :param readable_at: when new prefixes become readable
        """
        rows = [
            (scope, prefix, readable_at, started_at + seconds * SECOND, started_at)
            for prefix, seconds in prefixes.items()
        ]
        self._db.executemany(_WARM, rows)

    def warm_prefixes(self, scope: str, at: int, among: Collection[str] | None = None) -> frozenset[str]:
        """Return the prefixes (None: all; else of these) that a request begun at this time would find."""
        sql = "SELECT prefix FROM prefixes WHERE scope = ? AND readable_at <= ? AND expires_at > ?"
        if among is not None:
            sql += f" AND prefix IN ({', '.join('?' * len(among))})"
        rows = self._db.execute(sql, (scope, at, at, *(among or ())))
        return frozenset(prefix for (prefix,) in rows)

    # Log

    def log_call(self, workspace: str, method: str, path: str, retry_count: int) -> int:
        """Record a call as it arrives, and return its number."""
        cursor = self._db.execute(
            "INSERT INTO calls (workspace, at, method, path, retry_count) VALUES (?, ?, ?, ?, ?)",
            (workspace, self.now(workspace), method, path, retry_count),
        )
        number = cursor.lastrowid or 0
        if number % 1000 == 0:
            self._db.execute("DELETE FROM calls WHERE number <= ?", (number - KEPT_CALLS,))
        return number

    def log_status(self, number: int, status: int) -> None:
        """Record the status of a call's response; a call without one was cut off."""
        self._db.execute("UPDATE calls SET status = ? WHERE number = ?", (status, number))

    def calls(self, workspace: str) -> list[dict[str, object]]:
        """Return the calls of a workspace (of all workspaces for EVERYWHERE), oldest first."""
        rows = self._db.execute(
            "SELECT at, method, path, retry_count, status FROM calls WHERE ? IN ('', workspace) ORDER BY number",
            (workspace,),
        )
        names = ("at", "method", "path", "retry_count", "status")
        return [dict(zip(names, (timestamp(row[0]), *row[1:]), strict=True)) for row in rows]

    def batches_made(self, workspace: str) -> list[dict[str, object]]:
        """
        Return every batch ever made in a workspace (in all workspaces for EVERYWHERE), deleted ones too, oldest first.

        Each has the counts of its requests (all in ``processing`` until it ends) and the number of complete downloads.
        """
        rows = self._db.execute(
            "SELECT created_at, id, size, ended_at, deleted, counts, COALESCE(times, 0)"
            " FROM batches LEFT JOIN downloads ON batch_id = id WHERE ? IN ('', workspace) ORDER BY number",
            (workspace,),
        )
        return [
            {
                "created_at": timestamp(created_at),
                "id": batch_id,
                "size": size,
                "ended": ended_at is not None,
                "deleted": bool(deleted),
                **msgspec.structs.asdict(_counts(counts) or Counts(processing=size)),
                "downloads": downloads,
            }
            for created_at, batch_id, size, ended_at, deleted, counts, downloads in rows
        ]

    # Notes

    def note(self, name: str) -> str | None:
        """Return a stored value."""
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        """Store a value."""
        self._db.execute("REPLACE INTO notes VALUES (?, ?)", (name, value))


def _batch(row: tuple[str, str, int, int, str, str, int, int, bytes, int | None, int | None, bytes | None]) -> Batch:
    return Batch(
        id=row[0],
        workspace=row[1],
        created_at=row[2],
        size=row[3],
        version=row[4],
        betas=frozenset(filter(None, row[5].split(","))),
        duration=row[6],
        drain=row[7],
        faults=tuple(fault_list.decode(row[8])),
        cancel_initiated_at=row[9],
        ended_at=row[10],
        counts=_counts(row[11]),
    )


def _counts(text: bytes | None) -> Counts | None:
    return None if text is None else msgspec.json.decode(text, type=Counts)
