"""
The figures of a usage report, from the usage records. Amounts stay Decimal, so their sums are exact.

Figures of batches that the emulator answered are never added to those of Claude.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, TypeAlias, get_args

import pyarrow as pa

from include.enrichment.answers.outcome import OutcomeName
from include.enrichment.batches.usage import total_usd
from include.enrichment.cost.prices import TOKEN_RATES, prices
from include.enrichment.cost.report_days import ReportDays
from include.enrichment.storage.version import with_stamp

#: A part of every id that the emulator gives.
_SIMULATED = "simulated"
_WRITES = ("cache_write_5m_tokens", "cache_write_1h_tokens")
_COUNTS = ["batches", "requests", *get_args(OutcomeName), "retried", *TOKEN_RATES, "web_searches"]
_AMOUNTS = ["cost_usd", "synchronous_usd", "saved_usd", "unusable_usd"]
_MOST_EXPENSIVE = 20
#: The type of a sum of prices.USD amounts.
_SUM_USD = pa.decimal128(28, 12)

#: One line per day, pipeline, variant, model and mode. ``variant`` is null if the pipeline has none. A chunk that was
#: asked synchronously counts as a batch. ``simulated``: the emulator answered, and nothing was paid. An amount is null
#: if it is unknown for one of the batches, ``cache_hit_rate`` if nothing was cached.
SUMMARY_SCHEMA = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("pipeline", pa.string(), nullable=False),
        pa.field("variant", pa.string()),
        pa.field("model", pa.string()),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("simulated", pa.bool_(), nullable=False),
        *(pa.field(name, pa.int64(), nullable=False) for name in _COUNTS),
        *(pa.field(name, _SUM_USD) for name in _AMOUNTS),
        pa.field("cache_hit_rate", pa.float64()),
    ]
)
#: A usage record with the columns that _records() adds.
_Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """
    The usage and cost of some batches.

    :param unusable: requests that ended without a usable answer, even if a later pass got one
    :param retried: requests that had been sent before
    :param read: tokens read from the prompt cache
    :param written: tokens written to it
    :param cost_usd: of all batches except the ``unpriced`` ones, like the three after it
    :param synchronous_usd: the cost of the same answers as synchronous requests without a cache
    :param unpriced: batches without a known cost
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
        """The savings as a share of the synchronous cost; None if that is 0."""
        return float(self.saved_usd / self.synchronous_usd) if self.synchronous_usd else None

    @property
    def unusable_share(self) -> float | None:
        """The unusable share of the requests; None if there are none."""
        return self.unusable / self.requests if self.requests else None

    @property
    def hit_rate(self) -> float | None:
        """The share of the cached tokens that was read and not written; None if none were cached."""
        return self.read / cached if (cached := self.read + self.written) else None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch in the lists of the report."""

    batch_id: str
    pipeline: str
    variant: str | None
    partition: str | None
    pass_name: str | None
    model: str | None
    created_at: datetime
    requests: int
    cost_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class NeverRead:
    """
    A pipeline that wrote its prompt to the cache and never read it.

    :param extra_usd: the extra cost of the writes over plain input, at the base rates; None if a price is unknown
    """

    pipeline: str
    batches: int
    written: int
    extra_usd: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """
    The figures of a report.

    :param simulated: the emulator answered all batches
    :param left_out: the number of batches that the emulator answered and that no other figure includes
    :param by_day: days with batches, in order
    :param by_pipeline: the most expensive first
    :param by_mode: ``batch``, ``synchronous`` or both; chunks that were asked synchronously count as batches
    :param by_variant: the variants of each pipeline that has any, in the order of their names
    :param by_day_and_pipeline: pairs with batches
    :param most_expensive: the 20 most expensive batches
    :param unpriced: the batches without a known cost
    """

    days: ReportDays
    simulated: bool
    left_out: int
    totals: Totals
    by_day: Mapping[date, Totals]
    by_pipeline: Mapping[str, Totals]
    by_mode: Mapping[str, Totals]
    by_variant: Mapping[str, Mapping[str, Totals]]
    by_day_and_pipeline: Mapping[tuple[date, str], Totals]
    most_expensive: Sequence[Batch]
    unpriced: Sequence[Batch]
    never_read: Sequence[NeverRead]


def make_summary(usage_records: pa.Table) -> pa.Table:
    """
    Sum up the usage records by day, pipeline, variant, model and mode, in SUMMARY_SCHEMA.

    :param usage_records: in USAGE_SCHEMA
    """
    key = ("day", "pipeline", "variant", "model", "mode", "simulated")
    groups = _grouped(_records(usage_records), *key)
    lines = []
    for values in sorted(groups, key=lambda values: [(value is None, value) for value in values]):
        line = dict(zip(key, values, strict=True))
        line |= {name: sum(record[name] for record in groups[values]) for name in _COUNTS}
        line |= {name: total_usd(record[name] for record in groups[values]) for name in _AMOUNTS}
        lines.append(line | {"cache_hit_rate": _totals(groups[values]).hit_rate})
    return pa.Table.from_pylist(lines, with_stamp(SUMMARY_SCHEMA))


def make_figures(usage_records: pa.Table, days: ReportDays) -> Figures:
    """
    Compute the figures of a report. If Claude answered some of the batches and the emulator others, they cover only
    Claude's.

    :param usage_records: of the days, in USAGE_SCHEMA
    """
    records = _records(usage_records)
    claude = [record for record in records if not record["simulated"]]
    shown = claude or records
    pipelines = _grouped(shown, "pipeline")
    totals = {name: _totals(of_one) for (name,), of_one in pipelines.items()}
    priced = [record for record in shown if not record["unpriced"]]
    return Figures(
        days=days,
        simulated=bool(records) and not claude,
        left_out=len(records) - len(shown),
        totals=_totals(shown),
        by_day={day: _totals(of_one) for (day,), of_one in sorted(_grouped(shown, "day").items())},
        by_pipeline=dict(sorted(totals.items(), key=lambda one: (-one[1].cost_usd, one[0]))),
        by_mode={mode: _totals(of_one) for (mode,), of_one in sorted(_grouped(shown, "mode").items())},
        by_variant=_by_variant(record for record in shown if record["variant"]),
        by_day_and_pipeline={key: _totals(of_one) for key, of_one in _grouped(shown, "day", "pipeline").items()},
        most_expensive=_batches(sorted(priced, key=lambda record: -record["cost_usd"])[:_MOST_EXPENSIVE]),
        unpriced=_batches(record for record in shown if record["unpriced"]),
        never_read=[
            _never_read(name, of_one)
            for (name,), of_one in sorted(pipelines.items())
            if totals[name].written and not totals[name].read
        ],
    )


def _records(usage_records: pa.Table) -> list[_Record]:
    """Return the usage records with the columns that are derived from others."""
    return [
        record
        | {
            "day": record["created_at"].date(),
            "mode": record["mode"] or "batch",
            "simulated": _SIMULATED in record["batch_id"],
            "batches": 1,
            "read": record["cache_read_tokens"],
            "written": sum(record[name] for name in _WRITES),
            "unusable": record["requests"] - record["succeeded"],
            "unpriced": record["cost_usd"] is None,
            "saved_usd": _saved_usd(record),
        }
        for record in usage_records.to_pylist()
    ]


def _saved_usd(record: _Record) -> Decimal | None:
    cost, synchronous = record["cost_usd"], record["synchronous_usd"]
    return None if cost is None or synchronous is None else synchronous - cost


def _grouped(records: Iterable[_Record], *columns: str) -> dict[tuple[Any, ...], list[_Record]]:
    groups: defaultdict[tuple[Any, ...], list[_Record]] = defaultdict(list)
    for record in records:
        groups[tuple(record[name] for name in columns)].append(record)
    return groups


def _totals(records: Sequence[_Record]) -> Totals:
    """Sum up every field of Totals. Unknown amounts are left out."""
    sums: dict[str, Any] = {}
    for name in (field.name for field in fields(Totals)):
        zero = Decimal(0) if name in _AMOUNTS else 0
        sums[name] = sum((record[name] for record in records if record[name] is not None), zero)
    return Totals(**sums)


def _by_variant(records: Iterable[_Record]) -> dict[str, dict[str, Totals]]:
    found: defaultdict[str, dict[str, Totals]] = defaultdict(dict)
    for (pipeline, variant), of_one in sorted(_grouped(records, "pipeline", "variant").items()):
        found[pipeline][variant] = _totals(of_one)
    return found


def _batches(records: Iterable[_Record]) -> list[Batch]:
    return [Batch(**{field.name: record[field.name] for field in fields(Batch)}) for record in records]


def _never_read(pipeline: str, records: Sequence[_Record]) -> NeverRead:
    extra_usd = total_usd(map(_extra_usd, records))
    written = sum(record["written"] for record in records)
    return NeverRead(pipeline=pipeline, batches=len(records), written=written, extra_usd=extra_usd)


def _extra_usd(record: _Record) -> Decimal | None:
    """Return how much more the cache writes of a batch cost than plain input."""
    if not record["written"]:
        return Decimal(0)
    rates = prices().per_token(record["model"], batch=record["mode"] == "batch")
    if rates is None:
        return None
    return sum(((rates[kind] - rates["input_tokens"]) * record[kind] for kind in _WRITES), Decimal(0))
