"""summarise: count the values of a column in a published partition."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.errors import LakeError, SpecError, nearest
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.gateways.lake import Lake, ObjectMissing


def summarise(pipeline: str, partition: Partition, column: str, *, lake: Lake) -> dict[str | None, int]:
    """
    Count the values of a column in the published partition, and write the counts to the lake, the most frequent first.

    The file is a list of ``{"value", "rows"}``, the values as text and a missing one as ``null``; the result has None
    for it. Only that column is fetched. Raises LakeError if the partition is not published or its table cannot be read,
    SpecError if the table has no such column, or if its values are lists or structs.
    """
    key = layout.table(pipeline, partition)
    try:
        with lake.open(key) as file, pq.ParquetFile(file) as table:
            _check_column(column, table.schema_arrow, f"{lake.locate(key)}: the table")
            values = table.read(columns=[column])[column]
    except ObjectMissing as error:
        raise LakeError(
            f"Partition {partition} of {pipeline} is not published: {error} Nothing was counted. Run {pipeline} for"
            " that day first.",
            retryable=False,
        ) from error
    except pa.ArrowException as error:
        raise LakeError(
            f"{lake.locate(key)} cannot be read: {error}. Nothing was counted. Clear the `publish` of that day's run,"
            " which writes it again.",
            retryable=False,
        ) from error
    found = [(one["counts"], one["values"]) for one in pc.value_counts(values).to_pylist()]
    found.sort(key=lambda one: (-one[0], one[1] is None, str(one[1])))
    counts = {None if value is None else str(value): rows for rows, value in found}
    listed = [{"value": value, "rows": rows} for value, rows in counts.items()]
    lake.write(layout.summary(pipeline, partition, column), json.dumps(listed, indent=1, ensure_ascii=False).encode())
    return counts


def _check_column(column: str, schema: pa.Schema, table: str) -> None:
    if column not in schema.names:
        raise SpecError(
            f"{table} has no column {column!r}{nearest(column, schema.names) or '.'} It has: {', '.join(schema.names)}."
            " Nothing was counted. Correct `column` in the Dag file."
        )
    kind = schema.field(column).type
    if pa.types.is_nested(kind):
        raise SpecError(
            f"{table} has {kind} in its column {column!r}, and only single values can be counted. Nothing was counted."
            " Correct `column` in the Dag file."
        )
