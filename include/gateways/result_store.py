"""The result store on the lake: each batch's results as received, and its outcomes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.outcome import OUTCOMES_SCHEMA
from include.enrichment.answers.table import ANSWERS_SCHEMA
from include.enrichment.batches.prior_results import COMPACT_SCHEMA, FOUND_SCHEMA, PriorResults, select_outcomes
from include.enrichment.batches.usage import USAGE_COLUMNS, BatchFacts
from include.enrichment.cost.prices import TOKEN_RATES
from include.enrichment.errors import LakeError, LoadError
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.storage import layout
from include.enrichment.storage.compaction import compaction_groups
from include.enrichment.storage.version import check_stamp, with_stamp
from include.gateways.lake import Lake, Listed, ObjectMissing
from include.gateways.prefetch import write_behind
from include.gateways.result_index import Index

#: The bytes of a results file that are processed together; their outcomes become one row group.
_FIRST_PART_BYTES, _PART_BYTES = 1_000_000, 4_000_000
_ROWS_AT_ONCE = 5_000
_PIECE_BYTES = 1 << 20
_READERS = 4
#: Columns with few distinct values.
_ALIKE = ["outcome", "error_type", "model", "stop_reason"]


class ResultStore:
    """The results of one pipeline's batches."""

    def __init__(self, lake: Lake, *, pipeline: str) -> None:
        self._lake = lake
        self._pipeline = pipeline
        self._index = Index(lake, pipeline=pipeline)

    def locate(self, batch_id: str) -> str:
        """Return the address of the batch's outcomes for a message."""
        return self._lake.locate(layout.results(self._pipeline, batch_id))

    def outcome_counts(self, batch_id: str, *, of: Iterable[str]) -> dict[str, int] | None:
        """
        Count the batch's requests by outcome. Return None if the batch has not been loaded.

        :param of: the ids of the chunk's requests

        Raises LoadError if the batch has results of other requests.
        """
        key = layout.results(self._pipeline, batch_id)
        try:
            with self._lake.open(key) as file:
                found = self._table(file, key, ["request_id", "outcome"])
        except ObjectMissing:
            return None
        if sorted(found["request_id"].to_pylist()) != sorted(of):
            raise LoadError(
                f"{self._lake.locate(key)} holds results of other requests than this chunk's: batch {batch_id} is"
                " not its batch. Nothing was loaded. Correct the batch_id in the chunk's ledger entry."
            )
        return {str(count["values"]): int(count["counts"]) for count in found["outcome"].value_counts().to_pylist()}

    def look_up(self, request_ids: Iterable[str]) -> PriorResults:
        """
        Return the outcomes of these requests in all loaded batches.

        Reads the index, and the required columns of the results that the index does not cover. If there are many of
        those, it adds them to the index.
        """
        wanted = RequestIds(request_ids).array
        if not len(wanted):
            return PriorResults(COMPACT_SCHEMA.empty_table())
        listed = self._lake.objects(layout.results_folder(self._pipeline))
        stored = {layout.batch_id_of(each.key): each for each in listed if layout.is_batch_file(each.key)}
        tags = {batch_id: each.etag for batch_id, each in stored.items()}
        with ThreadPoolExecutor(_READERS) as readers:
            tables, indexed = self._index.look_up(wanted, tags, readers)
            loose = {batch_id: each.size_bytes for batch_id, each in stored.items() if batch_id not in indexed}
            found = readers.map(lambda batch_id: select_outcomes(self._outcomes(stored[batch_id]), wanted), loose)
            tables += found
            for group in compaction_groups(loose):
                outcomes = readers.map(lambda batch_id: self._outcomes(stored[batch_id]), group)
                self._index.write(outcomes, {batch_id: tags[batch_id] for batch_id in group})
        return PriorResults(pa.concat_tables([COMPACT_SCHEMA.empty_table(), *tables]))

    def _outcomes(self, results: Listed) -> pa.Table:
        """Return the outcomes of a batch in COMPACT_SCHEMA."""
        with self._lake.open_listed(results) as file:
            outcomes = self._table(file, results.key, [name for name in FOUND_SCHEMA.names if name != "batch_id"])
        return _of_batch(outcomes, layout.batch_id_of(results.key)).cast(COMPACT_SCHEMA)

    def answers(self, batch_id: str, *, of: pa.Array) -> pa.Table:
        """
        Return the batch's outcomes of the requests ``of``, in ANSWERS_SCHEMA.

        Raises ObjectMissing if the batch has not been loaded.
        """
        key = layout.results(self._pipeline, batch_id)
        outcomes = self._table(pa.BufferReader(self._lake.read(key)), key, OUTCOMES_SCHEMA.names)
        wanted = outcomes.filter(pc.is_in(outcomes["request_id"], value_set=of))
        return _of_batch(wanted, batch_id).cast(ANSWERS_SCHEMA)

    def billed(self, batch_id: str) -> tuple[BatchFacts | None, pa.Table]:
        """
        Return the facts of a loaded batch, None if an earlier version loaded it, and USAGE_COLUMNS of its outcomes.
        """
        key = layout.results(self._pipeline, batch_id)
        with self._lake.open(key) as file:
            outcomes = self._table(file, key, USAGE_COLUMNS)
            file.seek(0)
            return self._facts(batch_id, pq.read_metadata(file).metadata), outcomes

    def tokens(self, batch_id: str) -> pa.Table:
        """
        Return ``request_id`` and the counts TOKEN_RATES of each outcome. Raises ObjectMissing if the batch has not been
        loaded.
        """
        key = layout.results(self._pipeline, batch_id)
        with self._lake.open(key) as file:
            return self._table(file, key, ["request_id", *TOKEN_RATES])

    def _facts(self, batch_id: str, metadata: Mapping[bytes, bytes] | None) -> BatchFacts | None:
        return BatchFacts.from_metadata(
            {name.decode(): text.decode() for name, text in (metadata or {}).items()},
            batch_id=batch_id,
            pipeline=self._pipeline,
        )

    def fetch(self, batch_id: str, path: Path) -> BatchFacts | None:
        """
        Copy the batch's outcomes to a local file, and return its facts, None if an earlier version loaded it.

        Raises LakeError if the batch has not been loaded or its outcomes are damaged.
        """
        key = layout.results(self._pipeline, batch_id)
        self._lake.fetch(key, path)
        with self._readable(key), pq.ParquetFile(path, buffer_size=_PIECE_BYTES, pre_buffer=False) as stored:
            check_stamp(stored.metadata.metadata, self._lake.locate(key))
            for _ in stored.iter_batches(_ROWS_AT_ONCE, use_threads=False):
                pass  # to find damage now, not later
            facts = self._facts(batch_id, stored.metadata.metadata)
        pa.default_memory_pool().release_unused()
        return facts

    def raw(self, batch_id: str) -> Iterator[bytes] | None:
        """Return the batch's results as received, in pieces, None if there is no raw copy."""
        key = layout.raw(self._pipeline, batch_id)
        return self._pieces(key) if self._lake.exists(key) else None

    def _pieces(self, key: str) -> Iterator[bytes]:
        try:
            with self._lake.open(key) as file, pa.CompressedInputStream(pa.PythonFile(file), "zstd") as raw:
                while piece := raw.read(_PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise LakeError(
                f"{self._lake.locate(key)} cannot be read: {error}. Delete it and"
                " clear this task. It then reads the API's results, which exist for 29 days after its creation.",
                retryable=False,
            ) from error

    def _table(self, file: pa.NativeFile | BinaryIO, key: str, columns: list[str]) -> pa.Table:
        """Read columns of a results file. A column that an earlier version did not write is null."""
        with self._readable(key), pq.ParquetFile(file) as stored:
            check_stamp(stored.metadata.metadata, self._lake.locate(key))
            kept = [name for name in columns if name in stored.schema_arrow.names]
            table = stored.read(columns=kept)
        for name in columns:
            if name not in kept:
                table = table.append_column(name, pa.nulls(table.num_rows, OUTCOMES_SCHEMA.field(name).type))
        return table.select(columns)

    @contextmanager
    def _readable(self, key: str) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowInvalid, OSError) as error:
            raise LakeError(
                f"{self._lake.locate(key)} cannot be read: {' '.join(str(error).split())}. Delete it and clear the"
                " chunk's `load`, which makes it again from the raw copy or from the API's results.",
                retryable=False,
            ) from error

    def publish(self, batch_id: str, received: Received) -> None:
        """Write the batch's results to the lake, first the raw copy, then the outcomes."""
        self._lake.write_file(layout.raw(self._pipeline, batch_id), received.raw_path)
        self._lake.write_file(layout.results(self._pipeline, batch_id), received.outcomes_path)


class Received:
    """
    A batch's results during the download, in local files in ``folder``.

    A context manager: leave it before using the files. Entering it again starts over.
    """

    def __init__(self, folder: Path, *, facts: BatchFacts) -> None:
        self.folder = folder
        self.facts = facts
        self.raw_path = folder / "raw.jsonl.zst"
        self.outcomes_path = folder / "outcomes.parquet"
        self._schema = with_stamp(OUTCOMES_SCHEMA, facts.to_metadata())

    def __enter__(self) -> Self:
        with ExitStack() as open_files:
            self._raw = open_files.enter_context(pa.CompressedOutputStream(str(self.raw_path), "zstd"))
            self._outcomes = open_files.enter_context(
                pq.ParquetWriter(self.outcomes_path, self._schema, compression="zstd", use_dictionary=_ALIKE)
            )
            # Writing compresses, which need not delay the next outcomes.
            self._write = open_files.enter_context(write_behind())
            self._open_files = open_files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_files.__exit__(kind, error, trace)

    def parts(self, pieces: Iterator[bytes]) -> Iterator[Part]:
        """Split the body into parts, and keep each exactly as received."""
        for part in in_parts(pieces):
            self._raw.write(part.data)
            yield part

    def add(self, outcomes: pa.RecordBatch) -> None:
        """Write outcomes, in OUTCOMES_SCHEMA, as a row group."""
        if outcomes.num_rows:
            self._write(self._outcomes.write_batch, outcomes)


@dataclass(frozen=True, kw_only=True)
class Part:
    """
    A part of a JSONL body. Its lines are complete, except possibly the last line of the body.

    :param first: the number of its first line in the body, from 1
    :param lines: the number of lines
    """

    data: bytes
    first: int
    lines: int

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over its lines, with their line ends."""
        return iter(io.BytesIO(self.data) if b"\n" in self.data else self.data.splitlines(keepends=True))


def in_parts(pieces: Iterator[bytes]) -> Iterator[Part]:
    """Split the body into parts of a few megabytes, the first ones smaller."""
    first, rest = 1, b""
    for number in count():
        # Small at first, so that decoding starts early.
        data, rest = _join(chain([rest], pieces), enough=min(_PART_BYTES, _FIRST_PART_BYTES << number))
        if not data:
            return
        # Lines may end in carriage returns alone; JSON has none within a line.
        end = b"\n" if b"\n" in data else b"\r"
        lines = data.count(end) + (not data.endswith(end))
        yield Part(data=data, first=first, lines=lines)
        first += lines


def _join(pieces: Iterator[bytes], *, enough: int) -> tuple[bytes, bytes]:
    """Join pieces up to a line end at or after ``enough`` bytes. Return them and the rest of the last piece."""
    joined: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size >= enough and (end := piece.rfind(b"\n") + 1):
            return b"".join([*joined, memoryview(piece)[:end]]), piece[end:]
        joined.append(piece)
    return b"".join(joined), b""


def _of_batch(outcomes: pa.Table, batch_id: str) -> pa.Table:
    return outcomes.append_column("batch_id", pa.array([batch_id] * outcomes.num_rows, pa.string()))


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """
    Yield the lines of a JSONL body, each with its line feed.

    Splits at line feeds only. A last line without one may be complete or not.
    """
    rest = b""
    for piece in pieces:
        *complete, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in complete)
    if rest:
        yield rest
