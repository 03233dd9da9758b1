"""The armed faults: a table with one row per fault that may still strike, kept over a restart."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import msgspec

from include.emulator.faults.fault import Fault
from include.emulator.faults.fault_list import decode

EVERYWHERE = ""  # stands for all workspaces

_TABLE = """
CREATE TABLE IF NOT EXISTS armed (
    number INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, fault BLOB NOT NULL, remaining INTEGER,
    chances INTEGER NOT NULL DEFAULT 0);
"""


class ArmedFault(msgspec.Struct, frozen=True):
    """A fault that may still strike ``remaining`` times (None: always) and has had ``chances`` to do so."""

    number: int
    workspace: str
    fault: Fault
    remaining: int | None
    chances: int


class ArmedFaults:
    """The armed faults of all workspaces, in the emulator's database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.executescript(_TABLE)
        self._armed = self._read()

    def replace(self, workspace: str, faults: Iterable[Fault]) -> None:
        """Replace the faults of a workspace, or those that hold EVERYWHERE."""
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM armed WHERE workspace = ?", (workspace,))
        self._db.executemany(
            "INSERT INTO armed (workspace, fault, remaining) VALUES (?, ?, ?)",
            [(workspace, msgspec.json.encode(fault), fault.times) for fault in faults],
        )
        self._db.execute("COMMIT")
        self._armed = self._read()

    def of(self, workspace: str) -> list[ArmedFault]:
        """Return the faults armed for a workspace: its own first, then those that hold EVERYWHERE."""
        own = [armed for armed in self._armed if armed.workspace == workspace != EVERYWHERE]
        return own + [armed for armed in self._armed if armed.workspace == EVERYWHERE]

    def strikes(self, armed: ArmedFault, seed: int) -> bool:
        """Count one chance of a fault and return whether it strikes; its last strike disarms it."""
        strikes = armed.fault.strikes_at(armed.chances, seed)
        at = self._armed.index(armed)
        if strikes and armed.remaining == 1:
            self._db.execute("DELETE FROM armed WHERE number = ?", (armed.number,))
            del self._armed[at]
        else:
            self._db.execute(
                "UPDATE armed SET chances = chances + 1, remaining = remaining - ? WHERE number = ?",
                (strikes, armed.number),
            )
            remaining = None if armed.remaining is None else armed.remaining - strikes
            self._armed[at] = msgspec.structs.replace(armed, chances=armed.chances + 1, remaining=remaining)
        return strikes

    def _read(self) -> list[ArmedFault]:
        rows = self._db.execute("SELECT number, workspace, fault, remaining, chances FROM armed ORDER BY number")
        return [
            ArmedFault(number, workspace, decode(b"[" + fault + b"]")[0], remaining, chances)
            for number, workspace, fault, remaining, chances in rows
        ]
