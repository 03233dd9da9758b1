"""
``python -m tests.benchmarks.floors``: lower bounds, which are the unavoidable parts of the work, each as fast as we
know how to do it. Runs in .venv-benchmarks.
"""

from __future__ import annotations

import http.client
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import msgspec
import orjson  # type: ignore[import-not-found,unused-ignore]
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.contender import EMULATOR_STATE, Round, main

_PIECE_BYTES = 1 << 20
_BATCHES = "/v1/messages/batches"


def files(at: Round) -> None:
    """Write the bytes that this project sent and received as files for the other floors; not a floor itself."""
    for old in at.kept.glob("body-*.json"):
        old.unlink()
    api = _connection(at)
    with at.measured(), at.results.open("wb") as results:
        for number, batch_id in enumerate(at.batches()):
            os.link(EMULATOR_STATE / "bodies" / batch_id, at.kept / f"body-{number}.json")
            for piece in _pieces(api, at, batch_id):
                results.write(piece)


def read_chunks(at: Round) -> None:
    """Read the chunk files in small pieces."""
    chunks = list((at.kept / "lake-after-plan").glob("chunks/*/*.parquet"))
    with at.measured():
        for chunk in chunks:
            for _ in pq.ParquetFile(chunk, buffer_size=_PIECE_BYTES, pre_buffer=False).iter_batches(batch_size=500):
                pass


def read_warehouse(at: Round) -> None:
    """Read all rows of the warehouse with its own driver."""
    with closing(sqlite3.connect(at.database)) as warehouse, at.measured():
        for _ in warehouse.execute("select ticket, body from tickets"):
            pass


def upload(at: Round) -> None:
    """Upload the bytes that this project sends, from a file, to the same API, which checks them."""
    bodies = sorted(at.kept.glob("body-*.json"))
    api = _connection(at)
    with at.measured(mb=sum(body.stat().st_size for body in bodies) / 1e6):
        for body in bodies:
            with body.open("rb") as file:
                api.request("POST", _BATCHES, file, _headers(at) | {"content-length": str(body.stat().st_size)})
                answer = api.getresponse()
                said = answer.read()
                assert answer.status == http.HTTPStatus.OK, said
    at.batches()


def download(at: Round) -> None:
    """Download the results and discard them."""
    batch_ids = at.batches()
    api = _connection(at)
    with at.measured() as found:
        found["mb"] = sum(len(piece) for batch_id in batch_ids for piece in _pieces(api, at, batch_id)) / 1e6


def decode_orjson(at: Round) -> None:
    """Decode each line of the results file to a dict, with orjson."""
    _decode(at, orjson.loads)


def decode_msgspec(at: Round) -> None:
    """Decode each line of the results file to a dict, with msgspec."""
    _decode(at, msgspec.json.Decoder().decode)


def write_outcomes(at: Round) -> None:
    """Write the finished result store as Parquet again."""
    _write(at, "lake-after-load/results/*/*.parquet")


def write_rows(at: Round) -> None:
    """Write the finished rows of extract as Parquet again."""
    _write(at, "lake-after-extract/runs/**/rows.parquet")


def write_table(at: Round) -> None:
    """Write the finished partition as Parquet again."""
    _write(at, "lake-after-publish/tables/**/data.parquet")


def _decode(at: Round, decode: Callable[[bytes], Any]) -> None:
    with at.results.open("rb") as lines, at.measured(mb=at.results.stat().st_size / 1e6):
        for line in lines:
            decode(line)


def _write(at: Round, pattern: str) -> None:
    table = pa.concat_tables(pq.ParquetFile(file).read() for file in sorted(at.kept.glob(pattern)))
    with at.measured():
        pq.write_table(table, at.scratch / "table.parquet", compression="zstd")


def _pieces(api: http.client.HTTPConnection, at: Round, batch_id: str) -> Any:
    api.request("GET", f"{_BATCHES}/{batch_id}/results", headers=_headers(at))
    answer = api.getresponse()
    while piece := answer.read(_PIECE_BYTES):
        yield piece


def _connection(at: Round) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(at.url).netloc, blocksize=_PIECE_BYTES)


def _headers(at: Round) -> dict[str, str]:
    return {"x-api-key": at.key, "anthropic-version": "2023-06-01", "content-type": "application/json"}


if __name__ == "__main__":
    main(
        {
            floor.__name__.replace("_", "-"): floor
            for floor in (
                *(files, read_chunks, read_warehouse, upload, download),
                *(decode_orjson, decode_msgspec, write_outcomes, write_rows, write_table),
            )
        }
    )
