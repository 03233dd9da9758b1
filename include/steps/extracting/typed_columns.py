"""The typed columns of a run's rows: business key, names of for_each, carried columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from include.enrichment.answers.key_fields import key_fields
from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.schema.carried import carried_fields, columns_without_type
from include.enrichment.answers.schema.column_names import (
    carry_problems,
    for_each_problems,
    key_problems,
    output_problems,
)
from include.enrichment.answers.schema.keys import key_type, kind_of_published, kind_of_type, kind_of_value
from include.enrichment.answers.table import PAGES, PART, changed_types, rows_schema
from include.enrichment.errors import SpecError
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.settings import FromColumn
from include.enrichment.storage import layout

_Types = Mapping[str, pa.DataType | None]


def needs_values(pipeline: Pipeline, columns: _Types, published: Manifest | None) -> bool:
    """Return whether a type can come only from the values of the rows, so that more of them than one are needed."""
    earlier = published.columns if published else {}
    listed = any(
        isinstance(values, FromColumn) and _listed_type(name, values, columns, earlier) is None
        for name, values in pipeline.settings.for_each.items()
    )
    return listed or bool(columns_without_type(pipeline.settings.source.carry, columns, earlier))


def typed_columns(
    pipeline: Pipeline, columns: _Types, first_rows: Sequence[Mapping[str, Any]], published: Manifest | None
) -> pa.Schema:
    """
    Return the rows_schema() of the pipeline's rows.

    :param columns: the source's columns with their types; None for an unknown type
    :param published: the manifest of the last published day with rows

    Raises SpecError for a name that some readers cannot read, an unknown type, or another type than before.
    """
    source = pipeline.settings.source
    earlier = published.columns if published else {}
    keys = key_fields(source.key, first_rows[0] if first_rows else None, described=columns, published=earlier)
    for_each = _for_each_fields(pipeline, columns, first_rows, earlier)
    carried = carried_fields(source.carry, first_rows, described=columns, published=earlier)
    _check_names(pipeline)
    for setting, fields in (("source.key", keys), ("for_each", for_each), ("source.carry", carried)):
        if published and (changed := changed_types(fields, earlier)):
            remedy = "write values of that type" if setting == "for_each" else f"set the published type in {setting}"
            raise SpecError(
                f"{pipeline.location(setting)}: {'; '.join(changed)} (dt={published.partition}). Nothing was sent. All"
                f" days must have the same type: cast it in extract.sql or the export, or {remedy}.\n"
                "To change the type for every day, delete the manifests below"
                f" {layout.manifests_folder(pipeline.name)} on the lake and run each day again. Answers are reused."
            )
    checks = pipeline.read_checks()
    split = pipeline.settings.split_pages is not None
    part = [pa.field(PART, pa.int64(), nullable=False)] if split else []
    return rows_schema(
        [*keys, *part, *for_each],
        carried=[*carried, *([pa.field(PAGES, pa.string())] if split else [])],
        varied=bool(pipeline.variants),
        sampled=pipeline.settings.samples > 1,
        checked=checks is not None and checks.need_rows,
        attached=bool(pipeline.settings.attached_columns),
    )


def _check_names(pipeline: Pipeline) -> None:
    key, for_each, carry = pipeline.settings.source.key, pipeline.settings.for_each, pipeline.settings.source.carry
    names = [*key, *for_each]
    problems = (
        *key_problems([*key]),
        *for_each_problems(for_each, [*key]),
        *carry_problems(carry, names),
        *output_problems(pipeline.output.fields, names, carry),
    )
    if facts := [fact for _, fact in problems]:
        raise SpecError("\n".join([*(f"{pipeline.name}: {fact}" for fact in facts), "Nothing was sent."]))


def _for_each_fields(
    pipeline: Pipeline, columns: _Types, first_rows: Sequence[Mapping[str, Any]], earlier: Mapping[str, str]
) -> list[pa.Field]:
    fields = []
    for name, values in pipeline.settings.for_each.items():
        if isinstance(values, FromColumn):
            lists = (row[values.column] for row in first_rows)
            first = next((value for found in lists if isinstance(found, list | tuple) for value in found), None)
            kind = _listed_type(name, values, columns, earlier) or kind_of_value(first)
            if kind is None:
                raise SpecError(
                    f"{pipeline.location(f'for_each.{name}')}: the type of the values in the column {values.column!r}"
                    f" is unknown: {_describe(columns.get(values.column))}, and the first value in the first"
                    f" {len(first_rows):,} rows is {first!r}. Nothing was sent. Return lists of texts, integers or"
                    " booleans in extract.sql or the export."
                )
        else:
            kind = str(kind_of_value(values[0]))
        fields.append(pa.field(name, key_type(kind), nullable=False))
    return fields


def _describe(kind: pa.DataType | None) -> str:
    return f"the source declares {kind}" if kind else "the source does not declare one"


def _listed_type(name: str, values: FromColumn, columns: _Types, earlier: Mapping[str, str]) -> str | None:
    """The name of the type of the values in a column of lists; None if neither the source nor an earlier day has it."""
    described = columns.get(values.column)
    kind = kind_of_type(described.value_type) if described is not None and hasattr(described, "value_type") else None
    return kind or (kind_of_published(earlier[name]) if name in earlier else None)
