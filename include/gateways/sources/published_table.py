"""The table of another pipeline as the source: its published partition, read through its manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import WarehouseError, nearest
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.renaming import Renaming
from include.enrichment.spec.sources.pairs import FIRST, PairSettings
from include.enrichment.spec.where import RowFilter, Where
from include.enrichment.storage import layout
from include.enrichment.storage.version import check_stamp, parse
from include.gateways.disk import sha256_of, working_folder
from include.gateways.lake import ObjectMissing
from include.gateways.sources.paired_rows import paired
from include.gateways.sources.parquet_rows import COLUMN_BYTES, decode, rows_of
from include.gateways.sources.portions import Row
from include.gateways.sources.source import Columns

if TYPE_CHECKING:
    from include.gateways.lake import Lake


class PublishedTable:
    """
    The published table of a pipeline on the lake.

    :param pipeline: whose table is read
    :param where: selects rows; None: all of them
    :param renaming: gives columns their names in the pipeline that reads
    :param pairs: pairs the selected rows; None: each is read alone
    """

    def __init__(
        self,
        lake: Lake,
        *,
        pipeline: str,
        where: Where | None = None,
        renaming: Renaming | None = None,
        pairs: PairSettings | None = None,
    ) -> None:
        self._lake = lake
        self._renaming = renaming or Renaming()
        self._pipeline = pipeline
        self._where = where
        self._pairs = pairs
        #: The SHA-256 of the table that read() has opened last; None before, and if its manifest has none.
        self.sha256: str | None = None

    @contextmanager
    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[Columns, Iterator[Sequence[Row]]]]:
        """
        Copy the partition's table to this machine and read it. Yields its columns with their types, and the rows in
        portions, none of them empty. With pairs, all rows of the needed columns are in memory at once.

        The copy has the hash in the manifest, so all rows are of one publish.

        :param key: the columns that identify a row in an error
        :param needed: the columns to read, None for all

        Raises WarehouseError if the partition is not published, is being published at this moment, or lacks a needed
        or a renamed column, as a partition of an earlier output schema may. Raises SpecError if ``where`` or the new
        names do not fit the table. With pairs, raises the errors of paired() too.
        """
        manifest = self._manifest(partition)
        self._check_columns(manifest, [*key, *(needed or ())])
        with working_folder() as folder:
            self._fetch(manifest, partition, path := folder / "table.parquet")
            self.sha256 = manifest.sha256.get("table")
            with pq.ParquetFile(path, buffer_size=COLUMN_BYTES, pre_buffer=False) as file:
                check_stamp(file.schema_arrow.metadata, manifest.table)
                stored = self._renaming.stored(file.schema_arrow)
                types = dict(zip(stored, file.schema_arrow.types, strict=True))
                offered = self._offered(types)
                columns = [name for name in offered if needed is None or name in needed]
                paired_by = [*key, FIRST] if self._pairs else []
                used = list(dict.fromkeys(map(self._stored, [*columns, *paired_by])))
                with self._where.open(pa.schema(types.items())) if self._where else nullcontext() as chosen:
                    read = {name: stored[name] for name in (*used, *(chosen.columns if chosen else []))}
                    batches: Iterator[tuple[str, pa.RecordBatch]] = (
                        (manifest.table, batch) for batch in decode(file, read, chosen)
                    )
                    if self._pairs:
                        case = [name for name in key if self._stored(name) == name]
                        batches = _paired(batches, self._pairs, columns, case=case, used=used, chosen=chosen)
                        chosen = None
                    yield offered, rows_of(batches, columns, key=key, chosen=chosen)

    def _offered(self, types: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
        """Return the columns of a row or a pair with their types."""
        names = self._pairs.of(types, shared=types) if self._pairs else types
        return {name: types[self._stored(name)] for name in names}

    def _stored(self, name: str) -> str:
        """Return the column of a row that a column of a row or a pair is taken from."""
        return self._pairs.stored(name) if self._pairs else name

    def _manifest(self, partition: Partition) -> Manifest:
        key = layout.manifest(self._pipeline, partition)
        if (stored := self._lake.find(key)) is None:
            raise WarehouseError(
                f"Partition {partition} of {self._pipeline!r} (source.table) is not published: {self._lake.locate(key)}"
                f" does not exist. Nothing was sent. Airflow retries this task.\n"
                f"To publish it, {self._remedy(partition)}",
                retryable=True,
            )
        try:
            return parse(Manifest, stored.data, self._lake.locate(key))
        except ValidationError as error:
            raise WarehouseError(
                f"{self._lake.locate(key)} (source.table) is damaged: {error.errors()[0]['msg']}. Nothing was sent."
                f" Clear the `publish` of that run of {self._pipeline!r}, which writes it again; then clear this task."
            ) from error

    def _check_columns(self, manifest: Manifest, needed: Sequence[str]) -> None:
        stored, renamed = list(manifest.columns), self._renaming.names
        columns = self._renaming.of([*stored, *(name for name in renamed if name not in stored)])
        wanted = [*map(self._stored, needed), *(self._where.unknown_columns(columns) if self._where else ())]
        missing = [name for name in renamed if name not in stored]
        missing += [name for name in dict.fromkeys(wanted) if name not in columns]
        if missing:
            facts = ", ".join(f"{name!r}{nearest(name, stored).rstrip('?')}" for name in missing)
            raise WarehouseError(
                f"Partition {manifest.partition} of {self._pipeline!r} (source.table), published"
                f" {manifest.published_at:%Y-%m-%d %H:%M} UTC, has no column {facts}. Nothing was sent.\n"
                f"It has: {', '.join(stored)}.\n"
                f"If that pipeline has added the column since, run that day of it again (paid answers are reused):"
                f" make run PIPELINE={self._pipeline} PARTITION={manifest.partition}"
            )

    def _fetch(self, manifest: Manifest, partition: Partition, path: Path) -> None:
        """Copy the table. Raises WarehouseError if it is not the one in the manifest, as between its two writes."""
        try:
            self._lake.fetch(layout.table(self._pipeline, partition), path)
            digest = sha256_of(path)
            fact = "is not the one in its manifest: it is being published, or an earlier publish failed midway"
        except ObjectMissing:
            digest, fact = "", "does not exist, but its manifest does"
        # A manifest of an earlier version has no hash.
        if digest != manifest.sha256.get("table", digest or None):
            raise WarehouseError(
                f"The table {manifest.table} (source.table) {fact}. Nothing was sent. Airflow retries this task.\n"
                f"If the error persists: {self._remedy(partition)}",
                retryable=True,
            )

    def _remedy(self, partition: Partition) -> str:
        return (
            f"run {self._pipeline} for that day, then clear this task: make run PIPELINE={self._pipeline}"
            f' PARTITION={partition}, or trigger it with {{"partition": "{partition}"}}.'
        )


def _paired(
    batches: Iterator[tuple[str, pa.RecordBatch]],
    pairs: PairSettings,
    columns: Sequence[str],
    *,
    case: Sequence[str],
    used: Sequence[str],
    chosen: RowFilter | None,
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield batches of pairs of the rows that are chosen, each with the address of the table."""
    first = next(batches, None)
    if first is None:
        return
    origin = first[0]
    rows = (chosen.select(batch, origin) if chosen else batch for _, batch in chain([first], batches))
    for batch in paired((batch.select(used) for batch in rows), pairs, columns, case=case, origin=origin):
        yield origin, batch
