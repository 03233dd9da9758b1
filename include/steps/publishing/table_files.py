"""The table, the rejects and the samples of a partition as local Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment.answers.table import Shape, split_rows
from include.enrichment.batches.usage import sum_usd, total_usd
from include.enrichment.storage.version import with_stamp
from include.gateways.disk import sha256_of

#: A row group is closed at this many rows, or at this many bytes of them in memory.
_GROUP_ROWS, _GROUP_BYTES = 100_000, 16_000_000


@dataclass(frozen=True, kw_only=True)
class TableFiles:
    """
    The files, and the totals of what they hold.

    :param samples: the rows that were not kept, or the other answers to escalated rows; None if neither is written
    :param beside: how many samples are the other answer to a row of the table
    :param escalated: how many rows of the table have the dearer model's answer
    :param usable: for each row of the run in source order, whether its answer can be used
    :param rejected_by: rejected rows by outcome
    :param cost_usd: the sum of ``_cost_usd`` in all files; None if one is null
    """

    table: Path
    rejects: Path
    samples: Path | None = None
    usable: pa.ChunkedArray
    rejected_by: Counter[str]
    cost_usd: Decimal | None
    beside: int = 0
    escalated: int = 0

    @property
    def published(self) -> int:
        """The rows in the table."""
        return _rows(self.table)

    @property
    def not_kept(self) -> int:
        """The rows in the samples that are not in the table as well."""
        return _rows(self.samples) - self.beside if self.samples else 0

    @property
    def paths(self) -> dict[str, Path]:
        """Each file by the name that the manifest has for it."""
        samples = {"samples": self.samples} if self.samples else {}
        return {**samples, "rejects": self.rejects, "table": self.table}

    @property
    def sha256(self) -> dict[str, str]:
        """The digests of the files, as the manifest has them."""
        return {name: sha256_of(path) for name, path in self.paths.items()}


def _rows(path: Path) -> int:
    rows: int = pq.read_metadata(path).num_rows
    return rows


def write_tables(joined_rows: Iterable[tuple[pa.Table, pa.Table]], shape: Shape, *, folder: Path) -> TableFiles:
    """
    Write each row to the table or to the rejects, in source order.

    :param joined_rows: as join_rows() yields them
    """
    table, rejects = folder / "table.parquet", folder / "rejects.parquet"
    rejected_by: Counter[str] = Counter()
    costs: list[Decimal | None] = []
    usable: list[pa.Array] = []
    with RowGroups(table, shape.table) as table_groups, RowGroups(rejects, shape.rejects) as rejects_groups:
        for rows, answered in joined_rows:
            published, rejected = split_rows(rows, answered, shape)
            table_groups.add(published)
            rejects_groups.add(rejected)
            rejected_by.update(rejected["outcome"].to_pylist())
            usable += pc.fill_null(pc.equal(answered["outcome"], "succeeded"), False).chunks
            costs += [sum_usd(portion["_cost_usd"]) for portion in (published, rejected)]
    return TableFiles(
        table=table,
        rejects=rejects,
        usable=pa.chunked_array(usable, pa.bool_()),
        rejected_by=rejected_by,
        cost_usd=total_usd(costs),
    )


class RowGroups:
    """A Parquet file that collects small tables into row groups of a size that is good to read."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, with_stamp(schema), compression="zstd")
        self._waiting = [schema.empty_table()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._writer.close()

    def add(self, table: pa.Table) -> None:
        """Write some more rows."""
        self._waiting.append(table)
        rows = sum(map(len, self._waiting))
        if rows >= _GROUP_ROWS or sum(portion.nbytes for portion in self._waiting) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if any(map(len, self._waiting)):
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = self._waiting[:1]
        pa.default_memory_pool().release_unused()
