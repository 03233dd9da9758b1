"""The books: what a batch used and what it cost, one line for each batch, whatever became of its run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self, get_args

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import OutcomeName, is_settled
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
#: One line for each batch. ``model`` names several where the requests did. ``cost_usd`` is null where the price of a
#: model is not known, and so are the two after it: what the same answers would have cost one by one, at once and
#: without a cache, and what of the cost was for answers that could not be used. ``retried`` counts the requests that
#: were asked before, and ``upper_bounds`` those whose usage could not be read, which are booked with the most that they
#: can have used; null in lines of earlier versions.
USAGE_SCHEMA = pa.schema(
    [
        pa.field("batch_id", pa.string(), nullable=False),
        pa.field("pipeline", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("partition", "pass_name", "run_id", "model")),
        pa.field("created_at", pa.timestamp("us", "UTC"), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
        *(pa.field(name, pa.int64()) for name in ("body_bytes", "upper_bounds")),
        *(pa.field(name, USD) for name in ("cost_usd", "synchronous_usd", "unusable_usd")),
    ]
)
#: What is read of a batch's outcomes to book it.
BOOKED_COLUMNS = ["outcome", "upper_bound", *BILLED_COLUMNS]


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """
    What is known of a batch beside its outcomes.

    :param partition: whose rows it asked about; None for requests that are not a pipeline's, as with ``pass_name``
    :param run_id: the run that sent it
    :param created_at: when the API made it; the day of this is the day it is booked on
    :param body_bytes: of its create
    """

    batch_id: str
    pipeline: str
    partition: str | None
    pass_name: str | None
    run_id: str | None
    created_at: datetime
    body_bytes: int | None

    def texts(self) -> dict[str, str]:
        """What stands in the metadata of the batch's outcomes."""
        known = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value.isoformat() if isinstance(value, datetime) else str(value) for name, value in known.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], *, batch_id: str, pipeline: str) -> Self | None:
        """The facts that texts() has put there; None where an earlier version has put none there."""
        if "created_at" not in texts:
            return None
        body_bytes = texts.get("body_bytes")
        return cls(
            batch_id=batch_id,
            pipeline=pipeline,
            partition=texts.get("partition"),
            pass_name=texts.get("pass_name"),
            run_id=texts.get("run_id"),
            created_at=datetime.fromisoformat(texts["created_at"]),
            body_bytes=int(body_bytes) if body_bytes else None,
        )


def usage_columns(outcomes: pa.Table | pa.RecordBatch) -> pa.Table:
    """
    What these outcomes used, in a few lines: apart for each outcome, for whatever has a price of its own, and for
    upper bounds. The lines of a batch's parts, one below the other, are those of the batch.

    :param outcomes: BOOKED_COLUMNS, beside which there may be others
    """
    billed = outcomes.select(BOOKED_COLUMNS)
    bounds = pc.fill_null(billed["upper_bound"], False)
    tables = []
    for bound in pc.unique(bounds).to_pylist() or [False]:
        lines = sum_costs(billed.filter(pc.equal(bounds, bound)), by="outcome")
        tables.append(lines.append_column("upper_bound", pa.repeat(bound, len(lines))))
    return pa.concat_tables(tables)


def count_outcomes(lines: pa.Table) -> dict[str, int]:
    """How many requests had which outcome, of what used() made of them."""
    tally: Counter[str] = Counter()
    for outcome, answers in zip(lines["outcome"].to_pylist(), lines["answers"].to_pylist(), strict=True):
        tally[outcome] += answers
    return dict(tally)


def make_usage_record(facts: BatchFacts, sums: pa.Table) -> pa.Table:
    """
    The line of a batch, in USAGE_SCHEMA.

    :param sums: what used() made of all of its outcomes
    """
    tally = count_outcomes(sums)
    outcome = sums["outcome"].combine_chunks()
    costs, synchronous = (_billed(amounts(sums), outcome) for amounts in (costs_usd, synchronous_costs_usd))
    names = sorted(name for name in pc.unique(sums["model"]).to_pylist() if name)
    line = asdict(facts) | {name: tally.get(name, 0) for name in get_args(OutcomeName)}
    line |= {name: pc.sum(sums[name]).as_py() or 0 for name in (*TOKEN_RATES, "web_searches")}
    line |= {
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
    line |= {name: usd if usd is None else min(usd, MOST_USD) for name, usd in amounts_usd.items()}
    return pa.Table.from_pylist([line], USAGE_SCHEMA)


def supersedes(line: Mapping[str, Any], *, recorded: Mapping[str, Any]) -> bool:
    """
    Whether a line, in USAGE_SCHEMA, takes the place of the one that is booked for the same batch.

    It does if it has a cost where that has none, if it knows more of what the batch used (fewer lines are missing, or
    are booked as an upper bound), or if it knows as much and found a higher amount, or more answers that can be used.
    Where only the amounts differ, a price has changed since, and what was booked first was billed.
    """
    if line["cost_usd"] is None or recorded["cost_usd"] is None:
        return line["cost_usd"] is not None
    if all(line[name] == recorded[name] for name in _COUNTS):
        return False
    return _known(line) > _known(recorded)


def _known(line: Mapping[str, Any]) -> tuple[int, int, Decimal, int]:
    """How much a line knows of what its batch used; the more, the larger."""
    bounds, missing = line["upper_bounds"] or 0, line["missing"]
    return -missing - bounds, -missing, line["cost_usd"], line["succeeded"]


def billed_usd(outcomes: pa.RecordBatch) -> pa.Array:
    """
    What each of these outcomes cost, as costs_usd() has it.

    :param outcomes: BOOKED_COLUMNS
    """
    return _billed(costs_usd(outcomes), outcomes["outcome"])


def _billed(costs: pa.Array, outcome: pa.Array) -> pa.Array:
    """What ended without an answer is not billed, and names no model. (What a missing line cost nobody tells.)"""
    paid = pc.is_in(outcome, pa.array(filter(is_settled, get_args(OutcomeName)), pa.string()))
    return pc.if_else(paid, costs, pa.scalar(Decimal(0), USD))


def total_usd(costs: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None if one of them is not known."""
    known = list(costs)
    return None if None in known else sum((cost for cost in known if cost is not None), Decimal(0))


def sum_usd(costs: pa.Array | pa.ChunkedArray) -> Decimal | None:
    """The sum of a column of amounts; None if one of them is not known."""
    return None if costs.null_count else pc.sum(costs).as_py() or Decimal(0)
