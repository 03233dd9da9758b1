"""
The figures of a usage report, out of the books. Money is Decimal from end to end: a sum of amounts is exact.

What the emulator answered is told apart from what Claude did, and the two are never added up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args

import pandas as pd
import pyarrow as pa

from include.enrichment.answers.outcome import OutcomeName
from include.enrichment.batches.usage import total_usd
from include.enrichment.cost.prices import TOKEN_RATES, prices
from include.enrichment.cost.report_days import ReportDays
from include.enrichment.storage.version import with_stamp

#: So the emulator marks the ids that it gives.
_SIMULATED = "simulated"
_OUTCOMES = list(get_args(OutcomeName))
_WRITES = {"cache_write_5m_tokens": "write_5m", "cache_write_1h_tokens": "write_1h"}
_COUNTS = ["batches", "requests", *_OUTCOMES, "retried", *TOKEN_RATES, "web_searches", "written", "unusable"]
_AMOUNTS = ["cost_usd", "synchronous_usd", "saved_usd", "unusable_usd"]
_KEY = ["day", "pipeline", "model", "simulated"]
_DEAREST = 20
#: An amount in US dollars, for a sum of amounts as prices.USD is.
_SUM_USD = pa.decimal128(28, 12)

#: One line for each day, pipeline and model. ``simulated``: the emulator answered, and nothing was paid. An amount is
#: null where that of one of the batches is not known; ``cache_hit_rate`` where nothing was cached.
SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("pipeline", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("simulated", pa.bool_(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS if name not in ("written", "unusable")),
        *(pa.field(name, _SUM_USD) for name in _AMOUNTS),
        pa.field("cache_hit_rate", pa.float64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Totals:
    """
    What some batches used and cost.

    :param unusable: requests that ended without an answer that can be used; those that a later pass made good, too
    :param retried: requests that had been asked before
    :param read: tokens read from the prompt cache
    :param written: tokens written to it
    :param cost_usd: of all batches but ``unpriced``, as the three after it
    :param synchronous_usd: what the same answers would have cost one by one, at once and without a cache
    :param unpriced: batches whose cost is not known
    """

    batches: int
    requests: int
    unusable: int
    retried: int
    input_tokens: int
    output_tokens: int
    read: int
    written: int
    cost_usd: Decimal
    synchronous_usd: Decimal
    saved_usd: Decimal
    unusable_usd: Decimal
    unpriced: int

    @property
    def saved_share(self) -> float | None:
        """Of what it would have cost; None if that is nothing."""
        return float(self.saved_usd / self.synchronous_usd) if self.synchronous_usd else None

    @property
    def unusable_share(self) -> float | None:
        """Of the requests; None if there are none."""
        return self.unusable / self.requests if self.requests else None

    @property
    def hit_rate(self) -> float | None:
        """What part of the cached tokens was read and not written; None if none were cached."""
        return self.read / cached if (cached := self.read + self.written) else None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as the report lists it."""

    batch_id: str
    pipeline: str
    partition: str | None
    pass_name: str | None
    model: str | None
    created_at: datetime
    requests: int
    cost_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class NeverRead:
    """
    A pipeline that wrote its prompt to the cache and read nothing of it.

    :param extra_usd: what the writes cost more than plain input would have; None where a price is not known. Of long
        prompts and of places that cost more it takes the plain rates
    """

    pipeline: str
    batches: int
    written: int
    extra_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """
    What a report says of its days.

    :param simulated: all of it was answered by the emulator
    :param left_out: batches that the emulator answered, and that are in no other figure here
    :param by_day: of the days that have batches, in order
    :param by_pipeline: the dearest first
    :param by_day_and_pipeline: of the pairs that have batches
    :param dearest: the 20 batches that cost the most
    :param unpriced: the batches whose cost is not known
    """

    days: ReportDays
    simulated: bool
    left_out: int
    totals: Totals
    by_day: Mapping[date, Totals]
    by_pipeline: Mapping[str, Totals]
    by_day_and_pipeline: Mapping[tuple[date, str], Totals]
    dearest: Sequence[Batch]
    unpriced: Sequence[Batch]
    never_read: Sequence[NeverRead]


def summary(books: pa.Table) -> pa.Table:
    """
    The books by day, pipeline and model, in SUMMARY_SCHEMA.

    :param books: in USAGE_SCHEMA
    """
    frame = _frame(books)
    if frame.empty:
        return with_stamp(SUMMARY_SCHEMA).empty_table()
    groups = frame.groupby(_KEY, dropna=False, sort=True)
    counts = groups[_COUNTS].sum()
    # Not sum(): it passes over what is not known.
    amounts: dict[str, Any] = {name: [total_usd(values) for _, values in groups[name]] for name in _AMOUNTS}
    cached = counts["cache_read_tokens"] + counts["written"]
    rate = (counts["cache_read_tokens"] / cached).where(cached > 0)
    lines = counts.assign(**amounts, cache_hit_rate=rate).reset_index()
    made = pa.Table.from_pandas(lines[SUMMARY_SCHEMA.names], SUMMARY_SCHEMA, preserve_index=False)
    return made.replace_schema_metadata(with_stamp(SUMMARY_SCHEMA).metadata)  # and not what pandas adds


def figures(books: pa.Table, days: ReportDays) -> Figures:
    """
    What a report of these days says. Where Claude answered some of the batches and the emulator others, it is about
    Claude's alone.

    :param books: of the days, in USAGE_SCHEMA
    """
    frame = _frame(books)
    emulated = frame["simulated"]
    simulated = bool(len(frame)) and bool(emulated.all())
    shown = frame if simulated else frame[~emulated]
    pipelines = _by(shown, "pipeline")
    return Figures(
        days=days,
        simulated=simulated,
        left_out=0 if simulated else int(emulated.sum()),
        totals=_totals(shown),
        by_day=_by(shown, "day"),
        by_pipeline=dict(sorted(pipelines.items(), key=lambda one: (-one[1].cost_usd, one[0]))),
        by_day_and_pipeline=_by(shown, ["day", "pipeline"]),
        dearest=_batches(shown[shown["cost_usd"].notna()].sort_values("cost_usd", ascending=False)[:_DEAREST]),
        unpriced=_batches(shown[shown["cost_usd"].isna()]),
        never_read=[
            _never_read(name, shown[shown["pipeline"] == name])
            for name, totals in pipelines.items()
            if totals.written and not totals.read
        ],
    )


def _frame(books: pa.Table) -> pd.DataFrame:
    """The books with what is made of their columns. Amounts stay Decimal, and None where they are not known."""
    frame: pd.DataFrame = books.to_pandas()
    for name in ("cost_usd", "synchronous_usd", "unusable_usd"):
        frame[name] = frame[name].astype(object)
    saved = [
        None if cost is None or synchronous is None else synchronous - cost
        for cost, synchronous in zip(frame["cost_usd"], frame["synchronous_usd"], strict=True)
    ]
    return frame.assign(
        day=frame["created_at"].dt.date,
        simulated=frame["batch_id"].str.contains(_SIMULATED).astype(bool),
        batches=1,
        written=frame[list(_WRITES)].sum(axis="columns"),
        unusable=frame["requests"] - frame["succeeded"],
        saved_usd=pd.Series(saved, frame.index, dtype=object),
    )


def _by(frame: pd.DataFrame, columns: str | list[str]) -> dict[Any, Totals]:
    return {key: _totals(of) for key, of in frame.groupby(columns)}


def _totals(frame: pd.DataFrame) -> Totals:
    names = ("batches", "requests", "unusable", "retried", "input_tokens", "output_tokens", "written")
    sums: dict[str, Any] = {name: int(frame[name].sum()) for name in names}
    sums |= {name: sum(frame[name].dropna(), Decimal(0)) for name in _AMOUNTS}
    return Totals(**sums, read=int(frame["cache_read_tokens"].sum()), unpriced=int(frame["cost_usd"].isna().sum()))


def _batches(frame: pd.DataFrame) -> list[Batch]:
    names = [field.name for field in fields(Batch)]
    return [Batch(**line) for line in pa.Table.from_pandas(frame[names], preserve_index=False).to_pylist()]


def _never_read(pipeline: str, frame: pd.DataFrame) -> NeverRead:
    models = [None if pd.isna(model) else str(model) for model in frame["model"]]
    extra = [
        _extra_usd(model, {name: int(frame[name].iloc[number]) for name in _WRITES})
        for number, model in enumerate(models)
    ]
    totals = _totals(frame)
    return NeverRead(pipeline=pipeline, batches=totals.batches, written=totals.written, extra_usd=total_usd(extra))


def _extra_usd(model: str | None, written: dict[str, int]) -> Decimal | None:
    """What these writes of a batch cost more than as many tokens of plain input."""
    if not any(written.values()):
        return Decimal(0)
    rates = prices().per_token(model)
    if rates is None:
        return None
    return sum(((rates[kind] - rates["input_tokens"]) * tokens for kind, tokens in written.items()), Decimal(0))
