"""
Builds the published table, the rejects and the samples: one typed line per row with an output, one reject per row
without, one sample per answer that was not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.evidence.quote import EVIDENCE_FIELDS
from include.enrichment.answers.key_fields import null_key
from include.enrichment.answers.outcome import OUTCOMES_SCHEMA
from include.enrichment.answers.schema.carried import carried_array
from include.enrichment.answers.schema.keys import key_array
from include.enrichment.answers.schema.output import Output
from include.enrichment.cost.prices import USD
from include.enrichment.errors import WarehouseError

#: The origin of a row, published or rejected. ``_cost_usd`` is the cost of all answers to its request, including
#: invalid ones and repairs, in batches of its partition. It is 0 for all but the first row with the request, and for
#: answers of another partition's batches, so a sum over any rows, rejects and partitions counts no answer twice. Null
#: if a price is unknown.
_ORIGIN = [
    *(pa.field(name, pa.string()) for name in ("_request_id", "_batch_id", "_model")),
    pa.field("_cost_usd", USD),
]
_WORK_FIELDS = [pa.field("request_id", pa.string()), pa.field("params", pa.string()), pa.field("problem", pa.string())]
#: The column with what the pipeline's checks need to know of the row (Checks.facts()). It is not published.
CHECKED = "_checked"
_CHECKED_FIELD = pa.field(CHECKED, pa.string())
#: The column with the names of the checks that warn of the answer.
WARNINGS = "_warnings"
_WARNINGS_FIELD = pa.field(WARNINGS, pa.list_(pa.string()))
#: The column with True for an answer of the dearer model (``request.escalate``).
ESCALATED = "_escalated"
_ESCALATED_FIELD = pa.field(ESCALATED, pa.bool_())
#: The column with the name of the variant that was asked.
VARIANT = "_variant"
#: The column with the number of the sample, from 1.
SAMPLE = "_sample"
#: The columns with the number of a part of a document, from 1, and with its pages, for example 51-100.
PART, PAGES = "_part", "_pages"
#: The column with the ids of the documents that the row's request has. It is not published.
DOCUMENTS = "_documents"
_DOCUMENTS_FIELD = pa.field(DOCUMENTS, pa.list_(pa.string()))
#: The column with the value by which the best of several candidates was kept.
SCORE = "_score"
_SCORE_FIELD = pa.field(SCORE, pa.float64())
#: The columns of the samples after those of the table.
OUTCOME, REASON = "_outcome", "_reason"
_SAMPLE_FIELDS = [pa.field(OUTCOME, pa.string(), nullable=False), pa.field(REASON, pa.string())]
#: The metadata of a field of rows_schema() that says what the column is for.
_ROLE, _KEY, _CARRIED = b"role", b"key", b"carried"
#: These are large strings, because the texts of one partition may exceed the 2 GiB of a string column.
_LONG_TEXTS = ("output", "reason", "text")
#: Outcomes of several batches, each with its batch.
ANSWERS_SCHEMA = pa.schema(
    [
        *(f.with_type(pa.large_string()) if f.name in _LONG_TEXTS else f for f in OUTCOMES_SCHEMA),
        pa.field("batch_id", pa.string()),
    ]
)
_REJECT_FIELDS = [
    pa.field("outcome", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("text", pa.string()),
    *_ORIGIN,
]
#: The result of each row's request.
ANSWERED_SCHEMA = pa.schema([pa.field("output", pa.string()), *(field.with_nullable(True) for field in _REJECT_FIELDS)])


def changed_types(fields: Iterable[pa.Field], published: Mapping[str, str]) -> list[str]:
    """Describe each column whose type differs from that in an earlier day's manifest."""
    return [
        f"{field.name!r} is {field.type}, but was published as {published[field.name]}"
        for field in fields
        if published.get(field.name, str(field.type)) != str(field.type)
    ]


def rows_schema(
    keys: Sequence[pa.Field],
    *,
    carried: Sequence[pa.Field] = (),
    varied: bool = False,
    sampled: bool = False,
    checked: bool = False,
    attached: bool = False,
) -> pa.Schema:
    """
    Return the schema of a run's rows: the key, the carried columns, and either ``request_id`` with ``params`` or the
    ``problem`` that prevents a request.

    Each field of the key and of the carried columns says so in its metadata.

    :param keys: not nullable
    :param carried: nullable
    :param varied: each row occurs once per variant, and its key ends in the name of the variant
    :param sampled: each row occurs once per sample, and its key ends in the number of the sample
    :param checked: each row has a column CHECKED
    :param attached: each row has a column DOCUMENTS
    """
    variant = [pa.field(VARIANT, pa.string(), nullable=False)] if varied else []
    sample = [pa.field(SAMPLE, pa.int64(), nullable=False)] if sampled else []
    of_source = [(field, _KEY) for field in (*keys, *variant, *sample)] + [(field, _CARRIED) for field in carried]
    marked = [field.with_metadata({_ROLE: role}) for field, role in of_source]
    added = [*([_CHECKED_FIELD] if checked else []), *([_DOCUMENTS_FIELD] if attached else [])]
    return pa.schema([*marked, *_WORK_FIELDS, *added])


def row_keys(rows: pa.Schema) -> list[pa.Field]:
    """Return the key fields of a rows_schema(), including the number of the sample."""
    return [field.remove_metadata() for field in rows if _role(field, rows) == _KEY]


def row_carried(rows: pa.Schema) -> list[pa.Field]:
    """Return the carried fields of a rows_schema()."""
    return [field.remove_metadata() for field in rows if _role(field, rows) == _CARRIED]


def _role(field: pa.Field, rows: pa.Schema) -> bytes | None:
    """Return what the column is for; None for those that are not of the source."""
    if any(_ROLE in (each.metadata or {}) for each in rows):
        return (field.metadata or {}).get(_ROLE)
    # A run that an earlier release began: there, the columns of the source were the first ones.
    work_fields = len(_WORK_FIELDS) + (rows.names[-1] == CHECKED)
    if field.name not in rows.names[:-work_fields]:
        return None
    return _CARRIED if field.nullable else _KEY


def rows_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    """
    Return rows as a batch of rows_schema().

    Raises WarehouseError if a key is NULL, or if the type of its column would change a key or a carried value.
    """
    columns = [_column([row[field.name] for row in rows], field, _role(field, schema)) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _column(values: list[Any], field: pa.Field, role: bytes | None) -> pa.Array:
    if role is None:
        return pa.array(values, field.type)
    if role == _CARRIED:
        try:
            return carried_array(values, field.type)
        except ValueError as error:
            raise WarehouseError(
                f"The carried column {field.name!r} has a value that is not {field.type}: {error}. Nothing was sent."
                " Cast it in extract.sql or the export, or set its type in pipeline.yaml:"
                f" `source.carry: {{{field.name}: …}}`."
            ) from error
    if nulls := sum(value is None for value in values):
        raise null_key(field.name, nulls, len(values))
    try:
        return key_array(values, field.type)
    except ValueError as error:
        raise WarehouseError(
            f"The key column {field.name!r} has a value that is not {field.type}: {error}. Nothing was sent. Cast it in"
            " extract.sql or the export, or set another type in pipeline.yaml if it is a column of source.key:"
            f" `source.key: {{{field.name}: …}}`."
        ) from error


def repeated_keys(keys: pa.Table) -> pa.Table:
    """
    Return the keys that occur more than once, each with its ``count``, the most frequent first.

    The keys are sorted and only repetitions are counted: grouping all unique keys would take several times the memory.
    """
    ordered = _sortable(keys).sort_by([(name, "ascending") for name in keys.column_names])
    pairs = max(len(ordered) - 1, 0)
    alike = [pc.equal(column.slice(0, pairs), column.slice(1)) for column in ordered.columns]
    again = ordered.slice(1).filter(reduce(pc.and_, alike))
    counted = again.group_by(keys.column_names).aggregate([([], "count_all")])
    *repeated, times = counted.columns
    found = pa.Table.from_arrays([*repeated, pc.add(times, 1)], [*keys.column_names, "count"])
    return found.sort_by([("count", "descending")]).cast(keys.schema.append(pa.field("count", pa.int64())))


def _sortable(keys: pa.Table) -> pa.Table:
    """Return the keys with UUIDs as their bytes: Arrow neither sorts nor compares UUIDs."""
    storage = pa.schema([field.with_type(getattr(field.type, "storage_type", field.type)) for field in keys.schema])
    return keys.cast(storage)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """
    The schemas that one pipeline publishes: the business key, then the carried columns, then the columns of the output,
    then the origin.

    :param grounded: the table has the columns EVIDENCE and UNGROUNDED after the output
    :param warned: the table has a column WARNINGS before the origin
    :param escalated: the table has a column ESCALATED before the origin
    :param scored: the table has a column SCORE before the origin, as the best of several candidates were kept
    """

    keys: Sequence[pa.Field]
    output: Output
    carried: Sequence[pa.Field] = ()
    grounded: bool = False
    warned: bool = False
    escalated: bool = False
    scored: bool = False

    @property
    def source(self) -> list[pa.Field]:
        """The columns that come from the source."""
        return [*self.keys, *self.carried]

    @property
    def judged(self) -> list[pa.Field]:
        """The columns of the table that say something of a row and its answer: all but score and origin."""
        return [*self.source, *self.output.fields, *self.about_answer]

    @property
    def about_answer(self) -> list[pa.Field]:
        """The columns of the table that say something of the answer: evidence, warnings, which model gave it."""
        return [
            *(EVIDENCE_FIELDS if self.grounded else []),
            *([_WARNINGS_FIELD] if self.warned else []),
            *([_ESCALATED_FIELD] if self.escalated else []),
        ]

    @property
    def table(self) -> pa.Schema:
        """The schema of the published table."""
        return pa.schema([*self.source, *self.output.fields, *self.origin])

    @property
    def origin(self) -> list[pa.Field]:
        """The columns of the table after the output."""
        return [*self.about_answer, *([_SCORE_FIELD] if self.scored else []), *_ORIGIN]

    @property
    def samples(self) -> pa.Schema:
        """The schema of the answers that were not kept. The output of an unusable one is null."""
        return pa.schema([*self.table, *_SAMPLE_FIELDS])

    @property
    def rejects(self) -> pa.Schema:
        """The schema of the rejects."""
        return pa.schema([*self.source, *_REJECT_FIELDS])


def split_rows(rows: pa.Table, answered: pa.Table, shape: Shape) -> tuple[pa.Table, pa.Table]:
    """
    Split rows into published table and rejects. Each row is in exactly one of the two, in the same order.

    :param rows: rows of a rows_schema(), without their params. All their outputs are Python objects at the same time
    :param answered: the result of each row, in ANSWERED_SCHEMA, and the columns of the shape that say something of it
    """
    # A row without a request is like one that the API rejects: errored, with the reason, at no cost.
    unsent = pc.is_valid(rows["problem"])
    reason = pc.binary_join_element_wise("not sent", rows["problem"], ": ")
    columns = {name: answered[name] for name in ANSWERED_SCHEMA.names} | {
        "outcome": pc.if_else(unsent, "errored", answered["outcome"]),
        "reason": pc.if_else(unsent, reason, answered["reason"]),
        "_cost_usd": pc.if_else(unsent, pa.scalar(Decimal(0), USD), answered["_cost_usd"]),
    }
    whole = pa.table(columns, schema=ANSWERED_SCHEMA)
    for field in shape.about_answer:
        whole = whole.append_column(field, answered[field.name])
    # The source's columns stay separate: they may have the name of a column of the answers.
    source = rows.select([field.name for field in shape.source])
    good = pc.equal(whole["outcome"], "succeeded")
    bad = pc.invert(good)
    return _published(source.filter(good), whole.filter(good), shape), _rejected(
        source.filter(bad), whole.filter(bad), shape
    )


def _published(source: pa.Table, answered: pa.Table, shape: Shape) -> pa.Table:
    outputs = shape.output.columns(answered["output"].to_pylist())
    origin = [answered[field.name] for field in shape.origin]
    return pa.Table.from_arrays([*source.columns, *outputs, *origin], schema=shape.table)


def _rejected(source: pa.Table, answered: pa.Table, shape: Shape) -> pa.Table:
    rest = [answered[field.name] for field in _REJECT_FIELDS]
    return pa.Table.from_arrays([*source.columns, *rest], schema=shape.rejects)
