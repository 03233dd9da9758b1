"""32-bit floats from Parquet, which Python does not have: it reads 0.1 as 0.10000000149011612."""

from __future__ import annotations

import pyarrow as pa


def widen_float32(batch: pa.RecordBatch) -> pa.RecordBatch:
    """
    Return the batch with its 32-bit floats as 64-bit ones, at any depth: 0.1 becomes 0.1, as a database prints it, and
    not 0.10000000149011612.
    """
    texts, doubles = (
        pa.schema([field.with_type(with_float32_as(field.type, kind)) for field in batch.schema])
        for kind in (pa.string(), pa.float64())
    )
    return batch if texts.equals(batch.schema) else batch.cast(texts).cast(doubles)


def with_float32_as(kind: pa.DataType, other: pa.DataType) -> pa.DataType:
    """Return the type with ``other`` instead of each 32-bit float."""
    if pa.types.is_float32(kind):
        return other
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(with_float32_as(field.type, other)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(with_float32_as(kind.key_type, other), with_float32_as(kind.item_type, other))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(with_float32_as(kind.value_type, other)), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(with_float32_as(kind.value_type, other)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(with_float32_as(kind.value_type, other)))
    return kind
