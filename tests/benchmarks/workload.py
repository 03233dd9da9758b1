"""
The workload: rows with a key and a text of 1,640 characters on average, or of another mean, as Parquet and in a
warehouse. The same size and mean always give the same rows.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq

DAY = date(2026, 11, 1)
MEAN_CHARACTERS = 1_640
#: The standard deviation of the logarithm of a text's length: most texts have between half and twice the mean.
_SPREAD = 0.5
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_WORDS, _STREAM_WORDS = 20_000, 1_000_000
#: Characters that need escaping or several bytes of UTF-8, added to some words.
_ODD_WORDS = ('"quoted"', "line\nbreak", "end\n\nBegin", "返金してください", "退款", "🙁", "C:\\temp")
_ODD_EVERY = 25
_ROWS_AT_ONCE = 5_000


def write(rows: int, folder: Path, *, mean_characters: int = MEAN_CHARACTERS) -> None:
    """Create ``folder`` with ``rows.parquet``, and with ``warehouse.db``, whose table ``tickets`` has the same rows."""
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    schema = pa.schema([("ticket", pa.string()), ("body", pa.string())])
    texts = bodies(mean_characters)
    with (
        closing(sqlite3.connect(unfinished / "warehouse.db")) as warehouse,
        warehouse,
        pq.ParquetWriter(unfinished / "rows.parquet", schema, compression="zstd") as parquet,
    ):
        warehouse.execute("create table tickets (ticket text, body text, day date)")
        for start in range(0, rows, _ROWS_AT_ONCE):
            portion = [(f"T{number:07}", next(texts)) for number in range(start, min(start + _ROWS_AT_ONCE, rows))]
            warehouse.executemany(f"insert into tickets values (?, ?, '{DAY}')", portion)
            columns = [pa.array(column, pa.string()) for column in zip(*portion, strict=True)]
            parquet.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    unfinished.rename(folder)


def bodies(mean_characters: int = MEAN_CHARACTERS) -> Iterator[str]:
    """Yield texts endlessly: slices of a long stream of words, in which a few are frequent and most are rare."""
    draw = Random(mean_characters)
    stream = _stream(draw)
    log_mean = math.log(mean_characters) - _SPREAD**2 / 2
    while True:
        length = round(draw.lognormvariate(log_mean, _SPREAD))
        start = draw.randrange(len(stream) - length)
        yield stream[start : start + length]


def _stream(draw: Random) -> str:
    letters = [1 / place for place in range(1, len(_LETTERS) + 1)]
    words = ["".join(draw.choices(_LETTERS, letters, k=draw.randint(2, 10))) for _ in range(_WORDS)]
    drawn = draw.choices(words, [1 / place for place in range(1, _WORDS + 1)], k=_STREAM_WORDS)
    drawn[::_ODD_EVERY] = draw.choices(_ODD_WORDS, k=len(drawn[::_ODD_EVERY]))
    return " ".join(drawn)
