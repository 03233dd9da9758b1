"""The result store on the lake: what every batch answered, as received and as outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment import layout
from include.enrichment.errors import LakeError, LoadError
from include.enrichment.found import FOUND_SCHEMA, Found
from include.enrichment.outcome import OUTCOMES_SCHEMA, Outcome, outcomes_batch
from include.enrichment.table import ANSWERS_SCHEMA
from include.gateways.lake import Lake

_ROWS_AT_ONCE = 5_000
_PIECE_BYTES = 1 << 20
_READERS = 8
_RUN_ID = "run_id"


class ResultStore:
    """The results of one pipeline's batches."""

    def __init__(self, lake: Lake, *, pipeline: str) -> None:
        self._lake = lake
        self._pipeline = pipeline

    def locate(self, batch_id: str) -> str:
        """Where the batch's outcomes lie, for people."""
        return self._lake.locate(layout.results(self._pipeline, batch_id))

    def outcome_counts(self, batch_id: str, *, of: Iterable[str]) -> dict[str, int] | None:
        """
        How many requests of the batch had which outcome; None if the batch has not been loaded.

        :param of: the request ids that the batch was made of

        Raises LoadError if the batch holds the answers of other requests.
        """
        key = layout.results(self._pipeline, batch_id)
        if (stored := self._lake.find(key)) is None:
            return None
        found = self._table(pa.BufferReader(stored.data), key, ["request_id", "outcome"])
        if sorted(found["request_id"].to_pylist()) != sorted(of):
            raise LoadError(
                f"{self._lake.locate(key)} holds the answers of other requests than this chunk's: batch {batch_id} is"
                " not its batch. Nothing was loaded. Correct the batch_id in the chunk's ledger entry."
            )
        return {str(count["values"]): int(count["counts"]) for count in found["outcome"].value_counts().to_pylist()}

    def look_up(self, request_ids: Iterable[str]) -> Found:
        """
        What every loaded batch says of these requests.

        Looks through all results of the pipeline, but reads only the columns it needs, some batches at a time.
        """
        wanted = pa.array(request_ids, pa.string())
        keys = self._lake.list(layout.results_folder(self._pipeline)) if len(wanted) else []

        def look(key: str) -> pa.Table:
            with self._lake.open(key) as file:
                found = self._table(file, key, [name for name in FOUND_SCHEMA.names if name != "batch_id"])
            found = found.filter(pc.is_in(found["request_id"], value_set=wanted))
            return _of_batch(found, layout.batch_id_of(key)).cast(FOUND_SCHEMA)

        with ThreadPoolExecutor(_READERS) as readers:
            return Found(pa.concat_tables([FOUND_SCHEMA.empty_table(), *readers.map(look, keys)]))

    def answers(self, batch_id: str, *, of: pa.Array) -> pa.Table:
        """
        The batch's outcomes of the requests ``of``, in ANSWERS_SCHEMA. Raises LakeError if the batch has not been
        loaded.
        """
        key = layout.results(self._pipeline, batch_id)
        outcomes = self._table(pa.BufferReader(self._lake.read(key)), key, OUTCOMES_SCHEMA.names)
        wanted = outcomes.filter(pc.is_in(outcomes["request_id"], value_set=of))
        return _of_batch(wanted, batch_id).cast(ANSWERS_SCHEMA)

    def sent_by(self, batch_id: str) -> str:
        """The run that sent the batch."""
        key = layout.results(self._pipeline, batch_id)
        with self._lake.open(key) as file, self._readable(key):
            run_id: bytes = (pq.read_schema(file).metadata or {}).get(_RUN_ID.encode(), b"")
        return run_id.decode()

    def raw(self, batch_id: str) -> Iterator[bytes] | None:
        """The batch's results as they were received, in pieces; None if they never were."""
        if (stored := self._lake.find(layout.raw(self._pipeline, batch_id))) is None:
            return None
        return self._pieces(stored.data, batch_id)

    def _pieces(self, compressed: bytes, batch_id: str) -> Iterator[bytes]:
        try:
            with pa.CompressedInputStream(pa.BufferReader(compressed), "zstd") as raw:
                while piece := raw.read(_PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise LakeError(
                f"{self._lake.locate(layout.raw(self._pipeline, batch_id))} cannot be read: {error}. Delete it and"
                " clear this task: the API's results are read instead, for 29 days after the batch was made.",
                retryable=False,
            ) from error

    def _table(self, file: pa.NativeFile | BinaryIO, key: str, columns: list[str]) -> pa.Table:
        """The columns of a results file. One that an earlier version did not write is null."""
        with self._readable(key), pq.ParquetFile(file) as stored:
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
                f"{self._lake.locate(key)} cannot be read: {error}. Delete it and clear the chunk's `load`: it is made"
                " anew from the raw copy beside it, or from the API's results.",
                retryable=False,
            ) from error

    def publish(self, batch_id: str, received: Received) -> None:
        """Make the batch's results visible: first what was received, then the outcomes, each as a whole."""
        self._lake.write_file(layout.raw(self._pipeline, batch_id), received.raw_path)
        self._lake.write_file(layout.results(self._pipeline, batch_id), received.outcomes_path)


class Received:
    """
    A batch's results while they come in: local files in ``folder``, of which nothing is visible yet.

    A context manager: leave it before the files are used. Entering it again begins anew.

    :param run_id: the run that sent the batch
    """

    def __init__(self, folder: Path, *, run_id: str) -> None:
        self.raw_path = folder / "raw.jsonl.zst"
        self.outcomes_path = folder / "outcomes.parquet"
        self._schema = OUTCOMES_SCHEMA.with_metadata({_RUN_ID: run_id})

    def __enter__(self) -> Self:
        self._waiting: list[Outcome] = []
        self._raw = pa.CompressedOutputStream(str(self.raw_path), "zstd")
        self._outcomes = pq.ParquetWriter(self.outcomes_path, self._schema, compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._outcomes.close()
        self._raw.close()

    def kept(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces, each kept exactly as it was received."""
        for piece in pieces:
            self._raw.write(piece)
            yield piece

    def add(self, outcome: Outcome) -> None:
        """Keep one outcome."""
        self._waiting.append(outcome)
        if len(self._waiting) == _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._outcomes.write_batch(outcomes_batch(self._waiting))
            self._waiting = []


def _of_batch(outcomes: pa.Table, batch_id: str) -> pa.Table:
    return outcomes.append_column("batch_id", pa.array([batch_id] * outcomes.num_rows, pa.string()))


def lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """
    The lines of a JSONL body, whose pieces end anywhere; split at line feeds only, as U+2028 may stand within a line.

    Each has its line feed, but for a last one that the body ends without: whether that one is whole nobody can tell.
    """
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in whole if line.strip())
    if rest.strip():
        yield rest
