from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.requests.float32 import widen_float32

SINGLE = pa.float32()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SINGLE, 0.1),
        (SINGLE, None),
        (SINGLE, 1e-07),
        (SINGLE, 3.4e38),
        (SINGLE, -math.inf),
        (pa.list_(SINGLE), [0.1, None, 0.2]),
        (pa.large_list(SINGLE), [0.1]),
        (pa.list_(SINGLE, 2), [0.1, 0.2]),
        (pa.struct([("a", SINGLE), ("b", pa.list_(pa.struct([("c", SINGLE)])))]), {"a": 0.1, "b": [{"c": 0.2}]}),
        (pa.map_(pa.string(), SINGLE), [("a", 0.1)]),
    ],
)
def test_a_32_bit_float_becomes_the_shortest_64_bit_float(kind: pa.DataType, value: Any) -> None:
    batch = pa.record_batch([pa.array([value], kind), pa.array([b"\xff"])], ["value", "picture"])
    assert widen_float32(batch).to_pylist() == [{"value": value, "picture": b"\xff"}]


def test_a_batch_without_such_floats_is_unchanged() -> None:
    required = pa.field("element", pa.float64(), nullable=False)
    batch = pa.record_batch([pa.array([[0.1]], pa.list_(required))], ["values"])
    assert widen_float32(batch) is batch
