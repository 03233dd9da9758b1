"""Cases as the source: the rows of a file of the pipeline's folder, the same in every partition."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice

import pyarrow as pa

from include.enrichment.runs.partition import Partition
from include.enrichment.spec.sources.case_file import read_cases
from include.gateways.sources.portions import Row, read_portions
from include.gateways.sources.source import Columns

_ROWS_AT_ONCE = 1_000


class CaseFile:
    """
    The text of a checked file, which the pipeline holds: a run never mixes two versions of it.

    :param file: its name, whose ending gives its format
    :param types: those that pipeline.yaml names, by column
    """

    def __init__(self, text: str, *, file: str, types: Mapping[str, pa.DataType]) -> None:
        self._text = text
        self._file = file
        self._types = types

    @contextmanager
    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[Columns, Iterator[Sequence[Row]]]]:
        """
        Yield the columns of the file and its rows, in their order and in portions, none of them empty.

        A row has all columns. Neither the partition nor the other parameters have an effect.
        """
        cases = read_cases(self._text, file=self._file, types=self._types)
        rows = iter(cases.rows)
        yield (
            cases.columns,
            read_portions(
                lambda count: [dict(row) for row in islice(rows, count)],
                rows_at_once=_ROWS_AT_ONCE,
                rows_a_fetch=_ROWS_AT_ONCE,
            ),
        )
