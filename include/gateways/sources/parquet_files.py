"""Parquet files as the source: another program's export of the partition, read in place on S3."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.schema.keys import are_alike
from include.enrichment.errors import LakeError, SetupError, WarehouseError
from include.enrichment.requests.float32 import widen_float32
from include.enrichment.runs.partition import Partition
from include.gateways.lake import ObjectMissing, UnreadableKey
from include.gateways.sources.portions import Row, read_portions

if TYPE_CHECKING:
    from include.gateways.lake import Lake

#: The most rows of a portion.
_ROWS_AT_ONCE = 1_000
#: The most that is decoded at once, in rows and uncompressed bytes, and the most rows then converted to Python at once.
_ROWS_A_BATCH = 256
_BYTES_A_BATCH = 4_000_000
_ROWS_A_FETCH = 64
#: The bytes of each column that are fetched at once. By default it would be a whole row group, some 100 MB.
_COLUMN_BYTES = 1 << 20
#: Prefixes of names to ignore, for example ``_SUCCESS`` and ``.part.crc``, as Spark and Athena do. Empty objects are
#: ignored too: a folder created by hand is one.
_HIDDEN = ("_", ".")
_DAY_US = 24 * 60 * 60 * 1_000_000
#: Errors of pyarrow for a value that Python cannot represent. LookupError: an unknown time zone.
_CONVERSION_ERRORS = (ArithmeticError, LookupError, TypeError, ValueError)


class ParquetFiles:
    """
    Parquet files in a bucket, opened with an Airflow connection called ``name``.

    :param bucket: the whole bucket. Only the partition's files are read, and nothing is written
    """

    def __init__(self, bucket: Lake, *, name: str) -> None:
        self._bucket = bucket
        self._name = name

    @contextmanager
    def read(
        self, files: str, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[dict[str, pa.DataType | None], Iterator[Sequence[Row]]]]:
        """
        Read the files of one partition in the order of their names. Yields the columns of the first file with their
        types, and the rows in portions, none of them empty.

        :param files: ``s3://bucket/prefix/`` with the placeholders of Partition.fill(). All files below it belong to
            the partition
        :param key: the columns that identify a row in an error
        :param needed: the columns to read, as far as the files have them, None for all

        Raises WarehouseError if there is no file (the export may not have run), or if one cannot be read, lacks a
        needed column of the first one, has NULL or a different type in the key, or has a value that Python cannot
        represent. An empty partition is a file without rows.
        """
        prefix = partition.fill(files)
        with self._errors(f"The files below {prefix}", partition):
            keys = self._keys(prefix)
        if not keys:
            raise WarehouseError(
                f"There is no file below {prefix} for partition {partition} (connection {self._name!r}). Nothing was"
                " sent. Clear this task after the export. A day without rows needs a file without rows.",
                retryable=True,
            )
        with self._open(keys[0], partition) as file:
            types = dict(zip(file.schema_arrow.names, file.schema_arrow.types, strict=True))
        columns = [name for name in types if needed is None or name in needed]
        fetch = self._fetch(keys, columns, partition, {name: types[name] for name in key if name in types})
        yield types, read_portions(fetch, rows_at_once=_ROWS_AT_ONCE, rows_a_fetch=_ROWS_A_FETCH)

    def _keys(self, prefix: str) -> list[str]:
        folder = prefix.removeprefix(f"{self._bucket.uri}/")
        found = [listed.key for listed in self._bucket.objects(folder) if listed.size_bytes]
        if twice := next((one for one, other in pairwise(found) if one == other), None):
            raise self._ends_in_a_slash(twice)
        return [key for key in found if not any(part.startswith(_HIDDEN) for part in key[len(folder) :].split("/"))]

    @contextmanager
    def _open(self, key: str, partition: Partition) -> Iterator[pq.ParquetFile]:
        with self._errors(self._bucket.locate(key), partition), self._object(key) as file:
            yield pq.ParquetFile(file, buffer_size=_COLUMN_BYTES, pre_buffer=False, coerce_int96_timestamp_unit="us")

    @contextmanager
    def _object(self, key: str) -> Iterator[BinaryIO]:
        try:
            with self._bucket.open(key) as file:
                yield file
        except ObjectMissing:
            # A listing returns the key `a/` as `a`, which may be the key of another object or of none.
            if any(listed.key == key for listed in self._bucket.objects(f"{key}/")):
                raise self._ends_in_a_slash(key) from None
            raise

    def _ends_in_a_slash(self, key: str) -> UnreadableKey:
        return UnreadableKey(f"{self._bucket.locate(key)}/ is an object whose key ends in a slash.")

    def _fetch(
        self, files: Sequence[str], columns: list[str], partition: Partition, key: Mapping[str, pa.DataType]
    ) -> Callable[[int], list[Row]]:
        """Return a function that returns the next ``count`` rows; fewer only at the end."""
        batches = self._batches(files, columns, partition, key)
        left: list[tuple[str, pa.RecordBatch]] = []

        def fetch(count: int) -> list[Row]:
            rows: list[Row] = []
            while len(rows) < count and (found := left.pop() if left else next(batches, None)):
                file, batch = found
                taken = batch.slice(0, count - len(rows))
                if taken.num_rows < batch.num_rows:
                    left.append((file, batch.slice(taken.num_rows)))
                rows += self._rows(taken, file, key)
            return rows

        return fetch

    def _batches(
        self, files: Sequence[str], columns: list[str], partition: Partition, key: Mapping[str, pa.DataType]
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        for name in files:
            with self._open(name, partition) as file:
                self._check_columns(file.schema_arrow, columns, name, files[0])
                if file.metadata.num_rows:
                    self._check_key_types(file.schema_arrow, key, name, files[0])
                for batch in file.iter_batches(batch_size=_rows_a_batch(file.metadata), columns=columns):
                    yield name, batch.select(columns)

    def _check_columns(self, schema: pa.Schema, columns: list[str], key: str, first: str) -> None:
        if missing := [name for name in columns if name not in schema.names]:
            raise WarehouseError(
                f"{self._bucket.locate(key)} has no column {', '.join(missing)}, but {self._bucket.locate(first)} has."
                " Nothing was sent. Export the partition again with the same columns in each file, then clear this"
                " task."
            )
        if twice := [name for name in columns if schema.names.count(name) > 1]:
            raise WarehouseError(
                f"{self._bucket.locate(key)} has two columns with the same name: {', '.join(twice)}. Nothing was sent."
                " Export the partition again, then clear this task."
            )

    def _check_key_types(self, schema: pa.Schema, key: Mapping[str, pa.DataType], file: str, first: str) -> None:
        for name, kind in key.items():
            if not are_alike(schema.field(name).type, kind):
                raise WarehouseError(
                    f"The business key {name!r} is {schema.field(name).type} in {self._bucket.locate(file)}, but {kind}"
                    f" in {self._bucket.locate(first)}. Nothing was sent. Export the partition again with one type for"
                    " it, then clear this task."
                )

    def _rows(self, batch: pa.RecordBatch, file: str, key: Collection[str]) -> list[Row]:
        for name in key:
            if nulls := batch[name].null_count:
                raise WarehouseError(
                    f"The business key {name!r} is NULL in {nulls:,} of the last {batch.num_rows:,} rows read from"
                    f" {self._bucket.locate(file)}. Nothing was sent. Filter these rows out in the export, or choose"
                    " another key."
                )
        try:
            for column in batch.columns:
                _check_times(column)
            rows: list[Row] = widen_float32(batch).to_pylist()
        except _CONVERSION_ERRORS as error:
            raise WarehouseError(
                f"{self._bucket.locate(file)} has a value that Python cannot represent: {_odd_value(batch, key)}:"
                f" {type(error).__name__}: {str(error).rstrip('.')}. Nothing was sent. Export the partition again"
                " without the value, or with the column as text, then clear this task."
            ) from error
        return rows

    @contextmanager
    def _errors(self, what: str, partition: Partition) -> Iterator[None]:
        try:
            yield
        except UnreadableKey as error:
            raise WarehouseError(
                f"{what} (connection {self._name!r}) could not be read for partition {partition}:"
                f" {error} Nothing was sent. Rename or delete that object, then clear this task."
            ) from error
        except (LakeError, SetupError, pa.ArrowException, OSError) as error:
            raise WarehouseError(
                f"{what} (connection {self._name!r}) could not be read for partition {partition}:"
                f" {type(error).__name__}: {' '.join(str(error).split()).rstrip(' .:')}. Nothing was sent. Correct the"
                " connection, source.files or the export, then clear this task.",
                retryable=True,
            ) from error


def _rows_a_batch(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    return int(max(1, min(_ROWS_A_BATCH, _BYTES_A_BATCH // max(longest, 1))))


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
