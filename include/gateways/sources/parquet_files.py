"""Parquet files as the warehouse: what another program exported for the partition, read in place on S3."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.schema.keys import kind_of_type
from include.enrichment.errors import LakeError, SetupError, WarehouseError
from include.enrichment.requests.float32 import widen_float32
from include.enrichment.runs.partition import Partition
from include.gateways.lake import ObjectMissing, UnreadableKey
from include.gateways.sources.portions import Row, read_portions

if TYPE_CHECKING:
    from include.gateways.lake import Lake

#: What a portion may have, in rows.
_ROWS_AT_ONCE = 1_000
#: What is decoded at once, in rows and by what they take in the file before compression, and what of it then becomes
#: Python's at once.
_ROWS_A_BATCH = 256
_BYTES_A_BATCH = 4_000_000
_ROWS_A_FETCH = 64
#: What is fetched of each column at once: else it would be a whole row group, of some 100 MB.
_COLUMN_BYTES = 1 << 20
#: As Spark and Athena do, no notice is taken of names that begin so, ``_SUCCESS`` or ``.part.crc``, nor of what has no
#: bytes: a folder that was made by hand is such an object.
_HIDDEN = ("_", ".")
_DAY_US = 24 * 60 * 60 * 1_000_000
#: What pyarrow raises for a value that Python cannot hold; LookupError is of a time zone that nobody knows.
_UNCONVERTED = (ArithmeticError, LookupError, TypeError, ValueError)


class ParquetFiles:
    """
    Parquet files in a bucket that an Airflow connection called ``name`` opens.

    :param bucket: the whole bucket, of which only the partition's files are read and nothing is written
    """

    def __init__(self, bucket: Lake, *, name: str) -> None:
        self._bucket = bucket
        self._name = name

    @contextmanager
    def read(
        self, files: str, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[dict[str, pa.DataType | None], Iterator[Sequence[Row]]]]:
        """
        Read the files of one partition, by name: the columns of the first one with their types, and the rows in
        portions, of which none is empty.

        :param files: ``s3://bucket/prefix/`` with the placeholders of Partition.fill(); all files below it belong to
            the partition
        :param key: the columns by which an error names a row
        :param needed: the columns that the rows are to have, if the files have them; the others are not read. None for
            all

        Raises WarehouseError if there is no file, or one cannot be read, lacks a needed column that the first one has,
        has NULL or another type in the key, or holds a value that Python cannot. A partition without rows is a file
        without rows; without any file, the export may not have run.
        """
        prefix = partition.fill(files)
        with self._errors(f"The files below {prefix}", partition):
            keys = self._keys(prefix)
        if not keys:
            raise WarehouseError(
                f"There is no file below {prefix} for partition {partition} (connection {self._name!r}). Nothing was"
                " sent. Clear this task when the export is there; for a day without rows that is a file without rows.",
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
            # A listing gives the key `a/` as `a`, which is then the key of another object or of none.
            if any(listed.key == key for listed in self._bucket.objects(f"{key}/")):
                raise self._ends_in_a_slash(key) from None
            raise

    def _ends_in_a_slash(self, key: str) -> UnreadableKey:
        return UnreadableKey(f"{self._bucket.locate(key)}/ is an object whose key ends in a slash.")

    def _fetch(
        self, files: Sequence[str], columns: list[str], partition: Partition, key: Mapping[str, pa.DataType]
    ) -> Callable[[int], list[Row]]:
        """What gives the next so many rows; fewer at the end only."""
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
                f"{self._bucket.locate(key)} has no column {', '.join(missing)}, and {self._bucket.locate(first)} has."
                " Nothing was sent. Export the partition anew, with the same columns in each file, and clear this task."
            )
        if twice := [name for name in columns if schema.names.count(name) > 1]:
            raise WarehouseError(
                f"{self._bucket.locate(key)} has two columns of one name: {', '.join(twice)}. Nothing was sent. Export"
                " the partition anew, and clear this task."
            )

    def _check_key_types(self, schema: pa.Schema, key: Mapping[str, pa.DataType], file: str, first: str) -> None:
        for name, kind in key.items():
            here, there = kind_of_type(schema.field(name).type), kind_of_type(kind)
            if here and there and here != there:
                raise WarehouseError(
                    f"The business key {name!r} is {schema.field(name).type} in {self._bucket.locate(file)}, and {kind}"
                    f" in {self._bucket.locate(first)}. Nothing was sent. Export the partition again with one type for"
                    " it, and clear this task."
                )

    def _rows(self, batch: pa.RecordBatch, file: str, key: Collection[str]) -> list[Row]:
        for name in key:
            if nulls := batch[name].null_count:
                raise WarehouseError(
                    f"The business key {name!r} is NULL in {nulls:,} of the last {batch.num_rows:,} rows that were read"
                    f" from {self._bucket.locate(file)}. Nothing was sent. Filter these rows out in the export, or"
                    " choose another key."
                )
        try:
            for column in batch.columns:
                _check_times(column)
            rows: list[Row] = widen_float32(batch).to_pylist()
        except _UNCONVERTED as error:
            raise WarehouseError(
                f"{self._bucket.locate(file)} holds a value that Python cannot: {_odd_value(batch, key)}:"
                f" {type(error).__name__}: {str(error).rstrip('.')}. Nothing was sent. Export the partition anew"
                " without it, or the column as text, and clear this task."
            ) from error
        return rows

    @contextmanager
    def _errors(self, what: str, partition: Partition) -> Iterator[None]:
        try:
            yield
        except UnreadableKey as error:
            raise WarehouseError(
                f"{what} (connection {self._name!r}) could not be read for partition {partition}:"
                f" {error} Nothing was sent. Rename or delete that object, and clear this task."
            ) from error
        except (LakeError, SetupError, pa.ArrowException, OSError) as error:
            raise WarehouseError(
                f"{what} (connection {self._name!r}) could not be read for partition {partition}:"
                f" {type(error).__name__}: {' '.join(str(error).split()).rstrip(' .:')}. Nothing was sent. Mend the"
                " connection, source.files or the export, and clear this task.",
                retryable=True,
            ) from error


def _rows_a_batch(metadata: pq.FileMetaData) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    longest = max((group.total_byte_size // max(group.num_rows, 1) for group in groups), default=0)
    return int(max(1, min(_ROWS_A_BATCH, _BYTES_A_BATCH // max(longest, 1))))


def _odd_value(batch: pa.RecordBatch, key: Collection[str]) -> str:
    """Where the first value that cannot be Python's is: its column, and the key of its row as far as that can be."""
    for number in range(batch.num_rows):
        row = {name: _text(batch.column(name).slice(number, 1)) for name in batch.schema.names}
        for name, text in row.items():
            if text is None:
                keys = ", ".join(f"{part}={row[part]}" for part in key if row.get(part))
                return f"column {name!r} ({batch.column(name).type})" + f" where {keys}" * bool(keys)
    return "a column"


def _check_times(values: pa.Array) -> None:
    """
    Raises ValueError if there is a time of day, at any depth, that pyarrow would cut to microseconds without a word, or
    take for one of the next day.
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
    except _UNCONVERTED:
        return None
