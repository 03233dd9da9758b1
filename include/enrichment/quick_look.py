"""
One quick look at an answer: whether it plainly fits its schema, as nearly all do. Of any other it tells nothing, and
OutputSchema.check() has the word.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from types import GenericAlias
from typing import Annotated, Any, Literal, TypeAlias

import jsonschema_rs
import msgspec

from include.enrichment.schema_subset import Schema, kind_of, resolve, walk, without_null

#: What Arrow stores.
INT64 = range(-(2**63), 2**63)
#: Formats that are stored as another type than text.
STORED_FORMATS = ("date", "date-time")

_Type: TypeAlias = Any
_SAYS_NOTHING = {"$defs", "$schema", "default", "definitions", "description", "title"}


def quick_look(schema: Schema) -> Callable[[bytes], bool]:
    """
    A function that says of a JSON text whether it surely fits the schema, and is stored in Arrow as it is.

    Where a type of Python says all that the schema says, the decoder checks while it decodes; else the validator looks
    at what was decoded.

    :param schema: one in which problems() finds nothing
    """
    if not _is_plain(schema, schema):
        return lambda text: False
    fitting = _type_of(schema, schema)
    decode = msgspec.json.Decoder(Any if fitting is None else fitting).decode
    valid = _validator(schema) if fitting is None else None

    def fits(text: bytes) -> bool:
        try:
            value = decode(text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        return valid is None or valid(value)

    return fits


def _validator(schema: Schema) -> Callable[[Any], bool]:
    bounded = deepcopy(schema)
    for part in walk(bounded):
        part |= {"minimum": INT64.start, "maximum": INT64.stop - 1}
    return jsonschema_rs.Draft202012Validator(bounded, validate_formats=True).is_valid


def _is_plain(schema: Schema, root: Schema) -> bool:
    """Whether every value that fits is as deep as the schema and stored as it is, but for the size of its numbers."""
    schema = without_null(resolve(schema, root), root)
    match kind_of(schema):
        case "array":
            return "items" in schema and _is_plain(schema["items"], root)
        case "object" if schema.get("properties"):
            closed = schema.get("additionalProperties") is False
            return closed and all(_is_plain(prop, root) for prop in schema["properties"].values())
        case "string":
            return schema.get("format") not in STORED_FORMATS
        case kind:
            return kind in ("integer", "number", "boolean")


def _type_of(schema: Schema, root: Schema) -> _Type | None:
    """The type whose values are those of a plain schema; None where no type says all of it."""
    if "$ref" in schema and _says(schema).keys() != {"$ref"}:
        return None
    says = _says(resolve(schema, root))
    if says.keys() == {"anyOf"} and len(says["anyOf"]) == 2:
        some, null = sorted(says["anyOf"], key=lambda option: kind_of(option) == "null")
        return _or_none(_type_of(some, root)) if _says(null) == {"type": "null"} else None
    kind = says.pop("type", None)
    if isinstance(kind, list):
        some_kinds = [name for name in kind if name != "null"]
        nullable = len(some_kinds) == 1 and "enum" not in says and "const" not in says
        return _or_none(_type_of({**says, "type": some_kinds[0]}, root)) if nullable else None
    if kind in _SCALARS and not says:
        return _SCALARS[kind]
    if kind in ("string", None) and len(says) == 1:
        return _word(says.get("enum", [says.get("const")]))
    if kind == "array" and says.keys() <= {"items", "minItems"}:
        return _list(_type_of(says["items"], root), says.get("minItems", 0))
    if kind == "object" and says.keys() <= {"additionalProperties", "properties", "required"}:
        return _struct({name: _type_of(prop, root) for name, prop in says["properties"].items()}, says)
    return None


def _says(schema: Schema) -> Schema:
    """What of the schema bears on the values."""
    return {keyword: value for keyword, value in schema.items() if keyword not in _SAYS_NOTHING}


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
    # Any text may be a property's name, and no name of Python's.
    fields: list[Any] = [
        (f"field_{number}", some) if name in required else (f"field_{number}", some | msgspec.UnsetType, msgspec.UNSET)
        for number, (name, some) in enumerate(types.items())
    ]
    rename = {f"field_{number}": name for number, name in enumerate(types)}
    try:
        return msgspec.defstruct(
            "Answer", fields, rename=rename, forbid_unknown_fields=True, kw_only=True, gc=False, frozen=True
        )
    except ValueError:  # a name that msgspec does not take, with a quotation mark in it, say
        return None
