"""Chunk files: the requests of one batch as Parquet on the lake. submit and load work on any file of this form."""

from __future__ import annotations

import io
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.cost.caching import CachedPrefix, Ttl
from include.enrichment.documents.attachment import Attachment, attachments_in
from include.enrichment.errors import LakeError
from include.enrichment.requests.chunk import REQUESTS_SCHEMA, body_bytes, chunk_id, request_sizes
from include.enrichment.requests.request import Request
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.storage import layout
from include.enrichment.storage.version import check_stamp, with_stamp
from include.gateways.disk import working_folder
from include.gateways.lake import Lake, ObjectMissing

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: A file is written and read in portions of about this many bytes of params, or of one larger request: submit holds no
#: more in memory, whatever the number of requests.
PORTION_BYTES = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """
    The metadata of a chunk file: all but the params.

    :param key: its key on the lake
    :param pipeline: the pipeline whose ledger and result store its batch belongs to
    :param schema_text: the JSON Schema that its answers must fit, None for text
    :param body_bytes: the planned length of its request body
    :param partition: the partition of its rows; like ``pass_name`` None for requests that belong to no pipeline
    :param cached: the prefix that its requests share in the prompt cache, None without caching
    :param attachments_connection: where their attachments are, as in Settings; None if they have none
    :param variant: of its requests; None: the pipeline has no variants
    :param synchronous: its requests are asked one by one, not in a batch
    """

    key: str
    chunk_id: str
    pipeline: str
    schema_text: str | None
    request_ids: list[str]
    body_bytes: int
    partition: str | None
    pass_name: str | None
    cached: CachedPrefix | None
    attachments_connection: str | None
    variant: str | None = None
    synchronous: bool = False


def read_chunk(lake: Lake, key: str) -> Chunk:
    """
    Read the metadata of a chunk file. Its params, nearly all of the file, are not read.

    Raises LakeError if it does not exist or is not a chunk file.
    """
    with chunk_file_errors(lake.locate(key)):
        return _described(key, _read_metadata(lake, key))


def read_copy(lake: Lake, key: str, path: Path) -> Chunk:
    """Return the metadata of a chunk file that was copied to ``path``. Raises LakeError as read_chunk() does."""
    with chunk_file_errors(lake.locate(key)):
        return _described(key, _checked(pq.read_metadata(path), lake.locate(key)))


def _described(key: str, stored: Mapping[bytes, bytes]) -> Chunk:
    metadata = {name.decode(): value.decode() for name, value in stored.items()}
    return Chunk(
        key=key,
        chunk_id=metadata["chunk_id"],
        pipeline=metadata["pipeline"],
        schema_text=metadata.get("output_schema"),
        request_ids=metadata["request_ids"].split(),
        body_bytes=int(metadata["body_bytes"]),
        partition=metadata.get("partition"),
        pass_name=metadata.get("pass_name"),
        cached=_cached(metadata),
        attachments_connection=metadata.get("attachments_connection"),
        variant=metadata.get("variant"),
        synchronous="synchronous" in metadata,
    )


def _read_metadata(lake: Lake, key: str) -> Mapping[bytes, bytes]:
    with lake.open(key) as file:
        return _checked(pq.read_metadata(file), lake.locate(key))


def _checked(footer: pq.FileMetaData, name: str) -> Mapping[bytes, bytes]:
    stored: Mapping[bytes, bytes] = footer.metadata or {}
    check_stamp(stored, name)
    return stored


def _cached(metadata: Mapping[str, str]) -> CachedPrefix | None:
    if "prefix_id" not in metadata:
        return None
    return CachedPrefix(prefix_id=metadata["prefix_id"], ttl=cast(Ttl, metadata["cache"]))


def request_ids_of(lake: Lake, key: str) -> RequestIds:
    """Return the ids of a chunk file's requests. Raises LakeError as read_chunk() does."""
    with chunk_file_errors(lake.locate(key)):
        ids = pa.array([_read_metadata(lake, key)[b"request_ids"]], pa.string())
        return RequestIds(pc.split_pattern(ids, " ").flatten())


def params_of(lake: Lake, chunk: Chunk, request_ids: Collection[str]) -> dict[str, str]:
    """
    Return the params of these requests of the chunk, by id. Only the row groups that hold them are read. Raises
    LakeError as read_chunk() does.
    """
    found: dict[str, str] = {}
    wanted = [number for number, request_id in enumerate(chunk.request_ids) if request_id in request_ids]
    with chunk_file_errors(lake.locate(chunk.key)), lake.open(chunk.key) as file, pq.ParquetFile(file) as stored:
        end = 0
        for group in range(stored.num_row_groups):
            first, end = end, end + stored.metadata.row_group(group).num_rows
            if here := [number - first for number in wanted if first <= number < end]:
                requests = stored.read_row_group(group, columns=REQUESTS_SCHEMA.names).take(here)
                found |= zip(*(requests[name].to_pylist() for name in REQUESTS_SCHEMA.names), strict=True)
    return found


def uploads_in(lake: Lake, chunk: Chunk) -> list[Attachment]:
    """
    Return the attachments that the chunk's requests send as uploaded files, each content once. Raises LakeError as
    read_chunk() does.
    """
    if chunk.attachments_connection is None:
        return []
    found: dict[str, Attachment] = {}
    with chunk_file_errors(lake.locate(chunk.key)), lake.open(chunk.key) as file, pq.ParquetFile(file) as stored:
        for number in range(stored.num_row_groups):
            params = stored.read_row_group(number, columns=["params"])["params"]
            for attachment in (each for text in params.to_pylist() for each in attachments_in(text.encode())):
                if attachment.upload:
                    found.setdefault(attachment.content_id, attachment)
    return list(found.values())


def read_part(lake: Lake, chunk: Chunk, request_ids: pa.Array) -> Generator[pa.RecordBatch]:
    """Yield these requests of the chunk, in REQUESTS_SCHEMA and in portions. Raises LakeError as read_chunk() does."""
    with working_folder() as temporary, chunk_file_errors(lake.locate(chunk.key)):
        path = temporary / "chunk.parquet"
        lake.fetch(chunk.key, path)
        with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
            for number in range(file.num_row_groups):
                for batch in file.read_row_group(number, columns=REQUESTS_SCHEMA.names, use_threads=False).to_batches():
                    yield batch.filter(pc.is_in(batch["request_id"], value_set=request_ids))


class _OpenToWrite(io.RawIOBase):
    """A new file that is open only during each write: a plan writes more files at once than a process may have open."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(b"")
        self._path = path
        self._bytes = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._bytes

    def write(self, data: ReadableBuffer) -> int:
        with self._path.open("ab") as file:
            written = file.write(data)
        self._bytes += written
        return written


class ChunkWriter:
    """
    A local chunk file that is being written.

    A context manager: leave it before you upload the file or read ``chunk_id``. The file is open only while something
    is written to it. ``params_bytes`` is the size of all params so far, as sent. For the parameters see Chunk.

    :param after: the batches that failed to answer these requests before
    :param portion_bytes: bytes of params to hold in memory and write together
    """

    def __init__(
        self,
        path: Path,
        *,
        pipeline: str,
        schema_text: str | None,
        after: Collection[str] = frozenset(),
        partition: str | None = None,
        pass_name: str | None = None,
        cached: CachedPrefix | None = None,
        attachments_connection: str | None = None,
        variant: str | None = None,
        synchronous: bool = False,
        portion_bytes: int = PORTION_BYTES,
    ) -> None:
        self.path = path
        self._pipeline = pipeline
        self._after = sorted(after)
        self._synchronous = synchronous
        facts = {
            "output_schema": schema_text,
            "partition": partition,
            "pass_name": pass_name,
            "attachments_connection": attachments_connection,
            "variant": variant,
            "synchronous": "1" if synchronous else None,
        }
        if cached:
            facts |= {"prefix_id": cached.prefix_id, "cache": cached.ttl}
        self._metadata = {"pipeline": pipeline} | {name: fact for name, fact in facts.items() if fact}
        self._attached = attachments_connection is not None
        self.params_bytes = 0
        self._ids_path = path.with_suffix(".ids")
        self._portion_bytes = portion_bytes
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_bytes = 0

    def __enter__(self) -> Self:
        schema = with_stamp(REQUESTS_SCHEMA, self._metadata)
        self._ids_path.write_bytes(b"")
        self._writer = pq.ParquetWriter(
            _OpenToWrite(self.path),
            schema,
            compression="zstd",
            use_dictionary=False,  # no two requests are alike
            write_statistics=False,
            write_page_checksum=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        request_ids = self._ids_path.read_text(encoding="ascii").split()
        self.chunk_id = chunk_id(request_ids, after=self._after, synchronous=self._synchronous)
        # The ids are in the footer as well: their column is scattered between the params.
        self._writer.add_key_value_metadata(
            {
                "chunk_id": self.chunk_id,
                "request_ids": " ".join(request_ids),
                "body_bytes": str(body_bytes(request_ids, self.params_bytes)),
            }
        )
        self._writer.close()
        del self._writer  # it holds the footer, and a plan keeps all its writers until the files are uploaded

    def add(self, request: Request) -> None:
        """Add a request. It must be new in this chunk, and the chunk within BatchLimits."""
        columns = [pa.array([request.request_id], pa.string()), pa.array([request.params], pa.string())]
        self.write(pa.RecordBatch.from_arrays(columns, schema=REQUESTS_SCHEMA))

    def write(self, requests: pa.RecordBatch) -> None:
        """Add requests: their ``request_id`` and ``params``, under the same conditions as add()."""
        requests = pa.RecordBatch.from_arrays(
            [requests[name] for name in REQUESTS_SCHEMA.names], schema=REQUESTS_SCHEMA
        )
        sizes = pc.binary_length(requests["params"]).to_pylist()
        start = 0
        for position, size in enumerate(sizes):
            if self._waiting_bytes and self._waiting_bytes + size > self._portion_bytes:
                self._waiting.append(requests.slice(start, position - start))
                self._flush()
                start = position
            self._waiting_bytes += size
        self._waiting.append(requests.slice(start))
        self.params_bytes += sum(request_sizes(requests)["params_bytes"].to_pylist() if self._attached else sizes)

    def upload(self, lake: Lake) -> str:
        """Upload the written file and return its key."""
        key = layout.chunk(self._pipeline, self.chunk_id)
        lake.write_file(key, self.path)
        return key

    def _flush(self) -> None:
        """Write the waiting requests as one row group."""
        portion = pa.Table.from_batches(self._waiting, REQUESTS_SCHEMA)
        if portion.num_rows:
            self._writer.write_table(portion, row_group_size=portion.num_rows)
            with self._ids_path.open("a", encoding="ascii") as file:  # in memory they would be as many as the plan's
                file.write("".join(f"{request_id} " for request_id in portion["request_id"].to_pylist()))
        self._waiting, self._waiting_bytes = [], 0


def write_chunk(lake: Lake, requests: Iterable[Request], *, pipeline: str, schema_text: str | None) -> str:
    """
    Write a chunk file for requests that belong to no pipeline, and return its key.

    The requests must be distinct, at least one, and within BatchLimits. For the parameters see Chunk.
    """
    with working_folder() as temporary:
        writer = ChunkWriter(temporary / "chunk.parquet", pipeline=pipeline, schema_text=schema_text)
        with writer:
            for request in requests:
                writer.add(request)
        return writer.upload(lake)


@contextmanager
def chunk_file_errors(name: str) -> Iterator[None]:
    """Raise LakeError, not to be retried, for an error that says that the file ``name`` is missing or not a chunk."""
    try:
        yield
    except ObjectMissing as error:
        raise LakeError(
            f"{error} Clear the run's `extract` with downstream: it finds the answers, and nothing is billed again. If"
            " the requests are your own, write them again with write_chunk().",
            retryable=False,
        ) from error
    except (ValueError, KeyError, OSError) as error:
        raise LakeError(
            f"{name} is not a chunk file: {' '.join(str(error).split())}. Clear the pass's `plan`, which writes it"
            " again. If the requests are your own, write them again with write_chunk().",
            retryable=False,
        ) from error
