"""
The subset of JSON Schema that the API accepts for structured outputs: what it refuses, and how to read the rest.

Source: docs of structured outputs, 2026-10-08 (platform.claude.com/docs/en/build-with-claude/structured-outputs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from include.enrichment.names import sibling_problems

Schema = dict[str, Any]
#: Where a mistake is, as the keys from the root down.
Path = tuple[str | int, ...]

_SCALAR_KEYWORDS = {"const", "default", "description", "enum", "format", "pattern", "title", "type"}
_SHAPE_KEYWORDS = {"additionalProperties", "allOf", "anyOf", "items", "minItems", "properties", "required"}
_KEYWORDS = _SCALAR_KEYWORDS | _SHAPE_KEYWORDS | {"$defs", "$ref", "$schema", "definitions"}
_FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}
_MAX_OPTIONAL = 24
_MAX_UNIONS = 16
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UNSUPPORTED_PATTERN = re.compile(r"\\[1-9bB]|\(\?[=!<]")


def problems(schema: object) -> Iterator[tuple[Path, str]]:
    """Each place where ``schema`` is not one that the API accepts and a table can be made of: the path and the fact."""
    if not isinstance(schema, dict):
        yield (), "must be a JSON object"
        return
    if schema.get("$schema", _DIALECT) != _DIALECT:
        yield ("$schema",), f"must be {_DIALECT}, or be left out"
        return
    try:
        jsonschema_rs.meta.validate(schema)
        unsupported = list(_unsupported(schema, ()))
        yield from unsupported
        if unsupported:
            return
        jsonschema_rs.Draft202012Validator(schema)
        root = resolve(schema, schema)
        recursive = _recursive(schema, schema, ())
    except jsonschema_rs.ValidationError as error:
        yield tuple(error.instance_path), f"is not a valid JSON Schema: {error.message}"
        return
    except (jsonschema_rs.ReferencingError, ValueError, LookupError) as error:
        yield (), f"is not a valid JSON Schema: {str(error).splitlines()[0]}"
        return
    if kind_of(root) != "object" or not root.get("properties"):
        yield (), 'must be {"type": "object"} with at least one property: each property becomes a column'
        return
    for name, prop in root["properties"].items():
        if not prop.get("description"):
            yield ("properties", name), f"{name!r} has no description: Claude and the table's readers go by it"
    yield from _too_many(schema)
    if recursive:
        yield (), "refers to itself, which the API does not accept"


def _unsupported(schema: object, path: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(schema, dict):
        yield path, f"must be a schema (an object), not {schema!r}"
        return
    for keyword in schema:
        if keyword not in _KEYWORDS:
            yield (*path, keyword), f"{keyword!r} is refused by the API: leave it out and say it in the description"
    is_object = "object" in _types(schema) or "additionalProperties" in schema
    if is_object and schema.get("additionalProperties") is not False:
        yield path, 'needs "additionalProperties": false, as the API demands of every object'
    if (fmt := schema.get("format")) is not None and fmt not in _FORMATS:
        yield (*path, "format"), f"format {fmt!r} is refused by the API, which knows {', '.join(sorted(_FORMATS))}"
    if schema.get("minItems", 0) not in (0, 1):
        yield (*path, "minItems"), "minItems may be 0 or 1 only: say the number in the description"
    for keyword, values in (("enum", schema.get("enum", [None])), ("const", [schema.get("const")])):
        if not values or any(isinstance(value, dict | list) for value in values):
            yield (*path, keyword), f"{keyword} may hold scalars only, and at least one"
    for name in schema.get("required", ()) if "properties" in schema else ():
        if name not in schema["properties"]:
            yield (*path, "required"), f"{name!r} is required, but is none of the properties: no answer could fit"
    yield from _bad_pattern(schema, path)
    for name, fact in sibling_problems(schema.get("properties", ())):
        yield (*path, "properties", name), f"{fact}: rename the property"
    for keyword in ("properties", "$defs", "definitions"):
        for name, child in schema.get(keyword, {}).items():
            yield from _unsupported(child, (*path, keyword, name))
    for keyword in ("anyOf", "allOf"):
        for number, child in enumerate(schema.get(keyword, ())):
            yield from _unsupported(child, (*path, keyword, number))
    if "items" in schema:
        yield from _unsupported(schema["items"], (*path, "items"))
    if not str(schema.get("$ref", "#")).startswith("#"):
        yield (*path, "$ref"), "must point into this file (#/$defs/…)"


def _bad_pattern(schema: Schema, path: Path) -> Iterator[tuple[Path, str]]:
    if (pattern := schema.get("pattern")) is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        yield (*path, "pattern"), f"is not a regular expression: {error}"
        return
    if _UNSUPPORTED_PATTERN.search(pattern):
        yield (*path, "pattern"), "back-references, lookarounds and \\b are refused by the API"


def _too_many(schema: Schema) -> Iterator[tuple[Path, str]]:
    nodes = list(walk(schema))
    optional = sum(len({*node.get("properties", ())} - {*node.get("required", ())}) for node in nodes)
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
    if optional > _MAX_OPTIONAL:
        yield (), f"has {optional} optional properties, the API takes {_MAX_OPTIONAL}: make some of them required"
    if unions > _MAX_UNIONS:
        yield (), f"has {unions} properties of several types (every nullable one counts), the API takes {_MAX_UNIONS}"


def walk(schema: Schema) -> Iterator[Schema]:
    """The schema and all schemas within it."""
    yield schema
    for keyword in ("properties", "$defs", "definitions"):
        for child in schema.get(keyword, {}).values():
            yield from walk(child)
    for keyword in ("anyOf", "allOf"):
        for child in schema.get(keyword, ()):
            yield from walk(child)
    if "items" in schema:
        yield from walk(schema["items"])


def _recursive(schema: Schema, root: Schema, seen: tuple[str, ...]) -> bool:
    if (ref := schema.get("$ref")) is not None:
        return ref in seen or _recursive(resolve(schema, root), root, (*seen, ref))
    children = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("allOf", ())]
    children += [schema["items"]] if "items" in schema else []
    return any(_recursive(child, root, seen) for child in children)


def resolve(schema: Schema, root: Schema) -> Schema:
    """``schema`` itself, or what its $ref or its only allOf member stands for."""
    hops = 0
    while True:
        if (ref := schema.get("$ref")) is not None:
            target: Any = root
            for step in ref.removeprefix("#").strip("/").split("/") if ref != "#" else ():
                name = step.replace("~1", "/").replace("~0", "~")
                target = target[int(name)] if isinstance(target, list) else target[name]
            if not isinstance(target, dict):
                raise ValueError(f"{ref} is no schema")
            schema = target
        elif len(schema.get("allOf", ())) == 1:
            only = schema["allOf"][0]
            around = {key: value for key, value in schema.items() if key != "allOf"}
            schema = only if "$ref" in only else {**around, **only}
        else:
            return schema
        hops += 1
        if hops > 100:
            raise ValueError("a $ref leads back to itself")


def without_null(schema: Schema, root: Schema) -> Schema:
    """The one alternative beside null, where ``schema`` is a nullable one; what stands around it goes before it."""
    options = [resolve(option, root) for option in schema.get("anyOf", ())]
    some = [option for option in options if kind_of(option) != "null"]
    if options and len(some) == 1:
        around = {key: value for key, value in schema.items() if key != "anyOf"}
        return without_null({**some[0], **around}, root)
    if isinstance(schema.get("type"), list):
        kinds = [kind for kind in schema["type"] if kind != "null"]
        return {**schema, "type": kinds[0] if len(kinds) == 1 else kinds}
    return schema


def _types(schema: Schema) -> list[Any]:
    named = schema.get("type", [])
    return named if isinstance(named, list) else [named]


def kind_of(schema: Schema) -> str | None:
    """The JSON type of the values, None where there are several."""
    if isinstance(schema.get("type"), str):
        return str(schema["type"])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    kinds = {_KINDS.get(type(value), "object") for value in values if value is not None}
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 and "type" not in schema else None


_KINDS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
