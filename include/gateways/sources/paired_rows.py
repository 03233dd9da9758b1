"""Pairs of a table's rows: the answers to the same case, in both orders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import pyarrow as pa

from include.enrichment.errors import WarehouseError, nearest
from include.enrichment.spec.sources.pairs import FIRST, SECOND, PairSettings, split_side

#: The pairs in one batch. It is small because a batch is then converted to Python.
_ROWS_A_BATCH = 256


def paired(
    batches: Iterable[pa.RecordBatch],
    pairs: PairSettings,
    columns: Sequence[str],
    *,
    case: Sequence[str],
    origin: str,
) -> Iterator[pa.RecordBatch]:
    """
    Yield the pairs in batches, the two orders of a pair one after the other. Cases are in the order of the table.
    Cases with one answer have no pair.

    All rows are in memory at once, with the columns of the batches only.

    :param batches: the rows of the table
    :param columns: those of the pairs
    :param case: the columns in which the answers to a case are alike
    :param origin: where the rows come from, for errors

    Raises WarehouseError if the case does not tell answers of one variant apart, if the table has no row of the
    baseline, or if a column of the case differs between the two answers.
    """
    if not (rows := list(batches)):
        return
    table = pa.Table.from_batches(rows).combine_chunks()
    one, other = _orders(table, pairs, case, origin)
    for start in range(0, len(one), _ROWS_A_BATCH):
        firsts, seconds = (table.take(pa.array(rows[start : start + _ROWS_A_BATCH])) for rows in (one, other))
        found = {name: _column(name, pairs, firsts, seconds, origin) for name in columns}
        yield from pa.table(found).combine_chunks().to_batches()


def _orders(table: pa.Table, pairs: PairSettings, case: Sequence[str], origin: str) -> tuple[list[int], list[int]]:
    """Return the number of the first row of each pair, and that of the second."""
    values = table[pairs.column].to_pylist()
    cases: dict[tuple[Any, ...], dict[Any, int]] = {}
    for number, name in enumerate(zip(*(table[column].to_pylist() for column in case), strict=True)):
        if cases.setdefault(name, {}).setdefault(values[number], number) != number:
            shown = ", ".join(f"{column}={value}" for column, value in zip(case, name, strict=True))
            raise WarehouseError(
                f"{origin} has two rows of {values[number]!r} where {shown}, so they cannot be paired. Nothing was"
                " sent. Add the table's other key columns to source.key, for example the number of the sample."
            )
    known = list(dict.fromkeys(values))
    if known and pairs.baseline is not None and pairs.baseline not in known:
        raise WarehouseError(
            f"{origin} has no row of {pairs.baseline!r} (source.pairs.baseline)"
            f"{nearest(pairs.baseline, map(str, known)).rstrip('?')}. It has: {', '.join(map(str, known))}. Nothing was"
            " sent. Publish the table with the baseline, or name another one."
        )
    found = [
        order
        for answers in cases.values()
        for one, other in combinations([value for value in known if value in answers], 2)
        if pairs.baseline is None or pairs.baseline in (one, other)
        for order in ((answers[one], answers[other]), (answers[other], answers[one]))
    ]
    return [one for one, _ in found], [other for _, other in found]


def _column(name: str, pairs: PairSettings, firsts: pa.Table, seconds: pa.Table, origin: str) -> pa.ChunkedArray:
    stored = pairs.stored(name)
    side = name if name in (FIRST, SECOND) else split_side(name)[0]
    if side:
        return (firsts if side == FIRST else seconds)[stored]
    one, other = firsts[stored], seconds[stored]
    # NaN does not equal itself.
    if not one.equals(other) and repr(one.to_pylist()) != repr(other.to_pylist()):
        raise WarehouseError(
            f"The column {name!r} of {origin} differs between two answers to the same case. Nothing was sent. Write"
            f" {FIRST}_{name} and {SECOND}_{name} instead."
        )
    return one
