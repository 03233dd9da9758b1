"""The result store on the lake: what every batch answered, as received and as outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment import layout
from include.enrichment.errors import LakeError, LoadError
from include.enrichment.outcome import OUTCOMES_SCHEMA, Outcome, outcomes_batch
from include.enrichment.table import ANSWERS_SCHEMA
from include.gateways.lake import Lake

_ROWS_AT_ONCE = 5_000


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
        found = self._table(stored.data, key, ["request_id", "outcome"])
        if sorted(found["request_id"].to_pylist()) != sorted(of):
            raise LoadError(
                f"{self._lake.locate(key)} holds the answers of other requests than this chunk's: batch {batch_id} is"
                " not its batch. Nothing was loaded. Correct the batch_id in the chunk's ledger entry."
            )
        return {str(count["values"]): int(count["counts"]) for count in found["outcome"].value_counts().to_pylist()}

    def answers(self, batch_id: str) -> pa.Table:
        """The batch's outcomes in ANSWERS_SCHEMA. Raises LakeError if the batch has not been loaded."""
        key = layout.results(self._pipeline, batch_id)
        outcomes = self._table(self._lake.read(key), key, OUTCOMES_SCHEMA.names)
        return outcomes.append_column("batch_id", pa.array([batch_id] * outcomes.num_rows, pa.string())).cast(
            ANSWERS_SCHEMA
        )

    def _table(self, data: bytes, key: str, columns: list[str]) -> pa.Table:
        try:
            return pq.read_table(pa.BufferReader(data), columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise LakeError(
                f"{self._lake.locate(key)} cannot be read: {error}. Delete it and clear the chunk's `load`: it is made"
                " anew from the API's results.",
                retryable=False,
            ) from error

    def publish(self, batch_id: str, received: Received) -> None:
        """Make the batch's results visible: first what was received, then the outcomes, each as a whole."""
        self._lake.write_file(layout.raw(self._pipeline, batch_id), received.raw_path)
        self._lake.write_file(layout.results(self._pipeline, batch_id), received.outcomes_path)


class Received:
    """
    A batch's results while they come in: local files in ``folder``, of which nothing is visible yet.

    A context manager: leave it before the files are used.
    """

    def __init__(self, folder: Path) -> None:
        self.raw_path = folder / "raw.jsonl.zst"
        self.outcomes_path = folder / "outcomes.parquet"
        self._waiting: list[Outcome] = []

    def __enter__(self) -> Self:
        self._raw = pa.CompressedOutputStream(str(self.raw_path), "zstd")
        self._outcomes = pq.ParquetWriter(self.outcomes_path, OUTCOMES_SCHEMA, compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._outcomes.close()
        self._raw.close()

    def keep(self, piece: bytes) -> None:
        """Keep bytes exactly as they were received."""
        self._raw.write(piece)

    def add(self, outcome: Outcome) -> None:
        """Keep one outcome."""
        self._waiting.append(outcome)
        if len(self._waiting) == _ROWS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._outcomes.write_batch(outcomes_batch(self._waiting))
            self._waiting = []


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
