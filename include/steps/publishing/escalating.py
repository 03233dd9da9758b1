"""The rows whose answer was doubtful: the table has the dearer model's answer, and the samples have the other one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.repair import ESCALATED_DEPTH
from include.enrichment.answers.table import ESCALATED, OUTCOME, REASON, Shape
from include.enrichment.cost.prices import USD
from include.steps.publishing.checking import CheckedRows
from include.steps.publishing.table_files import RowGroups, TableFiles, write_tables

#: Why an answer is a sample, by whether it is the dearer model's.
_REASONS = {
    False: "escalated: request.escalate.when is true of it",
    True: "escalated to this model, but this answer fails a check",
}


def write_both(checked: CheckedRows, shape: Shape, repairs: pa.Table, *, folder: Path) -> TableFiles:
    """
    Write the tables as write_tables() does, with the column ESCALATED, and the samples: of each published row that has
    usable answers of both models, the one that is not in the table. Its cost is 0, because its row has that of both.

    :param repairs: as read_repairs() returns them
    """
    ids = repairs["repair_id"].filter(pc.equal(repairs["depth"], ESCALATED_DEPTH)).combine_chunks()
    escalated = beside = 0

    def rows() -> Iterator[tuple[pa.Table, pa.Table]]:
        nonlocal escalated, beside
        for rows, answered, candidates in checked.with_candidates():
            is_escalated = _is_in(answered["_request_id"], ids)
            published = pc.fill_null(pc.equal(answered["outcome"], "succeeded"), False)
            escalated += pc.sum(pc.and_(is_escalated, published)).as_py() or 0
            others = _others(rows, is_escalated, published, candidates, ids, shape)
            beside += len(others)
            samples.add(others)
            yield rows, answered.append_column(ESCALATED, is_escalated)

    path = folder / "samples.parquet"
    with RowGroups(path, shape.samples) as samples:
        files = write_tables(rows(), shape, folder=folder)
    return replace(files, samples=path, beside=beside, escalated=escalated)


def _others(
    rows: pa.Table,
    is_escalated: pa.ChunkedArray,
    published: pa.ChunkedArray,
    candidates: pa.Table,
    ids: pa.Array,
    shape: Shape,
) -> pa.Table:
    """
    The best usable answer of the other model to each published row, as samples.

    :param candidates: as CheckedRows.with_candidates() yields them
    """
    of_dearer = _is_in(candidates["_request_id"], ids)
    places = candidates["place"].combine_chunks()
    other = pc.not_equal(of_dearer, is_escalated.combine_chunks().take(places))
    usable = pc.fill_null(pc.equal(candidates["outcome"], "succeeded"), False)
    wanted = pc.and_(pc.and_(other, usable), published.combine_chunks().take(places))
    numbers, seen = list[int](), set[int]()
    for number in pc.indices_nonzero(wanted).to_pylist():
        if (place := places[number].as_py()) not in seen:
            seen.add(place)
            numbers.append(number)
    numbers.sort(key=lambda number: places[number].as_py())
    chosen = candidates.take(pa.array(numbers, pa.int64()))
    flags = [of_dearer[number].as_py() for number in numbers]
    source = rows.select([field.name for field in shape.source]).take(chosen["place"].combine_chunks())
    outputs = shape.output.columns(chosen["output"].to_pylist())
    known = {
        ESCALATED: pa.array(flags, pa.bool_()),
        "_cost_usd": pa.repeat(pa.scalar(Decimal(0), USD), len(chosen)),
        OUTCOME: chosen["outcome"],
        REASON: pa.array([_REASONS[flag] for flag in flags], pa.string()),
    } | {name: chosen[name] for name in ("_request_id", "_batch_id", "_model")}
    rest = list(shape.samples)[len(source.columns) + len(outputs) :]
    columns = [known[field.name] if field.name in known else pa.nulls(len(chosen), field.type) for field in rest]
    return pa.Table.from_arrays([*source.columns, *outputs, *columns], schema=shape.samples)


def _is_in(request_ids: pa.ChunkedArray, ids: pa.Array) -> pa.ChunkedArray:
    return pc.fill_null(pc.is_in(request_ids, value_set=ids), False)
