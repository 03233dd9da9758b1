"""
Chunk files: the requests of one batch as Parquet on the lake. Anybody may write one, and submit and load take it from
there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment import layout
from include.enrichment.chunk import BODY_HEAD, BODY_SEPARATOR, BODY_TAIL, body_item, chunk_id
from include.enrichment.errors import LakeError
from include.enrichment.request import Request
from include.gateways.lake import Lake

_SCHEMA = pa.schema(
    [pa.field("request_id", pa.string(), nullable=False), pa.field("params", pa.string(), nullable=False)]
)
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """
    A chunk file on this machine.

    :param key: where it lies on the lake
    :param pipeline: whose ledger and result store its batch belongs to
    :param schema_text: the JSON Schema that its answers must fit, None for free text
    """

    key: str
    path: Path
    chunk_id: str
    pipeline: str
    schema_text: str | None
    request_ids: list[str]

    def write_body(self, path: Path) -> None:
        """Write the request body of the create: byte for byte the params that were planned, and their ids."""
        with path.open("wb") as file:
            file.write(BODY_HEAD.encode())
            separator = ""
            for request in _read(self.path):
                file.write(f"{separator}{body_item(request)}".encode())
                separator = BODY_SEPARATOR
            file.write(BODY_TAIL.encode())


def write_chunk(
    lake: Lake, folder: str, number: int, requests: Iterable[Request], *, pipeline: str, schema_text: str | None
) -> str:
    """
    Write a chunk file below the lake folder ``folder`` and return its key. The requests must be distinct and within
    BatchLimits; at least one.

    :param pipeline: the name under which ledger and results of the batch are kept
    :param schema_text: the JSON Schema that the answers must fit, None for free text
    """
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        path = Path(temporary) / "chunk.parquet"
        request_ids = []
        metadata = {"pipeline": pipeline, **({"output_schema": schema_text} if schema_text else {})}
        schema = _SCHEMA.with_metadata(metadata)
        with pq.ParquetWriter(path, schema, compression="zstd", write_statistics=False) as writer:
            for batch in _batches(requests):
                request_ids += batch["request_id"].to_pylist()
                writer.write_batch(batch)
        key = layout.chunk(folder, number, chunk_id(request_ids))
        lake.write_file(key, path)
    return key


@contextmanager
def open_chunk(lake: Lake, key: str) -> Iterator[Chunk]:
    """
    The chunk file of that key, on this machine until the block is left. Raises LakeError if it is not there or is no
    chunk file.
    """
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        path = Path(temporary) / "chunk.parquet"
        lake.fetch(key, path)
        try:
            schema = pq.read_schema(path)
            metadata = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
            request_ids = pq.read_table(path, columns=["request_id"])["request_id"].to_pylist()
            pipeline = metadata["pipeline"]
        except (pa.ArrowInvalid, KeyError) as error:
            raise LakeError(
                f"{lake.locate(key)} is not a chunk file: {error}. Write it with write_chunk().", retryable=False
            ) from error
        yield Chunk(
            key=key,
            path=path,
            chunk_id=chunk_id(request_ids),
            pipeline=pipeline,
            schema_text=metadata.get("output_schema"),
            request_ids=request_ids,
        )


def _batches(requests: Iterable[Request]) -> Iterator[pa.RecordBatch]:
    waiting: list[Request] = []
    for request in requests:
        waiting.append(request)
        if len(waiting) == _ROWS_AT_ONCE:
            yield _batch(waiting)
            waiting = []
    if waiting:
        yield _batch(waiting)


def _batch(requests: list[Request]) -> pa.RecordBatch:
    columns = [[request.request_id for request in requests], [request.params for request in requests]]
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], schema=_SCHEMA)


def _read(path: Path) -> Iterator[Request]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_ROWS_AT_ONCE, columns=_SCHEMA.names):
        for request_id, params in zip(batch["request_id"].to_pylist(), batch["params"].to_pylist(), strict=True):
            yield Request(request_id=request_id, params=params)
