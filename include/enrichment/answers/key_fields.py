"""The columns of the business key with their types, known before the first row is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from include.enrichment.answers.schema.keys import (
    KEY_TYPE_NAMES,
    key_type,
    kind_of_published,
    kind_of_type,
    kind_of_value,
)
from include.enrichment.errors import SpecError, WarehouseError


def key_fields(
    key: Mapping[str, str | None],
    first_row: Mapping[str, Any] | None,
    *,
    described: Mapping[str, pa.DataType | None] | None = None,
    published: Mapping[str, str] | None = None,
) -> list[pa.Field]:
    """
    Return the typed fields of the business key, the same on days with and without rows.

    A type that the spec does not name comes from the source's description, else from the value in the first row. On a
    day without rows it comes from an earlier published day, else from the description.

    :param described: the source's columns by name; None for an unknown type, for example in SQLite
    :param published: the columns of an earlier day's manifest

    Raises SpecError if none of these gives a key type, WarehouseError if the first row's key is NULL.
    """
    fields = []
    for name, named in key.items():
        source_type = (described or {}).get(name)
        earlier = (published or {}).get(name)
        if named:
            kind = named
        elif first_row is None:
            kind = _kind_without_rows(name, source_type, earlier)
        else:
            kind = _kind_of_row(name, first_row[name], source_type)
        fields.append(pa.field(name, key_type(kind), nullable=False))
    return fields


def _kind_of_row(name: str, value: object, source_type: pa.DataType | None) -> str:
    if value is None:
        raise null_key(name, 1, 1)
    if kind := (kind_of_type(source_type) if source_type else None) or kind_of_value(value):
        return kind
    raise SpecError(
        f"pipeline.yaml: source.key: {name!r} comes from the warehouse as {type(value).__name__}, which is not a key"
        f" type. Nothing was sent. {_advice(name)}"
    )


def _kind_without_rows(name: str, source_type: pa.DataType | None, earlier: str | None) -> str:
    kind = kind_of_published(earlier) if earlier else None
    kind = kind or (kind_of_type(source_type) if source_type else None)
    if kind is None:
        source = f"the source describes it as {source_type}" if source_type else "the source does not describe it"
        raise SpecError(
            f"pipeline.yaml: source.key: this day has no rows, and the type of {name!r} is unknown: {source}, and no"
            f" earlier day with rows is published. Nothing was sent. {_advice(name)}"
        )
    return kind


def _advice(name: str) -> str:
    return (
        "Cast it in extract.sql or the export, or set its type:"
        f" `source.key: {{{name}: int64}}` (one of {', '.join(KEY_TYPE_NAMES)})."
    )


def null_key(name: str, nulls: int, rows: int) -> WarehouseError:
    """
    Return the error for a key that is NULL.

    :param nulls: of the last ``rows`` rows that were read
    """
    return WarehouseError(
        f"The business key {name!r} is NULL in {nulls:,} of the last {rows:,} rows read. Nothing was sent."
        " Filter these rows out in extract.sql or the export, or choose another key."
    )
