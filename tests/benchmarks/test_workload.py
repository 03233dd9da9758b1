"""The workload is as described."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from tests.benchmarks.workload import MEAN_CHARACTERS, bodies, write


def test_parquet_and_warehouse_hold_the_same_rows(tmp_path: Path) -> None:
    write(120, tmp_path / "120")
    rows = [tuple(row.values()) for row in pq.read_table(tmp_path / "120" / "rows.parquet").to_pylist()]
    with closing(sqlite3.connect(tmp_path / "120" / "warehouse.db")) as warehouse:
        assert warehouse.execute("select ticket, body from tickets").fetchall() == rows
    assert len({key for key, _ in rows}) == 120


def test_the_same_size_is_always_the_same_rows(tmp_path: Path) -> None:
    write(50, tmp_path / "one")
    write(50, tmp_path / "other")
    one, other = (pq.read_table(tmp_path / name / "rows.parquet") for name in ("one", "other"))
    assert one.equals(other)


def test_texts_have_the_described_length_and_kind() -> None:
    texts = list(islice(bodies(), 2_000))
    assert abs(sum(map(len, texts)) / len(texts) / MEAN_CHARACTERS - 1) < 0.05
    assert len(set(texts)) == len(texts)
    for odd in ('"', "\n", "返金", "🙁", "\\"):
        assert any(odd in text for text in texts)
