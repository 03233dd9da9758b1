"""The usage records on the lake: the tokens and cost of each batch, one object per batch."""

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
#: The columns that records of earlier versions lack.
_ADDED = ("upper_bounds", "variant", "mode", "ended_at")


class UsageStore:
    """Usage records of all pipelines, by the day on which the batch was created (UTC)."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def add(self, record: pa.Table) -> None:
        """Write the usage record of a batch, in USAGE_SCHEMA. It replaces an existing one only if it supersedes it."""
        (batch,) = record.to_pylist()
        pq.write_table(record.cast(with_stamp(USAGE_SCHEMA)), sink := pa.BufferOutputStream())
        key, data = _key_of(batch), sink.getvalue().to_pybytes()
        for _ in range(_TRIES):
            try:
                self._lake.create(key, data)
                return
            except Conflict:
                stored = self._lake.find(key)
            if stored is None:  # it was deleted just now
                continue
            (recorded,) = self._parse(key, stored.data).to_pylist()
            if not supersedes(batch, recorded=recorded):
                return
            try:
                self._lake.replace(key, data, etag=stored.etag)
                return
            except Conflict:  # another process superseded it too
                continue
        raise LakeError(
            f"{self._lake.locate(key)} changed {_TRIES} times while the batch's usage was recorded. Clear this task,"
            " which records it again."
        )

    def cost_usd(self, facts: BatchFacts) -> Decimal | None:
        """Return the recorded cost of a batch, None if its price is unknown or it has no usage record."""
        key = layout.usage(facts.pipeline, facts.batch_id, facts.created_at.astimezone(UTC).date())
        try:
            cost: Decimal | None = self._read(key)["cost_usd"][0].as_py()
        except ObjectMissing:
            return None
        return cost

    def batches(self) -> set[tuple[str, str]]:
        """Return the pipeline and id of each batch that has a usage record. Reads only the names of the objects."""
        return {layout.parse_usage_key(key) for key in self._keys(layout.USAGE_FOLDER)}

    def times(self, pipeline: str, batch_id: str) -> tuple[datetime, datetime | None] | None:
        """
        Return when a batch was created and when it ended by its usage record, None if it has none. Lists all objects.
        """
        for key in self._keys(layout.USAGE_FOLDER):
            if layout.parse_usage_key(key) == (pipeline, batch_id):
                (record,) = self._read(key).select(["created_at", "ended_at"]).to_pylist()
                return record["created_at"], record["ended_at"]
        return None

    def read(self, first: date, last: date, *, pipeline: str | None = None) -> pa.Table:
        """
        Return the usage records of these days in USAGE_SCHEMA, oldest first. Both dates are inclusive.

        :param pipeline: restricts them to one pipeline

        Raises LakeError if a record cannot be read, as a sum without it would be wrong.
        """
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        with ThreadPoolExecutor(_READERS) as readers:
            keys = [key for found in readers.map(self._keys, map(layout.usage_folder, days)) for key in found]
            wanted = [key for key in keys if pipeline is None or layout.parse_usage_key(key)[0] == pipeline]
            tables = list(readers.map(self._read, wanted))
        return pa.concat_tables([USAGE_SCHEMA.empty_table(), *tables]).sort_by("created_at")

    def _keys(self, folder: str) -> list[str]:
        return [key for key in self._lake.list(folder) if layout.is_batch_file(key)]

    def _read(self, key: str) -> pa.Table:
        return self._parse(key, self._lake.read(key))

    def _parse(self, key: str, data: bytes) -> pa.Table:
        try:
            table = pq.ParquetFile(pa.BufferReader(data)).read()
            check_stamp(table.schema.metadata, self._lake.locate(key))
            for name in set(_ADDED) - set(table.column_names):
                table = table.append_column(name, pa.nulls(len(table), USAGE_SCHEMA.field(name).type))
            table = table.select(USAGE_SCHEMA.names).replace_schema_metadata(None).cast(USAGE_SCHEMA)
            if [_key_of(batch) for batch in table.select(_NAMED_BY).to_pylist()] != [key]:
                raise ValueError("it does not hold exactly the batch named by its key")
            return table
        except (pa.ArrowException, ValueError, KeyError) as error:
            raise LakeError(
                f"{self._lake.locate(key)} cannot be read: {' '.join(str(error).split())}. Delete it and clear the"
                " `load` of its batch, which records the usage again, or wait for the next usage report.",
                retryable=False,
            ) from error


def _key_of(batch: Mapping[str, Any]) -> str:
    return layout.usage(batch["pipeline"], batch["batch_id"], batch["created_at"].astimezone(UTC).date())
