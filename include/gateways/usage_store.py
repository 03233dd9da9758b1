"""The books on the lake: what every batch of every pipeline used and cost, an object for each batch."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.batches.usage import USAGE_SCHEMA, BatchFacts, supersedes
from include.enrichment.errors import LakeError
from include.enrichment.storage import layout
from include.enrichment.storage.version import check_stamp, with_stamp
from include.gateways.lake import Conflict, Lake, ObjectMissing

_READERS = 16
_TRIES = 20
_NAMED_BY = ["pipeline", "batch_id", "created_at"]


class UsageStore:
    """What was used, by the day on which the batch was made (UTC)."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def add(self, line: pa.Table) -> None:
        """
        Book a batch, in USAGE_SCHEMA. One that is booked stays as it is, unless the line says more of it: says_more().
        """
        (batch,) = line.to_pylist()
        pq.write_table(line.cast(with_stamp(USAGE_SCHEMA)), sink := pa.BufferOutputStream())
        key, data = _key_of(batch), sink.getvalue().to_pybytes()
        for _ in range(_TRIES):
            try:
                self._lake.create(key, data)
                return
            except Conflict:
                stored = self._lake.find(key)
            if stored is None:  # somebody has deleted it just now
                continue
            (booked,) = self._parse(key, stored.data).to_pylist()
            if not supersedes(batch, recorded=booked):
                return
            try:
                self._lake.replace(key, data, etag=stored.etag)
                return
            except Conflict:  # somebody else knows more, too
                continue
        raise LakeError(f"{self._lake.locate(key)} changes all the time. Clear this task, which books the batch again.")

    def cost_usd(self, facts: BatchFacts) -> Decimal | None:
        """What a batch cost, by its line; None where a price was not known, and where the batch is not booked."""
        key = layout.usage(facts.pipeline, facts.batch_id, facts.created_at.astimezone(UTC).date())
        try:
            cost: Decimal | None = self._read(key)["cost_usd"][0].as_py()
        except ObjectMissing:
            return None
        return cost

    def batches(self) -> set[tuple[str, str]]:
        """The pipeline and the id of every batch that is booked, by the names of the objects."""
        keys = self._lake.list(layout.USAGE_FOLDER)
        return {layout.batch_of_usage(key) for key in keys if layout.is_usage(key)}

    def created_at(self, pipeline: str, batch_id: str) -> datetime | None:
        """When a batch was made, by the books; None if it is not in them. Looks through the names of all objects."""
        for key in self._lake.list(layout.USAGE_FOLDER):
            if layout.is_usage(key) and layout.batch_of_usage(key) == (pipeline, batch_id):
                created_at: datetime = self._read(key)["created_at"][0].as_py()
                return created_at
        return None

    def read(self, first: date, last: date, *, pipeline: str | None = None) -> pa.Table:
        """
        What was booked on these days, in USAGE_SCHEMA, the oldest first. Raises LakeError for an object that cannot be
        read: books with a gap are none.

        :param last: belongs to them
        :param pipeline: its batches alone; None: of all
        """
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        with ThreadPoolExecutor(_READERS) as readers:
            keys = [key for found in readers.map(self._keys, days) for key in found]
            wanted = [key for key in keys if pipeline is None or layout.batch_of_usage(key)[0] == pipeline]
            tables = list(readers.map(self._read, wanted))
        return pa.concat_tables([USAGE_SCHEMA.empty_table(), *tables]).sort_by("created_at")

    def _keys(self, day: date) -> list[str]:
        return [key for key in self._lake.list(layout.usage_folder(day)) if layout.is_usage(key)]

    def _read(self, key: str) -> pa.Table:
        return self._parse(key, self._lake.read(key))

    def _parse(self, key: str, data: bytes) -> pa.Table:
        try:
            table = pq.ParquetFile(pa.BufferReader(data)).read()
            check_stamp(table.schema.metadata, self._lake.locate(key))
            if "upper_bounds" not in table.column_names:  # an earlier version wrote it
                table = table.append_column("upper_bounds", pa.nulls(len(table), pa.int64()))
            table = table.select(USAGE_SCHEMA.names).replace_schema_metadata(None).cast(USAGE_SCHEMA)
            if [_key_of(batch) for batch in table.select(_NAMED_BY).to_pylist()] != [key]:
                raise ValueError("it does not hold the one batch that its name and the day of its folder say")
            return table
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise LakeError(
                f"{self._lake.locate(key)} cannot be read: {' '.join(str(error).split())}. Delete it and clear the"
                " `load` of its batch, which books it anew, or wait for the next usage report.",
                retryable=False,
            ) from error


def _key_of(batch: Mapping[str, Any]) -> str:
    return layout.usage(batch["pipeline"], batch["batch_id"], batch["created_at"].astimezone(UTC).date())
