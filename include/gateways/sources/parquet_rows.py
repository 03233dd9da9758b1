"""Rows out of Parquet: decoded, filtered and converted to Python a few at a time, so that memory stays flat."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.errors import WarehouseError
from include.enrichment.requests.float32 import widen_float32
from include.enrichment.spec.where import RowFilter
from include.gateways.sources.portions import Row, read_portions

#: The most rows of a portion.
_ROWS_AT_ONCE = 1_000
#: The most that is decoded at once, in rows and uncompressed bytes, and the most rows then converted to Python at once.
_ROWS_A_BATCH = 256
_BYTES_A_BATCH = 4_000_000
_ROWS_A_FETCH = 64
#: The same where rows are filtered: a call takes a millisecond whatever the number of rows, and copies the batch.
_ROWS_A_FILTERED_BATCH = 4_096
_BYTES_A_FILTERED_BATCH = 1_000_000
#: The bytes of each column that are fetched at once. By default it would be a whole row group, some 100 MB.
COLUMN_BYTES = 1 << 20
_DAY_US = 24 * 60 * 60 * 1_000_000
#: Errors of pyarrow for a value that Python cannot represent. LookupError: an unknown time zone.
_CONVERSION_ERRORS = (ArithmeticError, LookupError, TypeError, ValueError)


def decode(file: pq.ParquetFile, columns: Mapping[str, str], chosen: RowFilter | None) -> Iterator[pa.RecordBatch]:
    """
    Yield the file's rows in small batches with these columns, in their order.

    :param columns: the name of each column in the file, by its name in the batches
    :param chosen: selects rows; None: all of them
    """
    limits = (_ROWS_A_FILTERED_BATCH, _BYTES_A_FILTERED_BATCH) if chosen else (_ROWS_A_BATCH, _BYTES_A_BATCH)
    batch_rows = _rows_a_batch(file.metadata, *limits)
    stored = list(columns.values())
    # With threads it takes as long, and memory grows by up to 50 MB.
    for batch in file.iter_batches(batch_size=batch_rows, columns=stored, use_threads=False):
        yield batch.select(stored).rename_columns(list(columns))


def rows_of(
    batches: Iterator[tuple[str, pa.RecordBatch]],
    columns: Sequence[str],
    *,
    key: Collection[str],
    chosen: RowFilter | None,
) -> Iterator[list[Row]]:
    """
    Yield rows in portions of at most 1,000 rows and 4 MB, none of them empty.

    :param batches: each with the address of its file, for errors
    :param columns: the columns of a row. The batches also have those that ``chosen`` reads
    :param key: the columns among them that identify a row

    Raises WarehouseError for NULL in the key and for a value that Python cannot represent.
    """
    return read_portions(_fetch(batches, columns, key, chosen), rows_at_once=_ROWS_AT_ONCE, rows_a_fetch=_ROWS_A_FETCH)


def _fetch(
    batches: Iterator[tuple[str, pa.RecordBatch]],
    columns: Sequence[str],
    key: Collection[str],
    chosen: RowFilter | None,
) -> Callable[[int], list[Row]]:
    """Return a function that returns the next ``count`` rows; fewer only at the end."""
    left: list[tuple[str, pa.RecordBatch]] = []

    def following() -> tuple[str, pa.RecordBatch] | None:
        if left:
            return left.pop()
        for file, batch in batches:
            return file, (chosen.select(batch, file) if chosen else batch).select(list(columns))
        return None

    def fetch(count: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < count and (found := following()):
            file, batch = found
            taken = batch.slice(0, count - len(rows))
            if taken.num_rows < batch.num_rows:
                left.append((file, batch.slice(taken.num_rows)))
            rows += _rows(taken, file, key)
        return rows

    return fetch


def _rows(batch: pa.RecordBatch, file: str, key: Collection[str]) -> list[Row]:
    for name in key:
        if nulls := batch[name].null_count:
            raise WarehouseError(
                f"The business key {name!r} is NULL in {nulls:,} of the last {batch.num_rows:,} rows read from"
                f" {file}. Nothing was sent. Filter these rows out in the export, or choose"
                " another key."
            )
    try:
        for column in batch.columns:
            _check_times(column)
        rows: list[Row] = widen_float32(batch).to_pylist()
    except _CONVERSION_ERRORS as error:
        raise WarehouseError(
            f"{file} has a value that Python cannot represent: {_odd_value(batch, key)}:"
            f" {type(error).__name__}: {str(error).rstrip('.')}. Nothing was sent. Export the partition again"
            " without the value, or with the column as text, then clear this task."
        ) from error
    return rows


def _rows_a_batch(metadata: pq.FileMetaData, most_rows: int, most_bytes: int) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    return int(max(1, min(most_rows, most_bytes // max(longest, 1))))


def _odd_value(batch: pa.RecordBatch, key: Collection[str]) -> str:
    """Locate the first value that Python cannot represent: its column, and the readable part of its row's key."""
    for number in range(batch.num_rows):
        row = {name: _text(batch.column(name).slice(number, 1)) for name in batch.schema.names}
        for name, text in row.items():
            if text is None:
                keys = ", ".join(f"{part}={row[part]}" for part in key if row.get(part))
                return f"column {name!r} ({batch.column(name).type})" + f" where {keys}" * bool(keys)
    return "a column"


def _check_times(values: pa.Array) -> None:
    """
    Raise ValueError for a time of day, at any depth, that pyarrow would silently truncate to microseconds or move to
    the next day.
    """
    kind = values.type
    if pa.types.is_time(kind):
        latest = pc.max(values.cast(pa.time64("us")).cast(pa.int64())).as_py()
        if latest is not None and latest >= _DAY_US:
            raise ValueError("a time of day that is 24:00 or later")
    elif pa.types.is_struct(kind):
        for field in values.flatten():
            _check_times(field)
    elif pa.types.is_map(kind):
        _check_times(values.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))))
    elif isinstance(values, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        _check_times(values.flatten())


def _text(value: pa.Array) -> str | None:
    try:
        _check_times(value)
        return reprlib.repr(value[0].as_py())
    except _CONVERSION_ERRORS:
        return None
