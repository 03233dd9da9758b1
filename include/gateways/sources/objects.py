"""Documents and images as the source: one row for each object below a prefix, or for each file of a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import pyarrow as pa

from include.enrichment.errors import LakeError, SetupError, WarehouseError
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.where import Where
from include.gateways.lake import UnreadableKey
from include.gateways.sources.parquet_rows import rows_of
from include.gateways.sources.portions import Row
from include.gateways.sources.source import Columns

if TYPE_CHECKING:
    from include.gateways.documents.buckets import Buckets

_LISTED = pa.schema(
    [
        ("uri", pa.string()),
        ("name", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_at", pa.timestamp("us", "UTC")),
    ]
)
#: Null in the rows of this source: `extract` fills them in when it reads an object.
_READ = pa.schema([("media_type", pa.string()), ("sha256", pa.string()), ("pages", pa.int64())])
_ROWS_A_BATCH = 1_000


class Objects:
    """
    The objects of a partition, listed with an Airflow connection called ``name``. Their bytes are not read here.

    :param objects: ``s3://bucket/prefix/`` or a local folder, with the placeholders of Partition.fill(). All objects
        below it belong to the partition
    :param where: selects rows by the columns of the listing; None: all of them
    """

    def __init__(self, buckets: Buckets, *, objects: str, name: str, where: Where | None = None) -> None:
        self._buckets = buckets
        self._objects = objects
        self._name = name
        self._where = where

    @contextmanager
    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[Columns, Iterator[Sequence[Row]]]]:
        """
        List the objects of one partition in the order of their names. Yields the columns with their types, and the rows
        in portions, none of them empty.

        A row has all columns; those that need an object's bytes are null. A partition without objects has no rows.

        :param key: the columns that identify a row in an error
        :param needed: of no effect, because a listing has all columns anyway

        Raises WarehouseError if the prefix cannot be listed or has an object whose key cannot be read, SpecError if
        ``where`` does not fit the columns.
        """
        prefix = partition.fill(self._objects)
        listed = self._list(prefix, partition)
        with self._where.open(_LISTED) if self._where else nullcontext() as chosen:
            yield (
                {field.name: field.type for field in (*_LISTED, *_READ)},
                (
                    [row | dict.fromkeys(_READ.names) for row in portion]
                    for portion in rows_of(
                        ((prefix, batch) for batch in listed.to_batches(_ROWS_A_BATCH)),
                        _LISTED.names,
                        key=key,
                        chosen=chosen,
                    )
                ),
            )

    def _list(self, prefix: str, partition: Partition) -> pa.Table:
        try:
            found = self._buckets.objects(prefix)
        except UnreadableKey as error:
            raise WarehouseError(
                f"{prefix} ({self._described}) could not be listed for partition {partition}: {error} Nothing was sent."
                " Rename or delete that object, then clear this task."
            ) from error
        except (LakeError, SetupError) as error:
            raise WarehouseError(
                f"{prefix} ({self._described}) could not be listed for partition {partition}:"
                f" {' '.join(str(error).split()).rstrip(' .:')}. Nothing was sent. Correct the connection or"
                " source.objects, then clear this task.",
                retryable=True,
            ) from error
        columns = [[getattr(one, name) for one in found] for name in _LISTED.names]
        return pa.Table.from_arrays(
            [pa.array(values, kind) for values, kind in zip(columns, _LISTED.types, strict=True)], schema=_LISTED
        )

    @property
    def _described(self) -> str:
        return f"connection {self._name!r}" if self._name else "a folder of this machine"
