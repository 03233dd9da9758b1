"""summarise: a published partition in a few numbers, for whoever follows the table."""

from __future__ import annotations

import json

import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.enrichment import layout
from include.enrichment.partition import Partition
from include.gateways.lake import Lake


def summarise(pipeline: str, partition: Partition, column: str, *, lake: Lake) -> dict[str, int]:
    """
    Count the values of a column in the published partition, and leave the counts on the lake, the most frequent first.

    Only that column is fetched. Raises LakeError if the partition is not published.
    """
    with lake.open(layout.table(pipeline, partition)) as file:
        values = pq.ParquetFile(file).read(columns=[column])[column]
    counted = sorted((-one["counts"], str(one["values"])) for one in pc.value_counts(values).to_pylist())
    counts = {value: -count for count, value in counted}
    lake.write(layout.summary(pipeline, partition, column), json.dumps(counts, indent=1).encode())
    return counts
