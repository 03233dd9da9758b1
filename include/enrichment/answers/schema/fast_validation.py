"""
A quick check that an answer certainly fits its schema, as nearly all do. An answer that does not pass may still fit:
OutputSchema.check() decides.
"""

from __future__ import annotations

from collections.abc import Callable
from types import GenericAlias
from typing import Annotated, Any, Literal, TypeAlias

import jsonschema_rs
import msgspec

from include.enrichment.answers.schema.column import INT64, STORED_FORMATS
from include.enrichment.answers.schema.duplicate_keys import has_unique_keys, key_counter
from include.enrichment.answers.schema.json_schema import References, Schema, walk, with_uri_refs
from include.enrichment.answers.schema.kind import Kind, kind_of

_Type: TypeAlias = Any
_ANNOTATIONS = {"$defs", "$schema", "default", "definitions", "description", "title"}


def compile_fast_check(schema: Schema) -> Callable[[bytes], bool]:
    """
    Compile a function that returns whether a JSON text certainly fits the schema and is stored in Arrow unchanged.

    If a Python type expresses the whole schema, the decoder checks while it decodes; otherwise the validator checks the
    decoded value.

    :param schema: one in which problems() finds nothing
    """
    kind = kind_of(schema, schema)
    if not _is_plain(kind):
        return lambda text: False
    fitting = _type_of(schema, References(schema))
    keys, count_keys = kind.keys, key_counter(kind)
    decode = msgspec.json.Decoder(Any if fitting is None else fitting).decode
    valid = _validator(schema) if fitting is None else None

    def fits(text: bytes) -> bool:
        try:
            value = decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        if valid is not None and not valid(value):
            return False
        return has_unique_keys(text, count_keys(value) if keys is None else keys)

    return fits


def _validator(schema: Schema) -> Callable[[Any], bool]:
    bounded = with_uri_refs(schema)
    for _, part in walk(bounded):
        part |= {"minimum": INT64.start, "maximum": INT64.stop - 1}
    return jsonschema_rs.Draft202012Validator(bounded, validate_formats=True).is_valid


def _is_plain(kind: Kind) -> bool:
    """Whether every fitting value is as deep as the schema and, but for the range of numbers, stored unchanged."""
    match kind.type:
        case "array":
            return kind.items is not None and _is_plain(kind.items)
        case "object" if kind.properties:
            return all(map(_is_plain, kind.properties.values()))
        case "string":
            return kind.format not in STORED_FORMATS
        case name:
            return name in ("integer", "number", "boolean")


def _type_of(schema: Schema, references: References) -> _Type | None:
    """The type with the same values as a plain schema; None if no type expresses all of it."""
    says = _constraints(schema)
    while says.keys() == {"$ref"}:
        says = _constraints(references.schema(says["$ref"]))
    if says.keys() == {"anyOf"} and len(says["anyOf"]) == 2:
        some, null = sorted(says["anyOf"], key=lambda option: option.get("type") == "null")
        return _or_none(_type_of(some, references)) if _constraints(null) == {"type": "null"} else None
    kind = says.pop("type", None)
    if isinstance(kind, list):
        some_kinds = [name for name in kind if name != "null"]
        nullable = len(some_kinds) == 1 and "enum" not in says and "const" not in says
        return _or_none(_type_of({**says, "type": some_kinds[0]}, references)) if nullable else None
    if kind in _SCALARS and not says:
        return _SCALARS[kind]
    if kind in ("string", None) and len(says) == 1:
        return _word(says.get("enum", [says.get("const")]))
    if kind == "array" and says.keys() <= {"items", "minItems"}:
        return _list(_type_of(says["items"], references), says.get("minItems", 0))
    if kind == "object" and says.keys() <= {"additionalProperties", "properties", "required"}:
        return _struct({name: _type_of(prop, references) for name, prop in says["properties"].items()}, says)
    return None


def _constraints(schema: Schema) -> Schema:
    """The keywords that constrain values."""
    return {keyword: value for keyword, value in schema.items() if keyword not in _ANNOTATIONS}


_SCALARS: dict[Any, _Type] = {
    "string": str,
    "boolean": bool,
    "integer": Annotated[int, msgspec.Meta(ge=INT64.start, le=INT64.stop - 1)],
    "number": Annotated[float, msgspec.Meta(ge=INT64.start, le=INT64.stop - 1)],
}


def _or_none(some: _Type | None) -> _Type | None:
    return None if some is None else some | None


def _word(words: list[Any]) -> _Type | None:
    return Literal[tuple(words)] if all(isinstance(word, str) for word in words) else None


def _list(item: _Type | None, least: int) -> _Type | None:
    return None if item is None else Annotated[GenericAlias(list, item), msgspec.Meta(min_length=least)]


def _struct(types: dict[str, _Type | None], says: Schema) -> _Type | None:
    if None in types.values():
        return None
    required = says.get("required", ())
    # A property's name may be any text, not only a Python name.
    fields: list[Any] = [
        (f"field_{number}", some) if name in required else (f"field_{number}", some | msgspec.UnsetType, msgspec.UNSET)
        for number, (name, some) in enumerate(types.items())
    ]
    rename = {f"field_{number}": name for number, name in enumerate(types)}
    try:
        return msgspec.defstruct(
            "Answer", fields, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False, frozen=True
        )
    except ValueError:  # msgspec rejects some names, for example with a quotation mark
        return None
