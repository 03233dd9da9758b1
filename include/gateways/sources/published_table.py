"""The table of another pipeline as the source: its published partition, read through its manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.answers.manifest import Manifest
from include.enrichment.errors import WarehouseError, nearest
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.renaming import Renaming
from include.enrichment.spec.where import Where
from include.enrichment.storage import layout
from include.enrichment.storage.version import check_stamp, parse
from include.gateways.disk import sha256_of, working_folder
from include.gateways.lake import ObjectMissing
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
    """

    def __init__(
        self, lake: Lake, *, pipeline: str, where: Where | None = None, renaming: Renaming | None = None
    ) -> None:
        self._lake = lake
        self._renaming = renaming or Renaming()
        self._pipeline = pipeline
        self._where = where

    @contextmanager
    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[Columns, Iterator[Sequence[Row]]]]:
        """
        Copy the partition's table to this machine and read it. Yields its columns with their types, and the rows in
        portions, none of them empty.

        The copy has the hash in the manifest, so all rows are of one publish.

        :param key: the columns that identify a row in an error
        :param needed: the columns to read, None for all

        Raises WarehouseError if the partition is not published, is being published at this moment, or lacks a needed
        or a renamed column, as a partition of an earlier output schema may. Raises SpecError if ``where`` or the new
        names do not fit the table.
        """
        manifest = self._manifest(partition)
        self._check_columns(manifest, [*key, *(needed or ())])
        with working_folder() as folder:
            self._fetch(manifest, partition, path := folder / "table.parquet")
            with pq.ParquetFile(path, buffer_size=COLUMN_BYTES, pre_buffer=False) as file:
                check_stamp(file.schema_arrow.metadata, manifest.table)
                stored = self._renaming.stored(file.schema_arrow)
                types = dict(zip(stored, file.schema_arrow.types, strict=True))
                columns = [name for name in types if needed is None or name in needed]
                with self._where.open(pa.schema(types.items())) if self._where else nullcontext() as chosen:
                    read = {name: stored[name] for name in (*columns, *(chosen.columns if chosen else []))}
                    batches = ((manifest.table, batch) for batch in decode(file, read, chosen))
                    yield types, rows_of(batches, columns, key=key, chosen=chosen)

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
        wanted = [*needed, *(self._where.unknown_columns(columns) if self._where else ())]
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
