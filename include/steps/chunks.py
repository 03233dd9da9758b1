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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment import layout
from include.enrichment.chunk import BODY_HEAD, BODY_SEPARATOR, BODY_TAIL, ITEM_PARTS, Body, body_bytes, chunk_id
from include.enrichment.errors import LakeError
from include.enrichment.request import Request
from include.gateways.lake import Lake

_SCHEMA = pa.schema(
    [pa.field("request_id", pa.string(), nullable=False), pa.field("params", pa.string(), nullable=False)]
)
#: A file is written and read in portions of about so many bytes of params, or of one request where that is larger: what
#: a submit holds in memory, whatever the number of requests.
_PORTION_BYTES = 1_000_000
_READ_BYTES = 1 << 18
_BODY_BYTES = "body_bytes"


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """
    A chunk file on this machine.

    :param name: where it lies on the lake, for people
    :param key: where it lies on the lake
    :param pipeline: whose ledger and result store its batch belongs to
    :param schema_text: the JSON Schema that its answers must fit, None for free text
    :param body_bytes: the length of the request body that is made of it, as planned
    """

    name: str
    key: str
    path: Path
    chunk_id: str
    pipeline: str
    schema_text: str | None
    request_ids: list[str]
    body_bytes: int

    def body(self) -> Body:
        """
        The body of the create: byte for byte the params that were planned, and their ids.

        Its pieces raise LakeError, before the last of them, if the file does not hold what was planned.
        """
        return Body(pieces=self._pieces(), length=self.body_bytes, requests=len(self.request_ids))

    def _pieces(self) -> Iterator[bytes]:
        with _chunk_file(self.name), _parquet(self.path) as file:
            left = self.body_bytes
            for number in range(last := file.num_row_groups):
                items = _items(file.read_row_group(number, columns=_SCHEMA.names, use_threads=False))
                piece = items if number else BODY_HEAD.encode() + items.removeprefix(BODY_SEPARATOR.encode())
                if number == last - 1:
                    piece += BODY_TAIL.encode()
                    if len(piece) != left:
                        raise pa.ArrowInvalid(f"it makes {self.body_bytes - left + len(piece):,} bytes of body")
                left -= len(piece)
                yield piece


def _items(requests: pa.Table) -> bytes:
    """The requests as they stand in a body, a separator before each; joined in one go, without an object for each."""
    ids, params = (requests[name].combine_chunks() for name in _SCHEMA.names)
    before, between, after = ITEM_PARTS
    items = pc.binary_join_element_wise(BODY_SEPARATOR + before, ids, between, params, after, "")
    joined: bytes = items.buffers()[2].to_pybytes()  # all texts of an Arrow array stand one after the other
    return joined


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
        self._params_bytes = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0

    def __enter__(self) -> Self:
        schema = _SCHEMA.with_metadata(self._metadata)
        self._writer = pq.ParquetWriter(
            self.path,
            schema,
            compression="zstd",
            use_dictionary=False,  # no two requests are alike
            write_statistics=False,
            write_page_checksum=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        length = body_bytes(self.request_ids, self._params_bytes)
        self._writer.add_key_value_metadata({_BODY_BYTES: str(length)})
        self._writer.close()

    def add(self, request: Request) -> None:
        """Add a request. It must be new in this chunk, and the chunk within BatchLimits."""
        columns = [pa.array([request.request_id], pa.string()), pa.array([request.params], pa.string())]
        self.write(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))

    def write(self, requests: pa.RecordBatch) -> None:
        """Add requests, their ``request_id`` and ``params``; for them holds what add() says."""
        self.request_ids += requests["request_id"].to_pylist()
        sizes = pc.binary_length(requests["params"]).to_pylist()
        start = 0
        for position, size in enumerate(sizes):
            if self._waiting_bytes and self._waiting_bytes + size > _PORTION_BYTES:
                self._waiting.append(requests.slice(start, position - start))
                self._flush()
                start = position
            self._waiting_bytes += size
        self._waiting.append(requests.slice(start))
        self._params_bytes += sum(sizes)

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
        """What waits becomes one row group."""
        portion = pa.Table.from_batches(self._waiting, _SCHEMA)
        if portion.num_rows:
            self._writer.write_table(portion, row_group_size=portion.num_rows)
        self._waiting, self._waiting_bytes = [], 0


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
    with lake.open(key) as file, _chunk_file(lake.locate(key)):
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
        with _chunk_file(name := lake.locate(key)), _parquet(path) as file:
            metadata = {field.decode(): value.decode() for field, value in file.metadata.metadata.items()}
            request_ids = file.read(columns=["request_id"])["request_id"].to_pylist()
            chunk = Chunk(
                name=name,
                key=key,
                path=path,
                chunk_id=chunk_id(request_ids, after=metadata["after"].split()),
                pipeline=metadata["pipeline"],
                schema_text=metadata.get("output_schema"),
                request_ids=request_ids,
                body_bytes=int(metadata[_BODY_BYTES]),
            )
        yield chunk


@contextmanager
def _chunk_file(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, KeyError, OSError) as error:
        raise LakeError(
            f"{name} is not a chunk file: {' '.join(str(error).split())}. Clear the pass's `plan`, which writes it anew; requests"
            " of your own are written with write_chunk().",
            retryable=False,
        ) from error


def _parquet(path: Path) -> pq.ParquetFile:
    """The file, read a little at a time; what does not have its checksum is an OSError."""
    return pq.ParquetFile(path, buffer_size=_READ_BYTES, pre_buffer=False, page_checksum_verification=True)
