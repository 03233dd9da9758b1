"""
The schema of a pipeline's output: what the API accepts of JSON Schema, how an answer is checked against it, and which
Arrow types it gives.

The API's subset of JSON Schema: docs of structured outputs, 2026-10-08
(platform.claude.com/docs/en/build-with-claude/structured-outputs).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import jsonschema_rs
import msgspec
import pyarrow as pa

Schema = dict[str, Any]
#: Where a mistake is, as the keys from the root down.
Path = tuple[str | int, ...]

_SCALAR_KEYWORDS = {"const", "default", "description", "enum", "format", "pattern", "title", "type"}
_SHAPE_KEYWORDS = {"additionalProperties", "allOf", "anyOf", "items", "minItems", "properties", "required"}
_KEYWORDS = _SCALAR_KEYWORDS | _SHAPE_KEYWORDS | {"$defs", "$ref", "$schema", "definitions"}
_FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}
_MAX_OPTIONAL = 24
_MAX_UNIONS = 16
#: Nobody's output is nested like this; from 255 levels on the validator gives up, and the JSON decoder later.
_MAX_DEPTH = 100
_TOO_DEEP = f"nested too deeply: more than {_MAX_DEPTH} levels"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UNSUPPORTED_PATTERN = re.compile(r"\\[1-9bB]|\(\?[=!<]")


class OutputSchema:
    """
    A checked output schema.

    Make one only of a schema in which problems() finds nothing.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._root = _resolve(schema, schema)
        self._validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)

    @property
    def fields(self) -> list[pa.Field]:
        """One Arrow field for each property, in the schema's order. All are nullable: a property may be optional."""
        return [pa.field(name, arrow_type(prop, self._schema)) for name, prop in self._root["properties"].items()]

    def check(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """
        The output in ``text`` as compact JSON, or the reason why it is unusable: exactly one of the two is None.

        Enum and const values that differ from the schema in capitalisation only are put right first: the API does not
        promise it.
        """
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            return None, f"not JSON: {error}"
        except RecursionError:
            return None, _TOO_DEEP
        if text.count("[") + text.count("{") > _MAX_DEPTH and _deeper(value, _MAX_DEPTH):
            return None, _TOO_DEEP
        value = _fix_case(value, self._schema, self._schema)
        if mistake := next(iter(self._validator.iter_errors(value)), None):
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in mistake.instance_path)
            return None, f"violates the schema: ${where}: {mistake.message}"
        try:
            self._row(value)
        except (ValueError, OverflowError) as error:
            return None, f"not storable: {error}"
        return msgspec.json.encode(value).decode(), None

    def columns(self, outputs: Sequence[str]) -> list[pa.Array]:
        """The typed columns of ``outputs``, each one a text that check() has given; in the order of fields()."""
        rows = [self._row(msgspec.json.decode(output)) for output in outputs]
        return [pa.array([row.get(field.name) for row in rows], field.type) for field in self.fields]

    def _row(self, value: Any) -> dict[str, Any]:
        row = _to_arrow_value(value, self._schema, self._schema, as_json=False)
        assert isinstance(row, dict)
        return row


def arrow_type(schema: Schema, root: Schema) -> pa.DataType:
    """
    The Arrow type of the values that ``schema`` allows.

    Enums are strings, arrays are lists, objects are structs, ``date`` and ``date-time`` become dates and UTC timestamps
    (microseconds). What has no single Arrow type (a union of several types, an object without properties) is kept as
    JSON text.
    """
    schema = _without_null(_resolve(schema, root), root)
    kind = _kind(schema)
    if kind == "array" and "items" in schema:
        return pa.list_(arrow_type(schema["items"], root))
    if kind == "object" and schema.get("properties"):
        return pa.struct([pa.field(name, arrow_type(prop, root)) for name, prop in schema["properties"].items()])
    if kind == "string":
        formats = {"date": pa.date32(), "date-time": pa.timestamp("us", "UTC")}
        return formats.get(schema.get("format", ""), pa.string())
    scalars = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    return scalars.get(kind or "", pa.string())


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
        root = _resolve(schema, schema)
        recursive = _recursive(schema, schema, ())
    except jsonschema_rs.ValidationError as error:
        yield tuple(error.instance_path), f"is not a valid JSON Schema: {error.message}"
        return
    except (jsonschema_rs.ReferencingError, ValueError, LookupError) as error:
        yield (), f"is not a valid JSON Schema: {str(error).splitlines()[0]}"
        return
    if _kind(root) != "object" or not root.get("properties"):
        yield (), 'must be {"type": "object"} with at least one property: each property becomes a column'
        return
    for name, prop in root["properties"].items():
        if name.startswith("_"):
            yield (
                ("properties", name),
                f"{name!r} begins with an underscore, which is kept for our own columns (_request_id, …)",
            )
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
    nodes = list(_walk(schema))
    optional = sum(len({*node.get("properties", ())} - {*node.get("required", ())}) for node in nodes)
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
    if optional > _MAX_OPTIONAL:
        yield (), f"has {optional} optional properties, the API takes {_MAX_OPTIONAL}: make some of them required"
    if unions > _MAX_UNIONS:
        yield (), f"has {unions} properties of several types (every nullable one counts), the API takes {_MAX_UNIONS}"


def _walk(schema: Schema) -> Iterator[Schema]:
    yield schema
    for keyword in ("properties", "$defs", "definitions"):
        for child in schema.get(keyword, {}).values():
            yield from _walk(child)
    for keyword in ("anyOf", "allOf"):
        for child in schema.get(keyword, ()):
            yield from _walk(child)
    if "items" in schema:
        yield from _walk(schema["items"])


def _recursive(schema: Schema, root: Schema, seen: tuple[str, ...]) -> bool:
    if (ref := schema.get("$ref")) is not None:
        return ref in seen or _recursive(_resolve(schema, root), root, (*seen, ref))
    children = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("allOf", ())]
    children += [schema["items"]] if "items" in schema else []
    return any(_recursive(child, root, seen) for child in children)


def _resolve(schema: Schema, root: Schema) -> Schema:
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


def _without_null(schema: Schema, root: Schema) -> Schema:
    """The one alternative beside null, where ``schema`` is a nullable one; what stands around it goes before it."""
    options = [_resolve(option, root) for option in schema.get("anyOf", ())]
    some = [option for option in options if _kind(option) != "null"]
    if options and len(some) == 1:
        around = {key: value for key, value in schema.items() if key != "anyOf"}
        return _without_null({**some[0], **around}, root)
    if isinstance(schema.get("type"), list):
        kinds = [kind for kind in schema["type"] if kind != "null"]
        return {**schema, "type": kinds[0] if len(kinds) == 1 else kinds}
    return schema


def _types(schema: Schema) -> list[Any]:
    named = schema.get("type", [])
    return named if isinstance(named, list) else [named]


def _kind(schema: Schema) -> str | None:
    """The JSON type of the values, None where there are several."""
    if isinstance(schema.get("type"), str):
        return str(schema["type"])
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    kinds = {_KINDS.get(type(value), "object") for value in values if value is not None}
    if kinds == {"integer", "number"}:
        return "number"
    return kinds.pop() if len(kinds) == 1 and "type" not in schema else None


_KINDS: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _fix_case(value: Any, schema: Schema, root: Schema) -> Any:
    schema = _without_null(_resolve(schema, root), root)
    if isinstance(value, str):
        options = schema.get("enum", [schema["const"]] if "const" in schema else [])
        same = [option for option in options if isinstance(option, str) and option.lower() == value.lower()]
        return value if value in options or len(same) != 1 else same[0]
    return _map_children(value, schema, lambda child, child_schema: _fix_case(child, child_schema, root))


def _to_arrow_value(value: Any, schema: Schema, root: Schema, *, as_json: bool = True) -> Any:
    """``value`` as pyarrow takes it for arrow_type(schema). Raises ValueError where it does not fit."""
    if value is None:
        return None
    schema = _without_null(_resolve(schema, root), root)
    kind = _kind(schema)
    if kind in ("array", "object"):
        typed = "items" in schema if kind == "array" else bool(schema.get("properties"))
        if typed or not as_json:
            return _map_children(value, schema, lambda child, child_schema: _to_arrow_value(child, child_schema, root))
    converter = _CONVERTERS.get((kind or "", schema.get("format", "") if kind == "string" else ""))
    if converter is None:
        return value if kind == "string" else msgspec.json.encode(value).decode()
    return converter(value)


def _deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects stand within one another more than ``levels`` times."""
    nodes = [value]
    for _ in range(levels + 1):
        containers = [node for node in nodes if isinstance(node, list | dict)]
        nodes = [child for node in containers for child in (node.values() if isinstance(node, dict) else node)]
        if not containers:
            return False
    return True


def _map_children(value: Any, schema: Schema, change: Callable[[Any, Schema], Any]) -> Any:
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [change(item, schema["items"]) for item in value]
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return {name: change(item, known[name]) if name in known else item for name, item in value.items()}
    return value


def _int64(value: Any) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit a 64-bit integer")
    return int(value)


def _utc(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


_CONVERTERS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("integer", ""): _int64,
    ("number", ""): float,
    ("boolean", ""): bool,
    ("string", "date"): date.fromisoformat,
    ("string", "date-time"): _utc,
}
