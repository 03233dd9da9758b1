"""The columns of ``source.carry``: their types, and the exact conversion of their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from numbers import Integral, Real
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.answers.schema.keys import (
    KEY_TYPES,
    REFUSALS,
    describe_value,
    key_array,
    key_type,
    kind_of_published,
)
from include.enrichment.errors import SpecError
from include.enrichment.requests.conversion import to_prompt_value
from include.enrichment.requests.float32 import widen_float32
from include.enrichment.requests.json_text import to_json
from include.enrichment.requests.prompt_values import Foreign, UnsupportedValue

#: The types that source.carry may name besides those of a key, and those that only values give.
_NAMED = {"double": pa.float64(), "time": pa.time64("us"), "binary": pa.binary()}
#: What Python writes for numbers that JSON does not have. Within a text it is harmless.
_NOT_JSON = re.compile("NaN|Infinity")
_LOCAL_TIME = pa.timestamp("us")
#: All types that source.carry may name, as pipeline.yaml and messages spell them.
CARRIED_TYPE_NAMES = (*KEY_TYPES, *_NAMED, '"decimal(p,s)"')
#: The type of decimals without a described precision, as in BigQuery.
_DECIMAL = pa.decimal128(38, 9)
_BY_VALUE: list[tuple[type | tuple[type, ...], pa.DataType]] = [
    (bool, pa.bool_()),
    (Integral, pa.int64()),
    (Real, pa.float64()),
    (Decimal, _DECIMAL),
    (date, pa.date32()),
    (time, pa.time64("us")),
    ((bytes, bytearray, memoryview), pa.binary()),
]


def carried_type(name: str) -> pa.DataType | None:
    """Return the Arrow type of a type name, ``double`` or ``decimal(10,2)``; None if source.carry cannot name it."""
    return key_type(name) or _NAMED.get(name)


def columns_without_type(
    carry: Mapping[str, str | None], described: Mapping[str, pa.DataType | None], published: Mapping[str, str]
) -> list[str]:
    """Return the carried columns whose type must come from their values."""
    return [name for name, named in carry.items() if _known_type(name, named, described, published) is None]


def carried_fields(
    carry: Mapping[str, str | None],
    rows: Iterable[Mapping[str, Any]],
    *,
    described: Mapping[str, pa.DataType | None],
    published: Mapping[str, str],
) -> list[pa.Field]:
    """
    Return the typed fields of the carried columns. All of them are nullable.

    A type that the spec does not name comes from the source's description, else from an earlier published day, else
    from the values: the type of the first one that is not NULL, and double if an integer is followed by a float.

    :param carry: the columns by name, each with the named type or None
    :param rows: the first rows
    :param described: the source's columns by name; None for an unknown type, for example in SQLite
    :param published: the columns of an earlier day's manifest

    Raises SpecError if none of these gives a type, or gives one that Parquet lacks.
    """
    rows = list(rows)
    fields = []
    for name, named in carry.items():
        kind = _known_type(name, named, described, published) or _type_of_values(name, [row[name] for row in rows])
        if kind is None:
            raise SpecError(
                f"pipeline.yaml: source.carry: the type of {name!r} is unknown: the source does not describe it, no"
                f" earlier day with rows is published, and it is NULL in the first {len(rows):,} rows. Nothing was"
                f" sent. {_advice(name)}"
            )
        fields.append(pa.field(name, _in_parquet(name, kind)))
    return fields


def carried_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """
    Convert the values of a carried column without changing any. NULLs stay.

    In a text column a list or an object becomes its JSON, and a UUID, a range or a network address its text. Raises
    ValueError, naming the value, if one would change.
    """
    present = [value for value in values if value is not None]
    if pa.types.is_string(kind):
        present = [value if type(value) is str else _text(value) for value in present]
    is_key_type = kind in KEY_TYPES.values() or pa.types.is_decimal128(kind)
    stored = key_array(present, kind) if is_key_type else _exact_array(present, kind)
    if len(present) == len(values):
        return stored
    places = iter(range(len(present)))
    return stored.take(pa.array([None if value is None else next(places) for value in values], pa.int64()))


def _known_type(
    name: str, named: str | None, described: Mapping[str, pa.DataType | None], published: Mapping[str, str]
) -> pa.DataType | None:
    if named:
        return carried_type(named)
    source_type = described.get(name)
    if source_type is not None and not pa.types.is_null(source_type):
        if (kind := _plain_type(source_type)) is None:
            raise _not_in_parquet(name, source_type)
        return kind
    return _published_type(published[name]) if name in published else None


def _plain_type(kind: pa.DataType) -> pa.DataType | None:
    """
    Return the type without what differs between exports of the same column (the width of offsets, dictionaries, a time
    zone's name, the units that Parquet lacks); None if Parquet has no such type.
    """
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _plain_type(kind.value_type)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    if types.is_date(kind):
        return pa.date32()
    if types.is_timestamp(kind):
        return pa.timestamp("ms" if kind.unit == "s" else kind.unit, kind.tz and "UTC")
    if types.is_time(kind):
        return pa.time32("ms") if kind.unit == "s" else kind
    if types.is_struct(kind) or types.is_map(kind) or isinstance(kind, _LISTS):
        return _plain_nested_type(kind)
    is_plain = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    return kind if is_plain or types.is_fixed_size_binary(kind) or kind in (pa.uuid(), pa.json_()) else None


_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)


def _plain_nested_type(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_map(kind):
        children = [_plain_type(kind.key_type), _plain_type(kind.item_type)]
    elif isinstance(kind, _LISTS):
        children = [_plain_type(kind.value_type)]
    else:
        children = [_plain_type(field.type) for field in kind]
    if not children or None in children:
        return None
    if pa.types.is_map(kind):
        return pa.map_(*children)
    if isinstance(kind, _LISTS):
        return pa.list_(children[0])
    return pa.struct([pa.field(field.name, child) for field, child in zip(kind, children, strict=True)])


def _in_parquet(name: str, kind: pa.DataType) -> pa.DataType:
    """Return the type as Parquet files have it, which is the type in manifests: Parquet renames the items of lists."""
    written = pa.BufferOutputStream()
    pq.write_table(pa.schema([pa.field(name, kind)]).empty_table(), written)
    return pq.read_schema(pa.BufferReader(written.getvalue())).field(0).type


def _published_type(published: str) -> pa.DataType | None:
    if name := kind_of_published(published):
        return key_type(name)
    return next((kind for kind in (*_NAMED.values(), _LOCAL_TIME, _DECIMAL) if str(kind) == published), None)


def _type_of_values(name: str, values: Sequence[Any]) -> pa.DataType | None:
    if any(isinstance(value, timedelta) for value in values):
        raise _not_in_parquet(name, "timedelta")
    found = [_type_of_value(value) for value in values if value is not None]
    if not found:
        return None
    return pa.float64() if found[0] == pa.int64() and pa.float64() in found else found[0]


def _type_of_value(value: object) -> pa.DataType:
    if isinstance(value, datetime):
        return _LOCAL_TIME if value.utcoffset() is None else KEY_TYPES["timestamp"]
    return next((kind for types, kind in _BY_VALUE if isinstance(value, types)), pa.string())


def _text(value: Any) -> Any:
    """Return the text of a value that has no other type here; any other value as it is, which is then rejected."""
    if isinstance(value, str | UUID):
        return str.__str__(value) if isinstance(value, str) else str(value)
    try:
        if isinstance(value, Mapping | list | tuple):
            text = to_json(to_prompt_value(value))
            if _NOT_JSON.search(text):
                msgspec.json.decode(text)
            return text
        converted = to_prompt_value(value)
    except UnsupportedValue as error:
        raise ValueError(f"{describe_value(value)}: {error}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"{describe_value(value)}: JSON has no NaN and no infinity") from error
    return str(converted) if isinstance(converted, Foreign) else value


def _exact_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        stored = pa.array(values, kind)
        became = widen_float32(pa.record_batch([stored], ["value"]))["value"].to_pylist()
    except REFUSALS as error:
        if len(values) == 1:
            raise ValueError(f"{describe_value(values[0])}: {error}") from error
        for value in values:
            _exact_array([value], kind)
        raise ValueError(str(error)) from error
    # To Python, True equals 1.
    if bool in set(map(type, values)) and not pa.types.is_boolean(kind):
        raise ValueError(f"{describe_value(next(value for value in values if isinstance(value, bool)))}: not {kind}")
    if became != values:
        for value, other in zip(values, became, strict=True):
            if not _are_same(value, other):
                raise ValueError(f"{describe_value(value)}: it would become {describe_value(other)}")
    return stored


def _are_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, at any depth. NaN equals NaN."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_are_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_same(value, other[name]) for name, value in one.items())
    return bool(one == other or (one != one and other != other))


def _not_in_parquet(name: str, kind: object) -> SpecError:
    return SpecError(
        f"pipeline.yaml: source.carry: {name!r} is {kind} in the source, a type that Parquet does not have. Nothing was"
        " sent. Cast the column in extract.sql or the export, for example to text, or do not carry it."
    )


def _advice(name: str) -> str:
    return f"Name its type: `source.carry: {{{name}: string}}` (one of {', '.join(CARRIED_TYPE_NAMES)})."
