"""The embedded warehouse: SQLite tables with the products and UI strings of sample/, and with tickets and orders."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pyarrow import csv

from include.stack.sample_tickets.tickets import orders, tickets

SAMPLE = Path(__file__).with_name("sample") / "catalogue.parquet"
UI_STRINGS = SAMPLE.with_name("ui_strings.csv")
ACCURACY = SAMPLE.with_name("accuracy.yaml")
#: The query that says on which shelf a product belongs.
SHELVES = Path(__file__).parents[1] / "pipelines/catalogue_evaluation/extract.sql"

TABLES = """
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
CREATE TABLE ui_strings (
    string_id      TEXT PRIMARY KEY,
    text           TEXT NOT NULL,
    description    TEXT NOT NULL,  -- where it stands
    max_characters INTEGER,        -- NULL: no limit
    updated_on     DATE NOT NULL   -- ISO text
);
CREATE TABLE tickets (
    ticket_id   TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL,
    channel     TEXT NOT NULL,
    subject     TEXT NOT NULL,
    body        TEXT NOT NULL,
    created_on  DATE NOT NULL  -- ISO text
);
CREATE TABLE orders (
    order_id      TEXT PRIMARY KEY,
    customer_id   TEXT NOT NULL,
    ordered_on    DATE NOT NULL,  -- ISO text
    item          TEXT NOT NULL,
    status        TEXT NOT NULL,  -- processing, shipped, delivered or lost
    total_cents   INTEGER NOT NULL,
    charged_cents INTEGER NOT NULL
);
CREATE INDEX orders_customer_id ON orders (customer_id);
"""
INSERT_PRODUCT = """
INSERT INTO products
VALUES (:package, :version, :section, :summary, :description, :homepage, :tags, :installed_kb, :updated_on)
"""
INSERT_STRING = "INSERT INTO ui_strings VALUES (:string_id, :text, :description, :max_characters, :updated_on)"
INSERT_TICKET = "INSERT INTO tickets VALUES (?, ?, ?, ?, ?, ?)"
INSERT_ORDER = "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)"


def load_sample(
    database: Path, *, partition: str | None = None, limit: int | None = None, newest: date | None = None
) -> int:
    """
    Create a database with the sample as its tables ``products``, ``ui_strings``, ``tickets`` and ``orders``; returns
    the number of products.

    :param partition: only the rows of this day, and all orders
    :param limit: the maximum number of rows of each table but ``orders``, the first by name
    :param newest: moves the rows of the sample's last day to this day, so that a nightly run has rows
    """
    tables = [list(_products()), list(_ui_strings())]
    last = max(row["updated_on"] for rows in tables for row in rows)
    moved = {last: str(newest)} if newest else {}
    products, strings = (
        [
            row | {"updated_on": moved.get(row["updated_on"], row["updated_on"])}
            for row in rows
            if partition in (None, row["updated_on"])
        ][:limit]
        for rows in tables
    )
    letters = [ticket for ticket in tickets() if partition in (None, str(ticket.created_on))][:limit]
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(TABLES)
        connection.executemany(INSERT_PRODUCT, products)
        connection.executemany(INSERT_STRING, strings)
        connection.executemany(INSERT_TICKET, [_with_iso_dates(row) for row in letters])
        connection.executemany(INSERT_ORDER, [_with_iso_dates(row) for row in orders()])
    return len(products)


def read_ui_strings() -> pa.Table:
    """Return the sample's UI strings. ``max_characters`` is null where there is no limit."""
    return csv.read_csv(UI_STRINGS)


def accuracy_faults(database: Path) -> list[dict[str, Any]]:
    """Return the emulator's settings in accuracy.yaml, with the right shelf of each product of the database."""
    with closing(sqlite3.connect(database)) as connection:
        days = {"partition_start": "0001-01-01", "partition_end": "9999-12-31"}
        found = connection.execute(SHELVES.read_text(encoding="utf-8"), days)
        names = [column for column, *_ in found.description]
        shelves = {row[names.index("package")]: row[names.index("shelf")] for row in found}
    faults: list[dict[str, Any]] = yaml.safe_load(ACCURACY.read_text(encoding="utf-8"))
    return [fault | ({"truth": shelves} if fault["kind"] == "accuracy" else {}) for fault in faults]


def keys_of(database: Path, partition: str) -> list[str]:
    """Return the business keys of one partition, in order."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT package FROM products WHERE updated_on = ? ORDER BY package", [partition])
        return [package for (package,) in found]


def _products() -> Iterator[dict[str, Any]]:
    for row in pq.read_table(SAMPLE).to_pylist():
        yield row | {"tags": json.dumps(row["tags"]), "updated_on": row["updated_on"].isoformat()}


def _ui_strings() -> Iterator[dict[str, Any]]:
    for row in read_ui_strings().to_pylist():
        yield row | {"updated_on": row["updated_on"].isoformat()}


def _with_iso_dates(row: tuple[Any, ...]) -> list[Any]:
    return [str(value) if isinstance(value, date) else value for value in row]
