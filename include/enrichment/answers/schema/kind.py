"""The common properties of all values of a schema, and with them the type of a union."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from include.enrichment.answers.schema.json_schema import References, Schema, types_of


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    The common properties of all values of a schema except null. A kind may allow more than the schema, never less.

    :param type: their JSON type; None for several types or any
    :param format: of all strings among them
    :param named: the values of an enum or a const
    :param free: whether strings may have other values than the named ones, and no format
    :param keys: the number of keys in each value, including those of all objects in it; None if it varies
    :param items: the kind of array items; None if they may be anything
    :param properties: the kinds of object properties, by name
    """

    type: str | None = None
    format: str | None = None
    named: Sequence[Any] = ()
    free: bool = True
    keys: int | None = None
    items: Kind | None = None
    properties: Mapping[str, Kind] = field(default_factory=dict)


def kind_of(schema: Schema, root: Schema) -> Kind:
    """
    Return the kind of the values of ``schema``.

    A union (``anyOf``, a list of types, an enum) has a type if all alternatives have the same type. Null does not
    count, and integers next to numbers are numbers. The kinds of arrays are merged by their items. Objects are merged
    into one with the properties of all.
    """
    references = References(root)

    def read(schema: Schema) -> Kind:
        kinds = [_own(schema, read)]
        if "$ref" in schema:
            kinds.append(read(references.schema(schema["$ref"])))
        kinds += map(read, schema.get("allOf", ()))
        if "anyOf" in schema:
            kinds.append(_either(list(map(read, schema["anyOf"]))))
        return reduce(_both, kinds)

    return read(schema)


def _own(schema: Schema, read: Callable[[Schema], Kind]) -> Kind:
    """Return the kind by the schema's own keywords, without $ref, anyOf and allOf."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    types = types_of(schema) or list(dict.fromkeys(map(_type_of, values)))
    # A type without any value in the enum does not count.
    types = [name for name in types if any(_is_a(value, name) for value in values)] or types
    return _either([_of_type(name, schema, values, read) for name in types or (None,)])


def _of_type(name: str | None, schema: Schema, values: Sequence[Any], read: Callable[[Schema], Kind]) -> Kind:
    items = read(schema["items"]) if name in ("array", None) and "items" in schema else None
    inner = schema.get("properties", {}) if name in ("object", None) else {}
    properties = {key: read(prop) for key, prop in inner.items()}
    return Kind(
        type=name,
        format=schema.get("format") if name in ("string", None) else None,
        named=[value for value in values if name is not None and _is_a(value, name)],
        free=name in ("string", None) and not values and "format" not in schema,
        keys=_keys(name, schema, items, properties),
        items=items,
        properties=properties,
    )


def _keys(name: str | None, schema: Schema, items: Kind | None, properties: Mapping[str, Kind]) -> int | None:
    if name == "array":
        return 0 if items and items.keys == 0 else None
    if name == "object":
        counts = [kind.keys for kind in properties.values() if kind.keys is not None]
        always = properties.keys() <= {*schema.get("required", ())} and len(counts) == len(properties)
        return len(counts) + sum(counts) if always else None
    return None if name is None else 0


def _either(kinds: Sequence[Kind]) -> Kind:
    """Return the kind of values that are of any of the kinds."""
    some = [kind for kind in kinds if kind.type != "null"] or kinds[:1]
    items = [kind.items for kind in some if kind.type == "array" or kind.items]
    of_items = [kind for kind in items if kind is not None]
    names = dict.fromkeys(name for kind in some for name in kind.properties)
    types = {kind.type for kind in some}
    return Kind(
        type="number" if types == {"integer", "number"} else _only(types),
        format=_only({kind.format for kind in some}),
        named=[value for kind in some for value in kind.named],
        free=any(kind.free for kind in some),
        keys=_only({kind.keys for kind in kinds}),
        items=_either(of_items) if of_items and len(of_items) == len(items) else None,
        properties={
            name: _either([kind.properties[name] for kind in some if name in kind.properties]) for name in names
        },
    )


def _both(one: Kind, other: Kind) -> Kind:
    """Return the kind of values that are of both kinds."""
    shared = one.properties.keys() & other.properties.keys()
    return Kind(
        type=_narrower(one.type, other.type),
        format=one.format or other.format,
        named=[value for value in one.named if value in other.named or not other.named] or other.named,
        free=one.free and other.free,
        keys=other.keys if one.keys is None else one.keys,
        items=_both(one.items, other.items) if one.items and other.items else one.items or other.items,
        properties={
            **one.properties,
            **other.properties,
            **{name: _both(one.properties[name], other.properties[name]) for name in shared},
        },
    )


def _narrower(one: str | None, other: str | None) -> str | None:
    if one in (None, "null"):
        return other or one
    return "integer" if (one, other) == ("number", "integer") else one


def _only(found: set[Any]) -> Any:
    """Return the only member of the set; None if there are several."""
    return next(iter(found)) if len(found) == 1 else None


def _type_of(value: object) -> str:
    return _TYPES.get(type(value), "null")


def _is_a(value: Any, name: str) -> bool:
    """Return whether a scalar is of a JSON Schema type: 1.0 is an integer, and every integer is a number."""
    kind = _type_of(value)
    if {kind, name} == {"integer", "number"}:
        return name == "number" or float(value).is_integer()
    return kind == name


_TYPES: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
