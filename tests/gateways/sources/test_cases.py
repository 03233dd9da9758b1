"""cases.py: the rows of a file of the folder, the same in every partition."""

from __future__ import annotations

from datetime import date

import pyarrow as pa

from include.enrichment.runs.partition import Partition
from include.gateways.sources.cases import CaseFile


def test_every_partition_has_all_rows_in_order() -> None:
    text = "".join(f'{{"id": {number}, "day": "2026-11-01"}}\n' for number in range(2_000))
    source = CaseFile(text, file="cases.jsonl", types={"day": pa.date32()})
    for day in ("2026-11-01", "2026-11-02"):
        with source.read(Partition(start=date.fromisoformat(day)), key=["id"], needed={"id"}) as (columns, portions):
            found = list(portions)
        assert columns == {"id": pa.int64(), "day": pa.date32()}
        assert [row["id"] for portion in found for row in portion] == list(range(2_000))
        assert len(found[0]) == 1
