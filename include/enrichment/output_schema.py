"""The schema of a pipeline's output: how an answer is checked against it, and which Arrow types it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

import jsonschema_rs
import msgspec
import pyarrow as pa

from include.enrichment.quick_look import INT64, quick_look
from include.enrichment.schema_subset import Schema, kind_of, resolve, without_null

#: Nobody's output is nested like this; from 255 levels on the validator gives up, and the JSON decoder later.
_MAX_DEPTH = 100
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
        #: Whether a text surely fits, and is its own output, as nearly all are. Of any other check() has the word.
        self.surely_fits: Callable[[bytes], bool] = quick_look(schema)

    @property
    def fields(self) -> list[pa.Field]:
        """One Arrow field for each property, in the schema's order. All are nullable: a property may be optional."""
        return [pa.field(name, arrow_type(prop, self._schema)) for name, prop in self._root["properties"].items()]

    def check(self, text: str) -> tuple[str, None] | tuple[None, str]:
        """
        The output in ``text`` as JSON, or the reason why it is unusable: exactly one of the two is None.

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
        fixed = _fix_case(value, self._schema, self._schema)
        if mistake := next(iter(self._validator.iter_errors(fixed)), None):
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in mistake.instance_path)
            return None, f"violates the schema: ${where}: {mistake.message}"
        try:
            self._to_row(fixed)
        except (ValueError, OverflowError) as error:
            return None, f"not storable: {error}"
        return text if fixed == value else msgspec.json.encode(fixed).decode(), None

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
    if int(value) not in INT64:
        raise ValueError(f"{value} does not fit a 64-bit integer")
    return int(value)


def _utc(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


def _as_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_BY_FORMAT: dict[str, _Converter] = {"date": date.fromisoformat, "date-time": _utc}
_BY_KIND: dict[str, _Converter | None] = {"integer": _int64, "number": float, "boolean": None}
