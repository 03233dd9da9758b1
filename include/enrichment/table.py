"""
Rows and outcomes become what is published: one typed line for each row with an output, one reject for each without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.outcome import OUTCOMES_SCHEMA
from include.enrichment.output_schema import OutputSchema
from include.enrichment.prices import cost_usd

#: The types a business key may have, by the name they have in pipeline.yaml.
KEY_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
}
_BY_VALUE: list[tuple[type, str]] = [
    (bool, "boolean"),
    (int, "int64"),
    (str, "string"),
    (datetime, "timestamp"),
    (date, "date"),
    (UUID, "string"),
]
#: Beside the business key, what a published row tells of its origin.
_ORIGIN = [pa.field("_request_id", pa.string()), pa.field("_batch_id", pa.string()), pa.field("_model", pa.string())]
_WORK_FIELDS = [pa.field("request_id", pa.string()), pa.field("params", pa.string()), pa.field("problem", pa.string())]
#: The column that tells the samples of a row apart, from 1.
SAMPLE = "_sample"
#: Outcomes as publish reads them: those of the result store, and the batch they came from.
#: Texts are large strings: those of one partition together may pass the 2 GiB that a plain string column holds.
_LONG_TEXTS = ("output", "reason", "text")
ANSWERS_SCHEMA = pa.schema(
    [
        *(f.with_type(pa.large_string()) if f.name in _LONG_TEXTS else f for f in OUTCOMES_SCHEMA),
        pa.field("batch_id", pa.string()),
    ]
)
_TOKENS = [name for name in OUTCOMES_SCHEMA.names if name.endswith("_tokens")]
_COST_COLUMNS = ["request_id", "model", *_TOKENS]
#: Rows whose outputs are Python objects at the same time.
_ROWS_AT_ONCE = 5_000
_COST = pa.decimal128(18, 12)
_REJECT_FIELDS = [
    pa.field("outcome", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("text", pa.string()),
    pa.field("cost_usd", _COST),
    *_ORIGIN,
]
#: What a business key column may not be called, beside any name that begins with an underscore: rows and rejects have
#: columns of these names already.
RESERVED_NAMES = frozenset(field.name for field in (*_WORK_FIELDS, *_REJECT_FIELDS)) | {"count"}


def key_fields(key: Mapping[str, str | None], first_row: Mapping[str, Any] | None) -> list[pa.Field]:
    """
    The typed business key.

    A type that the spec does not name is taken from the first row; text if there is no row. Raises SpecError where the
    value has no obvious type.
    """
    return [pa.field(name, KEY_TYPES[kind or _kind_of(name, first_row)], nullable=False) for name, kind in key.items()]


def _kind_of(name: str, first_row: Mapping[str, Any] | None) -> str:
    if first_row is None or first_row[name] is None:
        return "string"
    value = first_row[name]
    for python_type, kind in _BY_VALUE:
        if isinstance(value, python_type):
            return kind
    raise SpecError(
        f"pipeline.yaml: source.key: {name!r} comes from the warehouse as {type(value).__name__}, which says no type"
        " for the table."
        f" Name one: `key: {{{name}: int64}}` (one of {', '.join(KEY_TYPES)})."
    )


def rows_schema(keys: Sequence[pa.Field], *, sampled: bool = False) -> pa.Schema:
    """
    A run's rows: the key, and either ``request_id`` with ``params`` or the ``problem`` that kept the row from becoming
    a request.

    :param sampled: each row stands there several times, and its key ends in the number of the sample
    """
    sample = [pa.field(SAMPLE, pa.int64(), nullable=False)] if sampled else []
    return pa.schema([*keys, *sample, *_WORK_FIELDS])


def row_keys(rows: pa.Schema) -> list[pa.Field]:
    """The key of a rows_schema(), the number of the sample included."""
    return [field for field in rows if field not in _WORK_FIELDS]


def rows_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows as a batch of rows_schema(). Raises WarehouseError if a key is null or is not of its type."""
    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if not field.nullable and (nulls := sum(value is None for value in values)):
            raise WarehouseError(
                f"The business key {field.name!r} is NULL in {nulls:,} of {len(values):,} rows read last."
                " Nothing was sent. Filter them out in extract.sql, or choose another key."
            )
        try:
            if not field.nullable:
                values = [_key_value(value, field.type) for value in values]
            columns.append(pa.array(values, field.type))
        except (TypeError, ValueError, OverflowError) as error:
            raise WarehouseError(
                f"The business key {field.name!r} holds a value that is not {field.type}: {error}."
                f" Nothing was sent. Cast it in extract.sql, or name its type in pipeline.yaml: `key: {{{field.name}:"
                " …}`."
            ) from error
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _key_value(value: Any, kind: pa.DataType) -> Any:
    """The value as pyarrow takes it. By itself pyarrow would cut 1.5 to 1 and read a number as a date."""
    if pa.types.is_string(kind):
        return str(value) if isinstance(value, UUID) else value
    if pa.types.is_integer(kind) and isinstance(value, Decimal | float) and value == int(value):
        return int(value)
    wanted = {pa.int64(): int, pa.date32(): date, pa.timestamp("us", "UTC"): datetime}.get(kind, object)
    if not isinstance(value, wanted) or (isinstance(value, datetime) and wanted is date):
        raise TypeError(f"got {value!r}")
    return value


def repeated_keys(keys: pa.Table) -> pa.Table:
    """The keys that occur more than once, each with its ``count``, the most frequent first."""
    counted = (
        keys.group_by(keys.column_names).aggregate([([], "count_all")]).rename_columns([*keys.column_names, "count"])
    )
    return counted.filter(pc.field("count") > 1).sort_by([("count", "descending")])


@dataclass(frozen=True, kw_only=True)
class Shape:
    """
    The schemas of what one pipeline publishes: business key first, then a column for each property of the output, then
    where it came from.
    """

    keys: Sequence[pa.Field]
    output: OutputSchema

    @property
    def table(self) -> pa.Schema:
        """The published table."""
        return pa.schema([*self.keys, *self.output.fields, *_ORIGIN])

    @property
    def rejects(self) -> pa.Schema:
        """The rejects."""
        return pa.schema([*self.keys, *_REJECT_FIELDS])


def best_answers(answers: Sequence[pa.Table], repairs: pa.Table) -> pa.Table:
    """
    One answer for each request that has any: a usable one before others, one that was paid for before those that were
    not, of several alike the last.

    The answer of a repair counts as one of the request that it repairs, and comes before the invalid one: it is the
    last word. ``answered_request_id`` tells which of the two was answered, ``spent_usd`` what all unusable answers to
    the request cost together, None where a model's price is not known.

    :param answers: the outcomes of the run's batches in ANSWERS_SCHEMA, the oldest batch first
    :param repairs: ``request_id`` and ``repair_id`` of each request that was made anew
    """
    whole = pa.concat_tables([ANSWERS_SCHEMA.empty_table(), *answers])
    origin = pc.index_in(whole["request_id"], value_set=repairs["repair_id"].combine_chunks())
    repaired = repairs["request_id"].take(origin)
    whole = whole.append_column("answered_request_id", whole["request_id"])
    whole = whole.set_column(0, "request_id", pc.coalesce(repaired, whole["request_id"]))
    settled = pc.index_in(whole["outcome"], value_set=pa.array(["succeeded", "invalid"]))
    order = pa.table(
        {
            "request_id": whole["request_id"],
            "rank": pc.fill_null(settled, 2),
            "original": pc.is_null(repaired),
            "position": pa.array(range(whole.num_rows, 0, -1), pa.int64()),
        }
    ).sort_by([("rank", "ascending"), ("original", "ascending"), ("position", "ascending")])
    first = order.group_by("request_id", use_threads=False).aggregate([("position", "first")])
    best = whole.take(pc.subtract(whole.num_rows, first["position_first"]))
    spent = _spent(whole)
    costs = [spent.get(request_id, Decimal(0)) for request_id in best["request_id"].to_pylist()]
    return best.append_column("spent_usd", pa.array(costs, _COST))


def _spent(answers: pa.Table) -> dict[str, Decimal | None]:
    """What the unusable answers to each request cost, for requests that have any."""
    spent: dict[str, Decimal | None] = {}
    for line in answers.filter(pc.equal(answers["outcome"], "invalid")).select(_COST_COLUMNS).to_pylist():
        cost = cost_usd(model=line["model"] or "", **{name: line[name] for name in _TOKENS})
        before = spent.get(line["request_id"], Decimal(0))
        spent[line["request_id"]] = None if cost is None or before is None else before + cost
    return spent


def publishable(rows: Iterable[pa.RecordBatch], answers: pa.Table, shape: Shape) -> Iterator[tuple[pa.Table, pa.Table]]:
    """
    Join rows to their answers by request_id, batch by batch: (published, rejected). Each row is in exactly one of the
    two, in the order of the source.

    :param rows: without their params; each batch costs a look at all answers, so let there be few
    :param answers: best_answers(), with one for every request of the rows
    """
    answers = answers.combine_chunks()  # or every take() would look through all chunks
    for batch in rows:
        whole = pa.table(batch)
        positions = pc.index_in(whole["request_id"], value_set=answers["request_id"])
        for start in range(0, max(len(whole), 1), _ROWS_AT_ONCE):
            some = whole.slice(start, _ROWS_AT_ONCE)
            answered = _answers(some, answers.take(positions.slice(start, _ROWS_AT_ONCE)))
            keys = some.select([field.name for field in shape.keys])
            good = pc.equal(answered["outcome"], "succeeded")
            bad = pc.invert(good)
            yield (
                _published(keys.filter(good), answered.filter(good), shape),
                _rejected(keys.filter(bad), answered.filter(bad), shape),
            )


def _answers(rows: pa.Table, answers: pa.Table) -> pa.Table:
    """What became of each row. The keys stay apart: they may be called like a column of the answers."""
    columns = {
        f"_{name}" if name in ("batch_id", "model") else name: answers[name]
        for name in answers.column_names
        if name not in ("request_id", "answered_request_id")
    }
    columns["_request_id"] = answers["answered_request_id"]
    # A row that never became a request is like one that the API refuses: errored, with the reason, and it costs
    # nothing.
    columns["unsent"] = unsent = pc.is_valid(rows["problem"])
    columns["outcome"] = pc.if_else(unsent, "errored", columns["outcome"])
    columns["reason"] = pc.if_else(
        unsent, pc.binary_join_element_wise("not sent", rows["problem"], ": "), columns["reason"].cast(pa.string())
    )
    return pa.table(columns)


def _published(keys: pa.Table, answered: pa.Table, shape: Shape) -> pa.Table:
    outputs = shape.output.columns(answered["output"].to_pylist())
    origin = [answered[field.name] for field in _ORIGIN]
    return pa.Table.from_arrays([*keys.columns, *outputs, *origin], schema=shape.table)


def _rejected(keys: pa.Table, answered: pa.Table, shape: Shape) -> pa.Table:
    columns = {name: answered[name] for name in answered.column_names}
    # A row that never became a request has cost nothing.
    columns["cost_usd"] = pc.if_else(answered["unsent"], pa.scalar(Decimal(0), _COST), answered["spent_usd"])
    rest = [columns[field.name].cast(field.type) for field in _REJECT_FIELDS]
    return pa.Table.from_arrays([*keys.columns, *rest], schema=shape.rejects)
