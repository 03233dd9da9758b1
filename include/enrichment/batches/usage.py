"""The usage record of a batch: its tokens and its cost, written once per batch whether its run succeeded or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self, get_args

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import OutcomeName, is_paid
from include.enrichment.cost.prices import (
    BILLED_COLUMNS,
    MOST_USD,
    TOKEN_RATES,
    USD,
    costs_usd,
    sum_costs,
    synchronous_costs_usd,
)
from include.enrichment.runs import passes

_COUNTS = ["requests", *get_args(OutcomeName), "retried", *TOKEN_RATES, "web_searches"]
#: One record per batch. ``model`` lists several models if the requests did. ``variant`` is null if the pipeline has no
#: variants, and in records of earlier versions. ``mode`` and ``ended_at`` are those of BatchFacts. ``synchronous_usd``
#: is the cost of the same answers as synchronous requests without a cache, ``unusable_usd`` the part of the cost for
#: unusable answers. Amounts are null if a price is unknown. ``retried`` counts the requests that were sent before.
#: ``upper_bounds`` counts the answers whose usage is unreadable and recorded as an upper bound; null in records of
#: earlier versions.
USAGE_SCHEMA = pa.schema(
    [
        pa.field("batch_id", pa.string(), nullable=False),
        pa.field("pipeline", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("partition", "pass_name", "run_id", "model", "variant", "mode")),
        pa.field("created_at", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("ended_at", pa.timestamp("us", "UTC")),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
        *(pa.field(name, pa.int64()) for name in ("body_bytes", "upper_bounds")),
        *(pa.field(name, USD) for name in ("cost_usd", "synchronous_usd", "unusable_usd")),
    ]
)
#: The columns of a batch's outcomes that its usage record depends on.
USAGE_COLUMNS = ["outcome", "upper_bound", *BILLED_COLUMNS, "long_prompt"]


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """
    The facts about a batch besides its outcomes.

    :param partition: of its rows; None, like ``pass_name``, for requests that belong to no pipeline
    :param run_id: the run that sent it
    :param created_at: when the API made it. Its usage is recorded on that day
    :param body_bytes: of its create
    :param variant: of its requests; None: the pipeline has no variants
    :param mode: how they were sent: ``batch`` or ``synchronous``; None in files of earlier versions, all batches
    :param ended_at: when the batch ended, or the last synchronous answer came; None in files of earlier versions
    """

    batch_id: str
    pipeline: str
    partition: str | None
    pass_name: str | None
    run_id: str | None
    created_at: datetime
    body_bytes: int | None
    variant: str | None = None
    mode: str | None = None
    ended_at: datetime | None = None

    def to_metadata(self) -> dict[str, str]:
        """Return the facts as metadata for the file of the batch's outcomes."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else str(value) for name, value in known.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], *, batch_id: str, pipeline: str) -> Self | None:
        """Return the facts from the metadata of such a file; None if an earlier version wrote it without them."""
        if "created_at" not in metadata:
            return None
        body_bytes = metadata.get("body_bytes")
        return cls(
            batch_id=batch_id,
            pipeline=pipeline,
            partition=metadata.get("partition"),
            pass_name=metadata.get("pass_name"),
            run_id=metadata.get("run_id"),
            created_at=datetime.fromisoformat(metadata["created_at"]),
            body_bytes=int(body_bytes) if body_bytes else None,
            variant=metadata.get("variant"),
            mode=metadata.get("mode"),
            ended_at=datetime.fromisoformat(ended) if (ended := metadata.get("ended_at")) else None,
        )


def oldest_first(known: Mapping[str, BatchFacts | None]) -> dict[str, BatchFacts | None]:
    """Return batches with their facts in the order of their creation, those that an earlier version loaded first."""
    created = {batch_id: facts.created_at.timestamp() if facts else 0.0 for batch_id, facts in known.items()}
    return {batch_id: known[batch_id] for batch_id in sorted(known, key=lambda one: (created[one], one))}


def sum_usage(outcomes: pa.Table | pa.RecordBatch) -> pa.Table:
    """
    Sum up the usage of these outcomes, in one line per outcome, price and kind of count (exact or upper bound).

    The lines of all parts of a batch, concatenated, are the lines of the batch.

    :param outcomes: at least USAGE_COLUMNS
    """
    billed = outcomes.select(USAGE_COLUMNS)
    bounds = pc.fill_null(billed["upper_bound"], False)
    tables = []
    for bound in pc.unique(bounds).to_pylist() or [False]:
        lines = sum_costs(billed.filter(pc.equal(bounds, bound)), by="outcome")
        tables.append(lines.append_column("upper_bound", pa.repeat(bound, len(lines))))
    return pa.concat_tables(tables)


def count_outcomes(sums: pa.Table) -> dict[str, int]:
    """Count the requests by outcome, from the lines of sum_usage()."""
    tally: Counter[str] = Counter()
    for outcome, answers in zip(sums["outcome"].to_pylist(), sums["answers"].to_pylist(), strict=True):
        tally[outcome] += answers
    return dict(tally)


def make_usage_record(facts: BatchFacts, sums: pa.Table) -> pa.Table:
    """
    Return the usage record of a batch, in USAGE_SCHEMA.

    :param sums: the lines of sum_usage() for all of its outcomes
    """
    tally = count_outcomes(sums)
    outcome = sums["outcome"].combine_chunks()
    costs, synchronous = (_billed(amounts(sums), outcome) for amounts in (costs_usd, synchronous_costs_usd))
    names = sorted(name for name in pc.unique(sums["model"]).to_pylist() if name)
    record = asdict(facts) | {name: tally.get(name, 0) for name in get_args(OutcomeName)}
    record |= {name: pc.sum(sums[name]).as_py() or 0 for name in (*TOKEN_RATES, "web_searches")}
    record |= {
        "model": ", ".join(names) or None,
        "requests": sum(tally.values()),
        "retried": sum(tally.values()) if passes.is_retry(facts.pass_name or "") else 0,
        "upper_bounds": pc.sum(sums.filter(sums["upper_bound"])["answers"]).as_py() or 0,
    }
    amounts_usd = {
        "cost_usd": sum_usd(costs),
        "synchronous_usd": sum_usd(synchronous),
        "unusable_usd": sum_usd(costs.filter(pc.not_equal(outcome, "succeeded"))),
    }
    record |= {name: usd if usd is None else min(usd, MOST_USD) for name, usd in amounts_usd.items()}
    return pa.Table.from_pylist([record], USAGE_SCHEMA)


def supersedes(record: Mapping[str, Any], *, recorded: Mapping[str, Any]) -> bool:
    """
    Return whether a usage record replaces the recorded one of the same batch.

    A record with a cost replaces one without. Then the more complete one wins: fewer missing lines and upper bounds,
    else the higher cost, else more usable answers. If all counts are equal, a price has changed since, and the first
    record was billed.
    """
    if record["cost_usd"] is None or recorded["cost_usd"] is None:
        return record["cost_usd"] is not None
    if all(record[name] == recorded[name] for name in _COUNTS):
        return False
    return _completeness(record) > _completeness(recorded)


def _completeness(record: Mapping[str, Any]) -> tuple[int, int, Decimal, int]:
    bounds, missing = record["upper_bounds"] or 0, record["missing"]
    return -missing - bounds, -missing, record["cost_usd"], record["succeeded"]


def billed_usd(outcomes: pa.RecordBatch) -> pa.Array:
    """
    Return the cost of each outcome, as in costs_usd().

    :param outcomes: at least USAGE_COLUMNS
    """
    return _billed(costs_usd(outcomes), outcomes["outcome"])


def _billed(costs: pa.Array, outcome: pa.Array) -> pa.Array:
    """Set the cost of unanswered requests to 0: they are not billed, and the cost of a missing line is unknown."""
    paid = pc.is_in(outcome, pa.array(filter(is_paid, get_args(OutcomeName)), pa.string()))
    return pc.if_else(paid, costs, pa.scalar(Decimal(0), USD))


def total_usd(costs: Iterable[Decimal | None]) -> Decimal | None:
    """Return the sum; None if one of the costs is unknown."""
    known = list(costs)
    return None if None in known else sum((cost for cost in known if cost is not None), Decimal(0))


def sum_usd(costs: pa.Array | pa.ChunkedArray) -> Decimal | None:
    """Return the sum of a column; None if one of the costs is unknown."""
    return None if costs.null_count else pc.sum(costs).as_py() or Decimal(0)
