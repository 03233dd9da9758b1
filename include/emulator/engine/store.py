"""
Everything the server remembers, on disk: a SQLite file for records, one file per batch for bodies and results.

    <state>/emulator.db              records
    <state>/bodies/<batch id>        the create body as it came
    <state>/results/<batch id>       the result lines, written once, in full, when the batch ends
    <state>/bills/<batch id>         the requests it is billed for, see bills.py; outlives a delete

A killed process loses nothing that was answered for: a body is in place before its record is committed, and a record
before the 200 is sent. Commits do not wait for the disk (synchronous=OFF): what the kernel has, a SIGKILL cannot take.
One connection, used on the event loop only, so no call here may be long.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from include.emulator.billing.bills import Bill, Charge
from include.emulator.engine import faults as faultlists
from include.emulator.engine.batches import SECOND, Batch, Counts, timestamp
from include.emulator.engine.faults import Fault

EVERYWHERE = ""  # the workspace of whatever holds for all workspaces
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
CREATE TABLE IF NOT EXISTS armed (
    number INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, fault BLOB NOT NULL, remaining INTEGER,
    chances INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS clocks (workspace TEXT PRIMARY KEY, ahead INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS prefixes (
    scope TEXT NOT NULL, prefix TEXT NOT NULL, readable_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    PRIMARY KEY (scope, prefix));
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# An entry that is alive when the request begins only lives longer: who found it before finds it still.
_WARM = """
INSERT INTO prefixes VALUES (?1, ?2, ?3, ?4) ON CONFLICT (scope, prefix) DO UPDATE SET
    readable_at = CASE WHEN expires_at > ?5 THEN MIN(readable_at, ?3) ELSE ?3 END, expires_at = MAX(expires_at, ?4)
"""
_BATCH_COLUMNS = (
    "id, workspace, created_at, size, version, betas, duration, drain, faults, cancel_initiated_at, ended_at, counts"
)


class StateInUse(RuntimeError):
    """The state directory belongs to a running emulator."""


class ArmedFault(msgspec.Struct, frozen=True):
    """A fault in force, with how often it may still strike (None: always) and how many chances it has had."""

    number: int
    workspace: str
    fault: Fault
    remaining: int | None
    chances: int


class Store:
    """The state directory; see the module's text for what is where."""

    def __init__(self, state: Path) -> None:
        self.bodies = state / "bodies"
        self.results = state / "results"
        self.bills = state / "bills"
        for folder in (state, self.bodies, self.results, self.bills):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock = (state / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it however the process ends
        except BlockingIOError as error:
            raise StateInUse(f"Another emulator runs on {state}: stop it, or choose another --state.") from error
        self._db = sqlite3.connect(state / "emulator.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_TABLES)
        self._clocks: dict[str, int] = dict(self._db.execute("SELECT workspace, ahead FROM clocks"))
        self._faults = self._read_faults()
        self._sweep()

    def close(self) -> None:
        """Close the database file and free the directory."""
        self._db.close()
        self._lock.close()

    def _sweep(self) -> None:
        """Remove what a killed process left: files that no record speaks of."""
        made = {batch_id: deleted for batch_id, deleted in self._db.execute("SELECT id, deleted FROM batches")}
        for file in (*self.bodies.iterdir(), *self.results.iterdir()):
            if made.get(file.name, True):
                file.unlink()
        for file in self.bills.iterdir():
            if file.name not in made:
                file.unlink()

    # Time

    def now(self, workspace: str) -> int:
        """The workspace's time: the machine's, plus whatever it was moved forward."""
        ahead = sum(self._clocks.get(name, 0) for name in {workspace, EVERYWHERE})
        return time.time_ns() // 1000 + ahead

    def advance(self, workspace: str, seconds: float) -> None:
        """Move the clock of a workspace (or of EVERYWHERE) forward."""
        self._clocks[workspace] = self._clocks.get(workspace, 0) + round(seconds * SECOND)
        self._db.execute("REPLACE INTO clocks VALUES (?, ?)", (workspace, self._clocks[workspace]))

    # Batches

    def add_batch(self, batch: Batch) -> None:
        """Keep a new batch; its body file must be in place."""
        row = (
            *(batch.id, batch.workspace, batch.created_at, batch.size, batch.version, ",".join(sorted(batch.betas))),
            *(batch.duration, batch.drain, faultlists.encode(batch.faults)),
        )
        self._db.execute(
            "INSERT INTO batches (id, workspace, created_at, size, version, betas, duration, drain, faults)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def batch(self, workspace: str, batch_id: str) -> Batch | None:
        """A batch of this workspace; None for others' and deleted ones."""
        row = self._db.execute(
            f"SELECT {_BATCH_COLUMNS} FROM batches WHERE id = ? AND workspace = ? AND NOT deleted",
            (batch_id, workspace),
        ).fetchone()
        return None if row is None else _batch(row)

    def newest(self, workspace: str, limit: int, *, until: int, older_than: str | None = None) -> list[Batch]:
        """
        Up to ``limit`` batches made at the time ``until`` or before, newest first.

        With ``older_than`` only those made before that batch.
        """
        return self._page(workspace, "<", older_than, "DESC", limit, until)

    def next_newer(self, workspace: str, limit: int, *, until: int, newer_than: str) -> list[Batch]:
        """The ``limit`` batches made next after ``newer_than``, and at ``until`` or before, newest first."""
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
        """Every batch that has not ended, oldest first, whatever its workspace."""
        rows = self._db.execute(f"SELECT {_BATCH_COLUMNS} FROM batches WHERE ended_at IS NULL ORDER BY number")
        return [_batch(row) for row in rows]

    def queue(self, workspace: str) -> tuple[int, int]:
        """How many requests are waiting in the batches of a workspace that have not ended, and how many batches."""
        requests, batches = self._db.execute(
            "SELECT COALESCE(SUM(size), 0), COUNT(*) FROM batches WHERE workspace = ? AND ended_at IS NULL",
            (workspace,),
        ).fetchone()
        return requests, batches

    def cancel(self, batch_id: str, at: int) -> None:
        """Note that a cancel was accepted."""
        self._db.execute("UPDATE batches SET cancel_initiated_at = ? WHERE id = ?", (at, batch_id))

    def end(self, batch: Batch, at: int, counts: Counts, warmed: Mapping[str, int], charge: Charge) -> None:
        """
        Note that a batch ended, which prompt prefixes it leaves in the cache (prefix to life in seconds), and book it.

        Its bill must be in place.
        """
        self._db.execute("BEGIN")
        self._db.execute(
            "UPDATE batches SET ended_at = ?, counts = ? WHERE id = ?", (at, msgspec.json.encode(counts), batch.id)
        )
        self._db.execute("REPLACE INTO bills VALUES (?, ?)", (batch.id, msgspec.json.encode(charge)))
        self.warm(batch.workspace, warmed, begun_at=batch.created_at, readable_at=at)
        self._db.execute("COMMIT")

    def delete(self, batch_id: str) -> None:
        """Forget a batch with its body and results; the log still shows that it was made, and it stays billed."""
        self._db.execute("UPDATE batches SET deleted = 1 WHERE id = ?", (batch_id,))
        (self.bodies / batch_id).unlink(missing_ok=True)
        (self.results / batch_id).unlink(missing_ok=True)

    def count_download(self, batch_id: str) -> None:
        """Note that the results of a batch were downloaded to their end."""
        self._db.execute(
            "INSERT INTO downloads VALUES (?, 1) ON CONFLICT (batch_id) DO UPDATE SET times = times + 1", (batch_id,)
        )

    def booked(self, workspace: str) -> list[Bill]:
        """The bill of every batch of a workspace (of all of them for EVERYWHERE) that ended, oldest batch first."""
        rows = self._db.execute(
            "SELECT batches.workspace, id, tokens FROM batches JOIN bills ON batch_id = id"
            " WHERE ? IN ('', batches.workspace) ORDER BY number",
            (workspace,),
        )
        return [
            Bill(
                workspace=name,
                batch_id=batch_id,
                charge=msgspec.json.decode(charge, type=Charge),
                file=self.bills / batch_id,
            )
            for name, batch_id, charge in rows
        ]

    # Prompt cache

    def warm(self, scope: str, prefixes: Mapping[str, int], *, begun_at: int, readable_at: int) -> None:
        """
        Put prefixes (with their life in seconds) into the cache of a scope, or refresh those that are there.

        :param begun_at: when the request began that wrote or read them: their life counts from here
        :param readable_at: from when on they can be read if they were not there before
        """
        rows = [
            (scope, prefix, readable_at, begun_at + seconds * SECOND, begun_at) for prefix, seconds in prefixes.items()
        ]
        self._db.executemany(_WARM, rows)

    def warm_prefixes(self, scope: str, at: int) -> frozenset[str]:
        """The prefixes that a request begun at this time would find."""
        rows = self._db.execute(
            "SELECT prefix FROM prefixes WHERE scope = ? AND readable_at <= ? AND expires_at > ?", (scope, at, at)
        )
        return frozenset(prefix for (prefix,) in rows)

    # Faults

    def set_faults(self, workspace: str, faults: Iterable[Fault]) -> None:
        """Replace the faults of a workspace (or of EVERYWHERE)."""
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM armed WHERE workspace = ?", (workspace,))
        self._db.executemany(
            "INSERT INTO armed (workspace, fault, remaining) VALUES (?, ?, ?)",
            [(workspace, msgspec.json.encode(fault), fault.times) for fault in faults],
        )
        self._db.execute("COMMIT")
        self._faults = self._read_faults()

    def faults(self, workspace: str) -> list[ArmedFault]:
        """The faults in force for a workspace, its own first."""
        own = [armed for armed in self._faults if armed.workspace == workspace != EVERYWHERE]
        return own + [armed for armed in self._faults if armed.workspace == EVERYWHERE]

    def strikes(self, armed: ArmedFault, seed: int) -> bool:
        """Whether a fault in force strikes now that it could. This is counted, and a fault is gone after its last."""
        strikes = armed.fault.strikes_at(armed.chances, seed)
        if strikes and armed.remaining == 1:
            self._db.execute("DELETE FROM armed WHERE number = ?", (armed.number,))
        else:
            self._db.execute(
                "UPDATE armed SET chances = chances + 1, remaining = remaining - ? WHERE number = ?",
                (strikes, armed.number),
            )
        self._faults = self._read_faults()
        return strikes

    def _read_faults(self) -> list[ArmedFault]:
        rows = self._db.execute("SELECT number, workspace, fault, remaining, chances FROM armed ORDER BY number")
        return [
            ArmedFault(number, workspace, faultlists.decode(b"[" + fault + b"]")[0], remaining, chances)
            for number, workspace, fault, remaining, chances in rows
        ]

    # What happened

    def log_call(self, workspace: str, method: str, path: str, retry_count: int) -> int:
        """Note a call as it arrives; returns its number."""
        cursor = self._db.execute(
            "INSERT INTO calls (workspace, at, method, path, retry_count) VALUES (?, ?, ?, ?, ?)",
            (workspace, self.now(workspace), method, path, retry_count),
        )
        number = cursor.lastrowid or 0
        if number % 1000 == 0:
            self._db.execute("DELETE FROM calls WHERE number <= ?", (number - KEPT_CALLS,))
        return number

    def log_status(self, number: int, status: int) -> None:
        """Note what a call was answered with; a call without a status was cut off."""
        self._db.execute("UPDATE calls SET status = ? WHERE number = ?", (status, number))

    def calls(self, workspace: str) -> list[dict[str, object]]:
        """The calls of a workspace (all of them for EVERYWHERE), oldest first."""
        rows = self._db.execute(
            "SELECT at, method, path, retry_count, status FROM calls WHERE ? IN ('', workspace) ORDER BY number",
            (workspace,),
        )
        names = ("at", "method", "path", "retry_count", "status")
        return [dict(zip(names, (timestamp(row[0]), *row[1:]), strict=True)) for row in rows]

    def made(self, workspace: str) -> list[dict[str, object]]:
        """
        Every batch ever made in a workspace (in all of them for EVERYWHERE), oldest first, deleted ones too.

        With what its requests came to (all in ``processing`` until it ends) and how often the results were downloaded
        to their end.
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
        """A remembered value."""
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        """Remember a value."""
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
        faults=tuple(faultlists.decode(row[8])),
        cancel_initiated_at=row[9],
        ended_at=row[10],
        counts=_counts(row[11]),
    )


def _counts(text: bytes | None) -> Counts | None:
    return None if text is None else msgspec.json.decode(text, type=Counts)
