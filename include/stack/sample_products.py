"""The embedded warehouse: one SQLite table of products, filled from the sample in sample/."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SAMPLE = Path(__file__).with_name("sample") / "catalogue.parquet"

TABLE = """
CREATE TABLE products (
    package      TEXT PRIMARY KEY,
    version      TEXT NOT NULL,
    section      TEXT NOT NULL,
    summary      TEXT NOT NULL,
    description  TEXT NOT NULL,
    homepage     TEXT,
    tags         TEXT NOT NULL,  -- a JSON list
    installed_kb INTEGER,
    updated_on   DATE NOT NULL   -- ISO text
);
CREATE INDEX products_updated_on ON products (updated_on);
"""
INSERT = """
INSERT INTO products
VALUES (:package, :version, :section, :summary, :description, :homepage, :tags, :installed_kb, :updated_on)
"""


def load_sample(
    database: Path, *, partition: str | None = None, limit: int | None = None, newest: date | None = None
) -> int:
    """
    Create a database with the sample as its table ``products``; returns the number of rows.

    :param partition: only the rows of this day
    :param limit: the maximum number of rows, the first by name
    :param newest: moves the rows of the sample's last day to this day, so that a nightly run has rows
    """
    rows = [row for row in _sample_rows() if partition in (None, row["updated_on"])][:limit]
    if newest:
        last = max(row["updated_on"] for row in rows)
        rows = [row | {"updated_on": str(newest)} if row["updated_on"] == last else row for row in rows]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(TABLE)
        connection.executemany(INSERT, rows)
    return len(rows)


def keys_of(database: Path, partition: str) -> list[str]:
    """Return the business keys of one partition, in order."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT package FROM products WHERE updated_on = ? ORDER BY package", [partition])
        return [package for (package,) in found]


def _sample_rows() -> Iterator[dict[str, Any]]:
    for row in pq.read_table(SAMPLE).to_pylist():
        yield row | {"tags": json.dumps(row["tags"]), "updated_on": row["updated_on"].isoformat()}
