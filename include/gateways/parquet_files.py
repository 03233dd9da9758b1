"""Parquet files as the warehouse: what another program exported for the partition, read in place on S3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.errors import LakeError, SetupError, WarehouseError
from include.enrichment.partition import Partition
from include.gateways.lake import ObjectMissing, UnreadableKey

if TYPE_CHECKING:
    from include.gateways.lake import Lake

#: What becomes Python's at once, in rows and by what they take in the file before compression.
_ROWS_AT_ONCE = 1_000
_BYTES_AT_ONCE = 4_000_000
#: What is fetched of each column at once: else it would be a whole row group, of some 100 MB.
_COLUMN_BYTES = 1 << 20
#: As Spark and Athena do, no notice is taken of names that begin so, ``_SUCCESS`` or ``.part.crc``, nor of what has no
#: bytes: a folder that was made by hand is such an object.
_HIDDEN = ("_", ".")

Row = dict[str, Any]


class ParquetFiles:
    """
    Parquet files in a bucket that an Airflow connection called ``name`` opens.

    :param bucket: the whole bucket, of which only the partition's files are read and nothing is written
    """

    def __init__(self, bucket: Lake, *, name: str) -> None:
        self._bucket = bucket
        self._name = name

    @contextmanager
    def read(self, files: str, partition: Partition) -> Iterator[tuple[list[str], Iterator[Sequence[Row]]]]:
        """
        Read the files of one partition, by name: their columns, and their rows in portions, of which none is empty.

        :param files: ``s3://bucket/prefix/`` with the placeholders of Partition.fill(); all files below it belong to
            the partition

        Raises WarehouseError if there is none, or one cannot be read or lacks a column that the first one has. A
        partition without rows is a file without rows: where there is no file, nobody knows that it was written.
        """
        prefix = partition.fill(files)
        with self._errors(prefix, partition):
            keys = self._keys(prefix)
            if not keys:
                raise WarehouseError(
                    f"There is no file below {prefix} for partition {partition} (connection {self._name!r}). Nothing"
                    " was sent. Clear this task when the export is there; for a day without rows that is a file without"
                    " rows.",
                    retryable=True,
                )
            with self._open(keys[0]) as file:
                columns = file.schema_arrow.names
        yield columns, self._portions(keys, columns, prefix, partition)

    def _keys(self, prefix: str) -> list[str]:
        folder = prefix.removeprefix(f"{self._bucket.uri}/")
        found = [listed.key for listed in self._bucket.objects(folder) if listed.size_bytes]
        if twice := next((one for one, other in pairwise(found) if one == other), None):
            raise self._ends_in_a_slash(twice)
        return [key for key in found if not any(part.startswith(_HIDDEN) for part in key[len(folder) :].split("/"))]

    @contextmanager
    def _open(self, key: str) -> Iterator[pq.ParquetFile]:
        with self._object(key) as file:
            opened = pq.ParquetFile(file, buffer_size=_COLUMN_BYTES, pre_buffer=False, coerce_int96_timestamp_unit="us")
            columns = opened.schema_arrow.names
            if twice := sorted({name for name in columns if columns.count(name) > 1}):
                raise WarehouseError(
                    f"{self._bucket.locate(key)} has two columns of one name: {', '.join(twice)}. Nothing was sent."
                    " Export the partition anew, and clear this task."
                )
            yield opened

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

    def _portions(
        self, keys: Sequence[str], columns: list[str], prefix: str, partition: Partition
    ) -> Iterator[list[Row]]:
        with self._errors(prefix, partition):
            for key in keys:
                with self._open(key) as file:
                    if missing := [name for name in columns if name not in file.schema_arrow.names]:
                        raise WarehouseError(
                            f"{self._bucket.locate(key)} has no column {', '.join(missing)}, and"
                            f" {self._bucket.locate(keys[0])} has. Nothing was sent. Export the partition anew, with"
                            " the same columns in each file, and clear this task."
                        )
                    for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata)):
                        if batch.num_rows:
                            yield self._rows(batch, key)

    def _rows(self, batch: pa.RecordBatch, key: str) -> list[Row]:
        try:
            rows: list[Row] = batch.to_pylist()
        except (ValueError, OverflowError, LookupError) as error:  # LookupError: of an unknown time zone
            raise WarehouseError(
                f"{self._bucket.locate(key)} holds a value that Python cannot: {type(error).__name__}: {error}. Nothing"
                " was sent. Export the partition anew without it, and clear this task."
            ) from error
        return rows

    @contextmanager
    def _errors(self, prefix: str, partition: Partition) -> Iterator[None]:
        try:
            yield
        except UnreadableKey as error:
            raise WarehouseError(
                f"The files below {prefix} (connection {self._name!r}) could not be read for partition {partition}:"
                f" {error} Nothing was sent. Rename or delete that object, and clear this task."
            ) from error
        except (LakeError, SetupError, pa.ArrowException, OSError) as error:
            raise WarehouseError(
                f"The files below {prefix} (connection {self._name!r}) could not be read for partition {partition}:"
                f" {type(error).__name__}: {str(error).rstrip('.')}. Nothing was sent. Mend the connection,"
                " source.files or the export, and clear this task.",
                retryable=True,
            ) from error


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    size: int = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    rows: int = metadata.num_rows
    return max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE * rows // max(size, 1)))
