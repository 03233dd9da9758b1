"""
The part of JSON Schema that structured outputs accept, and the errors for the rest.

``check`` checks a schema as the API does before it compiles it. It raises RequestRejected with a message that names
the path. schema_values.py makes values for every schema that passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from include.emulator.answers.patterns import PatternError, compile_pattern
from include.emulator.api_errors import RequestRejected

Schema = Mapping[str, Any]

MAX_OPTIONAL_PROPERTIES = 24
MAX_UNIONS = 16
MAX_REPEATS = 1000  # of a pattern's {n,m}: the API rejects "large" ones, and the documentation gives no figure
FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})

_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$schema", "$comment", "$id"})
_ANYWHERE = _ANNOTATIONS | {"type", "enum", "const", "anyOf", "allOf", "$ref", "$defs", "definitions"}
_BY_TYPE = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems"}),
    "string": frozenset({"format", "pattern"}),
}
_TYPED_KEYWORDS = frozenset().union(*_BY_TYPE.values())
_WHERE = "output_config.format.schema"


def check(schema: object, where: str = _WHERE) -> None:
    """Check that the whole schema is within the supported subset and its limits. Raises RequestRejected."""
    _reject_recursion(schema, where)
    optional = unions = 0
    for path, node in _nodes(schema, where):
        _check_node(path, node, schema)
        properties = node.get("properties", {})
        optional += len(set(properties) - set(node.get("required", ())))
        unions += "anyOf" in node or isinstance(node.get("type"), list)
    if optional > MAX_OPTIONAL_PROPERTIES:
        raise RequestRejected(
            f"{where}: {optional} optional properties; at most {MAX_OPTIONAL_PROPERTIES} are supported"
        )
    if unions > MAX_UNIONS:
        raise RequestRejected(f"{where}: {unions} union-typed properties; at most {MAX_UNIONS} are supported")


def types_of(node: Schema) -> tuple[str, ...]:
    """Return the types that a schema names; empty if it names none."""
    named = node.get("type", [])
    return tuple(map(str, named)) if isinstance(named, list) else (str(named),)


def resolve(reference: str, root: Schema) -> Schema:
    """Return the target of a local reference. Raises RequestRejected if it is not local or has no target."""
    if not reference.startswith("#"):
        raise RequestRejected(f"{_WHERE}: external $ref {reference!r} is not supported")
    for spelled in (unquote(reference), reference):
        if (found := _follow(root, spelled.split("/")[1:])) is not None:
            return found
    raise RequestRejected(f"{_WHERE}: $ref {reference!r} does not resolve")


def _follow(node: Any, steps: Sequence[str]) -> Schema | None:
    """Follow the steps of a JSON Pointer to a schema; names in it may be escaped or not."""
    if not steps:
        return node if isinstance(node, Mapping) else None
    if isinstance(node, list):
        node = {str(number): child for number, child in enumerate(node)}
    if not isinstance(node, Mapping):
        return None
    for count in range(1, len(steps) + 1):
        name = "/".join(steps[:count])
        for key in (name.replace("~1", "/").replace("~0", "~"), name):
            if key in node and (found := _follow(node[key], steps[count:])) is not None:
                return found
    return None


def _children(node: Schema) -> Iterator[tuple[str, object]]:
    for keyword in ("properties", "$defs", "definitions"):
        inner = node.get(keyword, {})
        if not isinstance(inner, Mapping):
            raise RequestRejected(f"{_WHERE}: '{keyword}' must be an object")
        yield from ((f"{keyword}.{name}", child) for name, child in inner.items())
    for keyword in ("anyOf", "allOf"):
        inner = node.get(keyword, [])
        if keyword in node and (not isinstance(inner, list) or not inner):
            raise RequestRejected(f"{_WHERE}: '{keyword}' must be a non-empty array")
        yield from ((f"{keyword}.{index}", child) for index, child in enumerate(inner))
    if "items" in node:
        yield "items", node["items"]


def _nodes(schema: object, path: str) -> Iterator[tuple[str, Schema]]:
    if not isinstance(schema, Mapping):
        raise RequestRejected(f"{path}: a schema must be an object")
    yield path, schema
    for name, child in _children(schema):
        yield from _nodes(child, f"{path}.{name}")


def _check_node(path: str, node: Schema, root: object) -> None:
    types = types_of(node)
    if unknown := [name for name in types if name not in _TYPES]:
        raise RequestRejected(f"{path}: type {unknown[0]!r} is not supported")
    allowed = _ANYWHERE.union(*(_BY_TYPE.get(name, frozenset()) for name in types))
    if not types:
        allowed = allowed | _TYPED_KEYWORDS
    if extra := sorted(set(node) - allowed):
        kind = f"For '{types[0]}' type, " if types else ""
        word = "property" if len(extra) == 1 else "properties"
        verb = "is" if len(extra) == 1 else "are"
        raise RequestRejected(f"{path}: {kind}{word} {', '.join(extra)} {verb} not supported")
    if "object" in types or "properties" in node:
        _check_object(path, node)
    if "array" in types:
        _check_array(path, node)
    _check_values(path, node)
    _check_string(path, node)
    if any(isinstance(part, Mapping) and "$ref" in part for part in node.get("allOf", ())):
        raise RequestRejected(f"{path}: allOf with $ref is not supported")
    if "$ref" in node and isinstance(root, Mapping):
        resolve(str(node["$ref"]), root)


def _check_object(path: str, node: Schema) -> None:
    if node.get("additionalProperties") is not False:
        raise RequestRejected(f"{path}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    required = node.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise RequestRejected(f"{path}: 'required' must be an array of names")
    if missing := [name for name in required if name not in node.get("properties", {})]:
        raise RequestRejected(f"{path}: required property {missing[0]!r} is not defined in properties")


def _check_array(path: str, node: Schema) -> None:
    if node.get("minItems", 0) not in (0, 1):
        raise RequestRejected(f"{path}: For 'array' type, 'minItems' values other than 0 or 1 are not supported")


def _check_values(path: str, node: Schema) -> None:
    values = node.get("enum", ["enum"])
    if not isinstance(values, list) or not values:
        raise RequestRejected(f"{path}: 'enum' must be a non-empty array")
    if any(isinstance(value, (dict, list)) for value in (*values, node.get("const"))):
        raise RequestRejected(f"{path}: enum and const values must be strings, numbers, booleans or null")


def _check_string(path: str, node: Schema) -> None:
    if "format" in node and str(node["format"]) not in FORMATS:
        raise RequestRejected(f"{path}: For 'string' type, format {node['format']!r} is not supported")
    if "pattern" not in node:
        return
    pattern = str(node["pattern"])
    if any(
        int(number) > MAX_REPEATS
        for bounds in re.findall(r"{([\d,]+)}", pattern)
        for number in bounds.split(",")
        if number
    ):
        raise RequestRejected(f"{path}: pattern {pattern!r} repeats too often")
    try:
        compile_pattern(pattern)
    except PatternError as error:
        raise RequestRejected(f"{path}: {error}") from error


def _reject_recursion(root: object, where: str) -> None:
    def visit(node: object, inside: tuple[str, ...]) -> None:
        if not isinstance(node, Mapping) or not isinstance(root, Mapping):
            return
        if "$ref" in node:
            reference = str(node["$ref"])
            if reference in inside or reference == "#":
                raise RequestRejected(f"{where}: recursive schemas are not supported ({reference})")
            visit(resolve(reference, root), (*inside, reference))
        for name, child in _children(node):
            # A definition counts where it is referenced, not where it is defined.
            if not name.startswith(("$defs.", "definitions.")):
                visit(child, inside)

    visit(root, ())
    for keyword in ("$defs", "definitions"):
        inner = root.get(keyword, {}) if isinstance(root, Mapping) else {}
        for name in inner if isinstance(inner, Mapping) else ():
            visit(inner[name], (f"#/{keyword}/{name}",))
