"""Parquet files as the source: another program's export of the partition, read in place on S3."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.answers.schema.keys import are_alike
from include.enrichment.errors import LakeError, SetupError, WarehouseError
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.renaming import Renaming
from include.enrichment.spec.where import RowFilter, Where
from include.gateways.lake import ObjectMissing, UnreadableKey
from include.gateways.sources.parquet_rows import COLUMN_BYTES, decode, rows_of
from include.gateways.sources.portions import Row
from include.gateways.sources.source import Columns

if TYPE_CHECKING:
    from include.gateways.lake import Lake

#: Prefixes of names to ignore, for example ``_SUCCESS`` and ``.part.crc``, as Spark and Athena do. Empty objects are
#: ignored too: a folder created by hand is one.
_HIDDEN = ("_", ".")


class ParquetFiles:
    """
    Parquet files in a bucket, opened with an Airflow connection called ``name``.

    :param bucket: the whole bucket. Only the partition's files are read, and nothing is written
    :param files: ``s3://bucket/prefix/`` with the placeholders of Partition.fill(). All files below it belong to the
        partition
    :param where: selects rows; None: all of them
    :param renaming: gives columns their names in the pipeline
    """

    def __init__(
        self, bucket: Lake, *, files: str, name: str, where: Where | None = None, renaming: Renaming | None = None
    ) -> None:
        self._bucket = bucket
        self._files = files
        self._name = name
        self._where = where
        self._renaming = renaming or Renaming()

    @contextmanager
    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[Columns, Iterator[Sequence[Row]]]]:
        """
        Read the files of one partition in the order of their names. Yields the columns of the first file with their
        types, and the rows in portions, none of them empty.

        :param key: the columns that identify a row in an error
        :param needed: the columns to read, as far as the files have them, None for all

        Raises WarehouseError if there is no file (the export may not have run), or if one cannot be read, lacks a
        needed column of the first one, has NULL or a different type in the key, or has a value that Python cannot
        represent. An empty partition is a file without rows. Raises SpecError if ``where`` or the new names do not fit
        the first file.
        """
        prefix = partition.fill(self._files)
        with self._errors(f"The files below {prefix}", partition):
            keys = self._keys(prefix)
        if not keys:
            raise WarehouseError(
                f"There is no file below {prefix} for partition {partition} (connection {self._name!r}). Nothing was"
                " sent. Clear this task after the export. A day without rows needs a file without rows.",
                retryable=True,
            )
        with self._open(keys[0], partition) as file:
            schema = file.schema_arrow
        stored = self._renaming.stored(schema)
        types = {name: schema.types[schema.names.index(column)] for name, column in stored.items()}
        columns = [name for name in types if needed is None or name in needed]
        key_types = {name: types[name] for name in key if name in types}
        with self._where.open(pa.schema(types.items())) if self._where else nullcontext() as chosen:
            read = {name: stored[name] for name in (*columns, *(chosen.columns if chosen else []))}
            batches = self._batches(keys, read, partition, key_types, chosen)
            yield types, rows_of(batches, columns, key=key_types, chosen=chosen)

    def _keys(self, prefix: str) -> list[str]:
        folder = prefix.removeprefix(f"{self._bucket.uri}/")
        found = [listed.key for listed in self._bucket.objects(folder) if listed.size_bytes]
        if twice := next((one for one, other in pairwise(found) if one == other), None):
            raise self._ends_in_a_slash(twice)
        return [key for key in found if not any(part.startswith(_HIDDEN) for part in key[len(folder) :].split("/"))]

    @contextmanager
    def _open(self, key: str, partition: Partition) -> Iterator[pq.ParquetFile]:
        with self._errors(self._bucket.locate(key), partition), self._object(key) as file:
            yield pq.ParquetFile(file, buffer_size=COLUMN_BYTES, pre_buffer=False, coerce_int96_timestamp_unit="us")

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

    def _batches(
        self,
        files: Sequence[str],
        columns: Mapping[str, str],
        partition: Partition,
        key: Mapping[str, pa.DataType],
        chosen: RowFilter | None,
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        key = {columns[name]: kind for name, kind in key.items()}
        for name in files:
            with self._open(name, partition) as file:
                self._check_columns(file.schema_arrow, list(columns.values()), name, files[0])
                if file.metadata.num_rows:
                    self._check_key_types(file.schema_arrow, key, name, files[0])
                for batch in decode(file, columns, chosen):
                    yield self._bucket.locate(name), batch

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
