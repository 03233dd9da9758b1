"""
Chunk files: the requests of one batch as Parquet on the lake. Anybody may write one, and submit and load take it from
there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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


class ChunkWriter:
    """
    A chunk file while it is written, in a local file.

    A context manager: leave it before the file is uploaded.

    :param pipeline: the name under which ledger and results of the batch are kept
    :param schema_text: the JSON Schema that the answers must fit, None for free text
    :param after: the batches that failed to answer these requests before
    """

    def __init__(
        self, path: Path, *, pipeline: str, schema_text: str | None, after: Collection[str] = frozenset()
    ) -> None:
        self.path = path
        self.request_ids: list[str] = []
        self._pipeline = pipeline
        self._after = sorted(after)
        self._metadata = {
            "pipeline": pipeline,
            "after": " ".join(self._after),
            **({"output_schema": schema_text} if schema_text else {}),
        }
        self._waiting: list[Request] = []

    def __enter__(self) -> Self:
        schema = _SCHEMA.with_metadata(self._metadata)
        self._writer = pq.ParquetWriter(self.path, schema, compression="zstd", write_statistics=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, request: Request) -> None:
        """Add a request. It must be new in this chunk, and the chunk within BatchLimits."""
        self.request_ids.append(request.request_id)
        self._waiting.append(request)
        if len(self._waiting) == _ROWS_AT_ONCE:
            self._flush()

    @property
    def chunk_id(self) -> str:
        """The id of what was added so far."""
        return chunk_id(self.request_ids, after=self._after)

    def upload(self, lake: Lake) -> str:
        """Put the written file on the lake and return its key."""
        key = layout.chunk(self._pipeline, self.chunk_id)
        lake.write_file(key, self.path)
        return key

    def _flush(self) -> None:
        columns = [[request.request_id for request in self._waiting], [request.params for request in self._waiting]]
        arrays = [pa.array(column, pa.string()) for column in columns]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA))
        self._waiting = []


def write_chunk(lake: Lake, requests: Iterable[Request], *, pipeline: str, schema_text: str | None) -> str:
    """
    Write a chunk file and return its key: for requests that are not a pipeline's.

    The requests must be distinct and within BatchLimits; at least one. For the parameters see ChunkWriter.
    """
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        writer = ChunkWriter(Path(temporary) / "chunk.parquet", pipeline=pipeline, schema_text=schema_text)
        with writer:
            for request in requests:
                writer.add(request)
        return writer.upload(lake)


def request_ids_of(lake: Lake, key: str) -> list[str]:
    """The requests of a chunk file, without the rest of it. Raises LakeError as open_chunk() does."""
    with lake.open(key) as file, _chunk_file(lake, key):
        ids: list[str] = pq.read_table(file, columns=["request_id"])["request_id"].to_pylist()
        return ids


@contextmanager
def open_chunk(lake: Lake, key: str) -> Iterator[Chunk]:
    """
    The chunk file of that key, on this machine until the block is left. Raises LakeError if it is not there or is no
    chunk file.
    """
    with tempfile.TemporaryDirectory(prefix="claude-batch-") as temporary:
        path = Path(temporary) / "chunk.parquet"
        lake.fetch(key, path)
        with _chunk_file(lake, key):
            schema = pq.read_schema(path)
            metadata = {name.decode(): value.decode() for name, value in (schema.metadata or {}).items()}
            request_ids = pq.read_table(path, columns=["request_id"])["request_id"].to_pylist()
            pipeline, after = metadata["pipeline"], metadata["after"].split()
        yield Chunk(
            key=key,
            path=path,
            chunk_id=chunk_id(request_ids, after=after),
            pipeline=pipeline,
            schema_text=metadata.get("output_schema"),
            request_ids=request_ids,
        )


@contextmanager
def _chunk_file(lake: Lake, key: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, KeyError) as error:
        raise LakeError(
            f"{lake.locate(key)} is not a chunk file: {error}. Clear the pass's `plan`, which writes it anew; requests"
            " of your own are written with write_chunk().",
            retryable=False,
        ) from error


def _read(path: Path) -> Iterator[Request]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=_ROWS_AT_ONCE, columns=_SCHEMA.names):
        for request_id, params in zip(batch["request_id"].to_pylist(), batch["params"].to_pylist(), strict=True):
            yield Request(request_id=request_id, params=params)
