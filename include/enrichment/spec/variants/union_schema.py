"""The output schema of several variants: what an answer to any of them may be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy

from include.enrichment.answers.schema.column import column_type
from include.enrichment.answers.schema.json_schema import References, Schema, pointer, walk
from include.enrichment.answers.schema.kind import Kind


def union_schema(schema_texts: Sequence[str | None]) -> str | None:
    """
    Return the schema whose values fit at least one of the schemas; None for text. A table of it has the columns of all.

    :param schema_texts: none of them or all of them are None
    """
    different = [text for text in dict.fromkeys(schema_texts) if text is not None]
    if len(different) < 2:
        return different[0] if different else None
    return json.dumps({"anyOf": [_moved(json.loads(text), number) for number, text in enumerate(different)]})


def _moved(schema: Schema, number: int) -> Schema:
    """Return the schema as an alternative of the union, with references to its own parts."""
    references, moved = References(schema), deepcopy(schema)
    for _, part in walk(moved):
        if "$ref" in part and (path := references.path(part["$ref"])) is not None:
            part["$ref"] = pointer(("anyOf", number, *path))
    moved.pop("$schema", None)
    return moved


def type_conflicts(
    fields: Mapping[str, Kind], other: Mapping[str, Kind], *, other_file: str
) -> Iterator[tuple[str, str]]:
    """Yield each field that has another type in the schema of another file, with the fact."""
    for name, kind in fields.items():
        if name in other and not _stored_alike(kind, other[name]):
            fact = f"{name!r} is {_described(kind)}, but {_described(other[name])} in {other_file}"
            yield name, f"{fact}. All variants are published in one table: use one type, or another name"


def _stored_alike(one: Kind, other: Kind) -> bool:
    """Return whether a column of one has the type of the other, and JSON text only if the other has."""
    if column_type(one) != column_type(other) or (one.type is None) != (other.type is None):
        return False
    if one.items and other.items and not _stored_alike(one.items, other.items):
        return False
    return all(_stored_alike(kind, other.properties[name]) for name, kind in one.properties.items())


def _described(kind: Kind) -> str:
    return str(column_type(kind)) if kind.type else "of several types"
