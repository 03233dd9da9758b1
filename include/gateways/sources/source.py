"""What every kind of source can do: read one partition."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import pyarrow as pa

from include.enrichment.runs.partition import Partition
from include.gateways.sources.portions import Row

#: The columns of a source by name, each with its Arrow type; None if the source does not describe it.
Columns = Mapping[str, pa.DataType | None]


class Source(Protocol):
    """A source of rows. What it reads (a query, files, a table, a condition) is given to its constructor."""

    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> AbstractContextManager[tuple[Columns, Iterator[Sequence[Row]]]]:
        """
        Read the rows of one partition: their columns, and the rows in portions of flat memory, none of them empty.

        The columns are all that a prompt may use. Every row has at least those that are needed.

        :param key: the columns that identify a row in an error
        :param needed: the columns in use, None for all. A source may leave out the others

        Raises SpecError for a mistake in the pipeline's folder, WarehouseError if the partition cannot be read, does
        not exist yet, or has rows that cannot be used.
        """
        ...
