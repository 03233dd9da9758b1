"""The bills of the synchronous calls: a table with a row for each billed answer, and a bill for each workspace."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from include.emulator.billing.bills import SYNCHRONOUS, Bill, Meter, bill_line

_TABLE = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, line BLOB NOT NULL, model TEXT NOT NULL,
    usage BLOB NOT NULL);
"""
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class MessageBills:
    """The billed answers of all workspaces, in the emulator's database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._db.executescript(_TABLE)

    def add(self, workspace: str, params: bytes, message: Mapping[str, Any]) -> None:
        """Bill the answer to a request, whether or not the client receives it."""
        self._db.execute(
            "INSERT INTO messages (workspace, line, model, usage) VALUES (?, ?, ?, ?)",
            (workspace, bill_line(message["id"], params), message["model"], msgspec.json.encode(message["usage"])),
        )

    def of(self, workspace: str) -> list[Bill]:
        """Return a bill for each workspace with synchronous calls (of all workspaces for an empty string)."""
        lines: dict[str, list[bytes]] = {}
        meters: dict[str, Meter] = {}
        rows = self._db.execute(
            "SELECT workspace, line, model, usage FROM messages WHERE ? IN ('', workspace) ORDER BY number",
            (workspace,),
        )
        for name, line, model, usage in rows:
            lines.setdefault(name, []).append(line)
            meters.setdefault(name, Meter()).count({"model": model, "usage": _decode(usage)})
        return [
            Bill(workspace=name, id=SYNCHRONOUS, charge=meters[name].charge(), read=partial(b"".join, billed))
            for name, billed in lines.items()
        ]
