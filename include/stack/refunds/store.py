"""The refunds on disk. A refund is committed before its response is sent, so that no crash of the service loses one."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import NamedTuple

_TABLE = """
CREATE TABLE IF NOT EXISTS refunds (
    number   INTEGER PRIMARY KEY,
    key      TEXT UNIQUE NOT NULL,
    request  TEXT NOT NULL,    -- as JSON, with sorted keys
    requests INTEGER NOT NULL  -- how often it was requested
)
"""


class KeyReused(Exception):
    """The idempotency key belongs to another request."""


class Refund(NamedTuple):
    """
    A refund that was filed.

    :param requests: how often it was requested with its key; more than once: a caller was killed or lost the response
    """

    refund_id: str
    idempotency_key: str
    order_id: str
    amount_cents: int
    reason: str
    requests: int


class RefundRequest(NamedTuple):
    """What a caller asks for. The amount is in cents."""

    order_id: str
    amount_cents: int
    reason: str


class Refunds:
    """The refunds in one SQLite file, which is created if necessary."""

    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute(_TABLE)

    def file_refund(self, key: str, request: RefundRequest) -> tuple[Refund, bool]:
        """
        File a refund, unless the key has filed it before. Returns the refund, and whether it is new.

        Raises KeyReused if the key was used with another request.
        """
        text = json.dumps(request._asdict(), sort_keys=True)
        inserted = self._connection.execute(
            "INSERT INTO refunds (key, request, requests) VALUES (?, ?, 1) ON CONFLICT (key) DO NOTHING", (key, text)
        ).rowcount
        if not inserted:
            self._connection.execute("UPDATE refunds SET requests = requests + 1 WHERE key = ?", (key,))
        (refund,) = self._read("WHERE key = ?", key)
        if (refund.order_id, refund.amount_cents, refund.reason) != request:
            raise KeyReused(key)
        return refund, bool(inserted)

    def all(self) -> list[Refund]:
        """Return all refunds, the oldest first."""
        return self._read("")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read(self, condition: str, *values: str) -> list[Refund]:
        rows = self._connection.execute(
            f"SELECT number, key, request, requests FROM refunds {condition} ORDER BY number", values
        )
        return [
            Refund(refund_id=f"rf_{number:06}", idempotency_key=key, requests=requests, **json.loads(request))
            for number, key, request, requests in rows
        ]
