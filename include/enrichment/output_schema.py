"""The schema of a pipeline's output: how an answer is checked against it, and which Arrow types it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import UTC, date, datetime
from typing import Any

import jsonschema_rs
import msgspec
import pyarrow as pa

from include.enrichment.schema_subset import Schema, kind_of, resolve, walk, without_null

#: Nobody's output is nested like this; from 255 levels on the validator gives up, and the JSON decoder later.
_MAX_DEPTH = 100
_INT64 = range(-(2**63), 2**63)
_Converter = Callable[[Any], Any]
_TOO_DEEP = f"nested too deeply: more than {_MAX_DEPTH} levels"


class OutputSchema:
    """
    A checked output schema.

    Make one only of a schema in which problems() finds nothing.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._root = resolve(schema, schema)
        self._validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        self._to_row = _object_converter(self._root["properties"], schema)
        self._surely_fits = _surely_fits(schema)

    @property
    def fields(self) -> list[pa.Field]:
        """One Arrow field for each property, in the schema's order. All are nullable: a property may be optional."""
        return [pa.field(name, arrow_type(prop, self._schema)) for name, prop in self._root["properties"].items()]

    def quick_output(self, text: bytes) -> bytes | None:
        """
        The output in ``text`` as compact JSON, if it is plain to see that it fits: so it is with nearly all answers.
        Of any other check() has to say what it is.
        """
        try:
            value = msgspec.json.decode(text)
            return msgspec.json.encode(value) if self._surely_fits(value) else None
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None

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
            self._to_row(value)
        except (ValueError, OverflowError) as error:
            return None, f"not storable: {error}"
        return msgspec.json.encode(value).decode(), None

    def columns(self, outputs: Sequence[str]) -> list[pa.Array]:
        """The typed columns of ``outputs``, each one a text that check() has given; in the order of fields()."""
        rows = [self._to_row(msgspec.json.decode(output)) for output in outputs]
        return [pa.array([row.get(field.name) for row in rows], field.type) for field in self.fields]


def arrow_type(schema: Schema, root: Schema) -> pa.DataType:
    """
    The Arrow type of the values that ``schema`` allows.

    Enums are strings, arrays are lists, objects are structs, ``date`` and ``date-time`` become dates and UTC timestamps
    (microseconds). What has no single Arrow type (a union of several types, an object without properties) is kept as
    JSON text.
    """
    schema = without_null(resolve(schema, root), root)
    kind = kind_of(schema)
    if kind == "array" and "items" in schema:
        return pa.list_(arrow_type(schema["items"], root))
    if kind == "object" and schema.get("properties"):
        return pa.struct([pa.field(name, arrow_type(prop, root)) for name, prop in schema["properties"].items()])
    if kind == "string":
        formats = {"date": pa.date32(), "date-time": pa.timestamp("us", "UTC")}
        return formats.get(schema.get("format", ""), pa.string())
    scalars = {"integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
    return scalars.get(kind or "", pa.string())


def _surely_fits(schema: Schema) -> Callable[[Any], bool]:
    """
    Whether a value surely fits schema and Arrow types: so do nearly all answers, and one look of the validator tells.
    Of any other value it tells nothing.
    """
    if not _is_plain(schema, schema):
        return lambda value: False
    bounded = deepcopy(schema)
    for part in walk(bounded):
        part |= {"minimum": _INT64.start, "maximum": _INT64.stop - 1}
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
            return schema.get("format") not in _BY_FORMAT
        case kind:
            return kind in ("integer", "number", "boolean")


def _fix_case(value: Any, schema: Schema, root: Schema) -> Any:
    schema = without_null(resolve(schema, root), root)
    if isinstance(value, str):
        options = schema.get("enum", [schema["const"]] if "const" in schema else [])
        same = [option for option in options if isinstance(option, str) and option.lower() == value.lower()]
        return value if value in options or len(same) != 1 else same[0]
    return _map_children(value, schema, lambda child, child_schema: _fix_case(child, child_schema, root))


def _converter(schema: Schema, root: Schema) -> _Converter | None:
    """
    What makes of a value, but not of null, what pyarrow takes for arrow_type(schema); None where it takes it as it is.

    Made once for a schema, as it is called for each answer. It raises ValueError for what does not fit.
    """
    schema = without_null(resolve(schema, root), root)
    kind = kind_of(schema)
    if kind == "array" and "items" in schema:
        return _array_converter(schema["items"], root)
    if kind == "object" and schema.get("properties"):
        return _object_converter(schema["properties"], root)
    if kind == "string":
        return _BY_FORMAT.get(schema.get("format", ""))
    return _BY_KIND.get(kind or "", _as_json)


def _array_converter(items: Schema, root: Schema) -> _Converter | None:
    convert = _converter(items, root)
    if convert is None:
        return None
    return lambda values: [value if value is None else convert(value) for value in values]


def _object_converter(properties: Schema, root: Schema) -> _Converter:
    found = {name: _converter(prop, root) for name, prop in properties.items()}
    converters = {name: convert for name, convert in found.items() if convert is not None}

    def convert_object(value: dict[str, Any]) -> dict[str, Any]:
        changed = {name: convert(value[name]) for name, convert in converters.items() if value.get(name) is not None}
        return {**value, **changed} if changed else value

    return convert_object


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
    if int(value) not in _INT64:
        raise ValueError(f"{value} does not fit a 64-bit integer")
    return int(value)


def _utc(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_BY_FORMAT: dict[str, _Converter] = {"date": date.fromisoformat, "date-time": _utc}
_BY_KIND: dict[str, _Converter | None] = {"integer": _int64, "number": float, "boolean": None}
