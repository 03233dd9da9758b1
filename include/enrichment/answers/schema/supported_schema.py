"""
Checks a schema against the subset of JSON Schema that the API accepts for structured outputs and a table can hold.

Source: docs of structured outputs, 2026-10-08 (platform.claude.com/docs/en/build-with-claude/structured-outputs).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import jsonschema_rs

from include.enrichment.answers.schema.column import storage_problems
from include.enrichment.answers.schema.column_names import sibling_problems
from include.enrichment.answers.schema.json_schema import Path, References, Schema, types_of, walk, with_uri_refs
from include.enrichment.answers.schema.kind import kind_of
from include.enrichment.errors import nearest

_SCALAR_KEYWORDS = {"const", "default", "description", "enum", "format", "pattern", "title", "type"}
_SHAPE_KEYWORDS = {"additionalProperties", "allOf", "anyOf", "items", "minItems", "properties", "required"}
_KEYWORDS = _SCALAR_KEYWORDS | _SHAPE_KEYWORDS | {"$defs", "$ref", "$schema", "definitions"}
_FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_MAX_OPTIONAL = 24
_MAX_UNIONS = 16
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: The documented rule for top-level properties of tools. For outputs the rule is unknown (2026-11).
_SURE_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_UNSUPPORTED_PATTERN = re.compile(r"\\[1-9bB]|\(\?[=!<]")


def find_problems(schema: object) -> Iterator[tuple[Path, str]]:
    """Find each place that the API would reject or a table cannot hold: the path and the fact."""
    if not isinstance(schema, dict):
        yield (), "must be a JSON object"
        return
    if schema.get("$schema", _DIALECT) != _DIALECT:
        yield ("$schema",), f"must be {_DIALECT}, or be left out"
        return
    try:
        json.dumps(schema, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        yield (), f"contains the lone surrogate \\u{ord(error.object[error.start]):x}, which is not valid text"
        return
    except (ValueError, RecursionError) as error:  # a number like 1e400
        yield (), f"cannot be sent as JSON: {error}"
        return
    try:
        jsonschema_rs.meta.validate(schema)
        found = list(_unsupported(schema, ())) or list(_wrong_refs(schema))
        yield from found
        if found:
            return
        jsonschema_rs.Draft202012Validator(with_uri_refs(schema))
        columns = kind_of(schema, schema).properties
    except jsonschema_rs.ValidationError as error:
        path = tuple(error.instance_path)
        yield path, _wrong_type(path, error.instance) or f"is not a valid JSON Schema: {error.message}"
        return
    except (jsonschema_rs.ReferencingError, ValueError, RecursionError) as error:  # for example nested too deeply
        yield (), f"is not a valid JSON Schema: {str(error).splitlines()[0]}"
        return
    root = References(schema).resolve(schema)
    if root.get("type") != "object" or not root.get("properties"):
        yield (), 'must be {"type": "object"} with at least one property: each property becomes a column'
        return
    for name, prop in root["properties"].items():
        if not prop.get("description"):
            yield ("properties", name), f"{name!r} has no description: Claude and the table's readers need one"
    for name, kind in columns.items():
        for fact in dict.fromkeys(storage_problems(kind)):
            yield (
                ("properties", name),
                f"{fact}, so the column {name!r} cannot hold it: make it a string without a format",
            )
    yield from _too_many(schema)


def find_warnings(schema: Schema) -> Iterator[tuple[Path, str]]:
    """Find each place of a schema without problems that the API may still reject: the path and the fact."""
    for path, part in walk(schema):
        for name in part.get("properties", ()):
            if not _SURE_NAME.fullmatch(name):
                yield (
                    (*path, "properties", name),
                    f"the API may reject {name!r}: property names in the schema of a tool have 1 to 64 of the"
                    " characters a-z, A-Z, 0-9, _, . and -",
                )


def _wrong_refs(schema: Schema) -> Iterator[tuple[Path, str]]:
    references = References(schema)
    lost = [(path, ref) for path, part in walk(schema) if references.path(ref := part.get("$ref", "#")) is None]
    for path, ref in lost:
        near = nearest(ref, references.known)
        yield (*path, "$ref"), f"{ref!r} refers to no schema in this file{near or '.'}{_there_are(references)}"
    if not lost and (circle := references.circle()) is not None:
        yield circle, "refers back to itself, and the API accepts no recursive schema"


def _there_are(references: References) -> str:
    """Return the definitions that a $ref may name, as text."""
    defined = [
        ref for ref in references.known if ref.startswith(("#/$defs/", "#/definitions/")) and ref.count("/") == 2
    ]
    return f" Known: {', '.join(defined)}" if defined else " The file has no $defs: replace the $ref by the schema"


def _wrong_type(path: Path, named: object) -> str:
    """Return the message about an invalid ``type``; empty if something else is wrong."""
    names = named if isinstance(named, list) else [named]
    wrong = [name for name in names if name not in _TYPES]
    if not wrong or path[-1:] != ("type",) or path[-2:-1] in (("properties",), ("$defs",), ("definitions",)):
        return ""
    return f"{wrong[0]!r} is not a type{nearest(str(wrong[0]), _TYPES) or '.'} Types: {', '.join(_TYPES)}"


def _unsupported(schema: object, path: Path) -> Iterator[tuple[Path, str]]:
    if not isinstance(schema, dict):
        yield path, f"must be a schema (an object), not {schema!r}"
        return
    for keyword in schema:
        if keyword not in _KEYWORDS:
            yield (*path, keyword), f"the API rejects {keyword!r}: remove it and state the rule in the description"
    is_object = "object" in types_of(schema) or "additionalProperties" in schema
    if is_object and schema.get("additionalProperties") is not False:
        yield path, 'needs "additionalProperties": false, which the API requires for every object'
    if (fmt := schema.get("format")) is not None and fmt not in _FORMATS:
        yield (*path, "format"), f"the API rejects the format {fmt!r}. Formats: {', '.join(sorted(_FORMATS))}"
    if schema.get("minItems", 0) not in (0, 1):
        yield (*path, "minItems"), "minItems must be 0 or 1: state the number in the description"
    for keyword, values in (("enum", schema.get("enum", [None])), ("const", [schema.get("const")])):
        if not values or any(isinstance(value, dict | list) for value in values):
            yield (*path, keyword), f"{keyword} must have only scalars, and at least one"
    for name in schema.get("required", ()) if "properties" in schema else ():
        if name not in schema["properties"]:
            yield (*path, "required"), f"{name!r} is required, but is not a property: no answer could fit"
    yield from _bad_pattern(schema, path)
    for name, fact in sibling_problems(schema.get("properties", ())):
        yield (*path, "properties", name), f"{fact}: rename the property"
    for keyword in ("properties", "$defs", "definitions"):
        for name, child in schema.get(keyword, {}).items():
            yield from _unsupported(child, (*path, keyword, name))
    for keyword in ("anyOf", "allOf"):
        for number, child in enumerate(schema.get(keyword, ())):
            if keyword == "allOf" and isinstance(child, dict) and "$ref" in child:
                yield (*path, keyword, number), "the API rejects a $ref in allOf: replace allOf by the $ref"
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
        yield (*path, "pattern"), "the API rejects back-references, lookarounds and \\b"


def _too_many(schema: Schema) -> Iterator[tuple[Path, str]]:
    nodes = [node for _, node in walk(schema)]
    optional = sum(len({*node.get("properties", ())} - {*node.get("required", ())}) for node in nodes)
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
    if optional > _MAX_OPTIONAL:
        yield (), f"has {optional} optional properties, and the API allows {_MAX_OPTIONAL}: make some of them required"
    if unions > _MAX_UNIONS:
        yield (
            (),
            f"has {unions} properties of several types (including nullable ones), and the API allows {_MAX_UNIONS}",
        )
