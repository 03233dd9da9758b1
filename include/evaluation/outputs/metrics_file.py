"""metrics.parquet: every metric of an evaluation, for a notebook or a chart over many evaluations."""

from __future__ import annotations

import pyarrow as pa

from include.enrichment.storage.version import with_stamp
from include.evaluation.result import EvaluationResult

_TEXTS = ("metric", "variant", "by", "group", "kind", "method")
_NUMBERS = ("value", "low", "high")
_COUNTS = ("cases", "missing", "skipped", "unscored")
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("evaluation_id", "pipeline", "partition")),
        ("evaluated_at", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in _TEXTS),
        *((name, pa.float64()) for name in _NUMBERS),
        *((name, pa.int64()) for name in _COUNTS),
    ]
)


def metrics_table(result: EvaluationResult) -> pa.Table:
    """Return the content of metrics.parquet: a row for each metric, variant and group, each with its evaluation."""
    whole = result.model_dump(include={"evaluation_id", "pipeline", "partition", "evaluated_at"})
    rows = [whole | metric.model_dump() for metric in result.metrics]
    return pa.Table.from_pylist(rows, schema=with_stamp(_SCHEMA))
