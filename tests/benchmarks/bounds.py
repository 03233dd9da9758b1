"""The bounds that this project sets for itself, and a verdict on each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks.contenders import MEMORY_SIZE
from tests.benchmarks.measurements import (
    ESTIMATED,
    FLOORS_OF_SUBMIT,
    FULL,
    WARMED,
    Found,
    Line,
    over_imports,
)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """
    A bound that the project sets for itself.

    :param values: the measured values, all of which must be within the bound
    """

    what: str
    values: Sequence[float]
    unit: str = ""
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def verdict(self) -> str:
        """Return whether the values are within the bound, in words for the report."""
        if any(math.isnan(value) for value in self.values):
            return "not measured"
        return "met" if all(self.at_least <= value <= self.at_most for value in self.values) else "**not met**"


def _surprise(line: Line) -> float:
    """Return the difference between bill and estimate, in per cent of the bill."""
    return float(100 * abs(line["expected_usd"] - line["billed_usd"]) / line["billed_usd"])


def _outside(line: Line) -> float:
    """Return by how many dollars the bill is outside the bounds of the estimate."""
    return float(max(line["low_usd"] - line["billed_usd"], line["billed_usd"] - line["high_usd"], 0))


def of_coverage(pick: Callable[[Iterable[float]], float]) -> Callable[[Line], float]:
    """Return what picks one of the intervals' coverages of a line, in per cent."""
    return lambda line: 100 * pick(one["covered"] for one in line["coverage"])


def bounds(found: Found) -> list[Bound]:
    """Return all bounds with the measured values; one long table, because no two of them are computed alike."""
    submit, load = found.seconds("ours submit"), found.seconds("ours load")
    thousand, ten_thousand = (f"waits --waits {count} --interval 15 --seconds 60" for count in (1_000, 10_000))
    return [
        Bound(
            what=f"submit of {FULL:,} requests: ≥ 8 times as fast as the seed pattern",
            values=[found.seconds("seed submit") / submit],
            unit=" ×",
            at_least=8,
        ),
        Bound(
            what="submit: ≤ 2 times reading and uploading the same bytes",
            values=[submit / found.seconds(*FLOORS_OF_SUBMIT)],
            unit=" ×",
            at_most=2,
        ),
        Bound(
            what="submit: ≤ 80 MB over the imports, the same at 10,000, 100,000 and 1,000,000 rows",
            values=[found.median("ours submit", over_imports, size) for size in (10_000, FULL, MEMORY_SIZE)],
            unit=" MB",
            at_most=80,
        ),
        Bound(
            what="submit: every create has its Content-Length",
            values=[100 * found.median("ours submit", "content_length")],
            unit=" %",
            at_least=100,
        ),
        Bound(
            what=f"load of {FULL:,} results, validated, typed, raw kept: ≥ 150,000 rows/s",
            values=[FULL / load],
            unit=" rows/s",
            at_least=150_000,
        ),
        Bound(
            what="load: ≥ 15 times as fast as LLMBatchOperator's landing",
            values=[found.seconds("common_ai load") / load],
            unit=" ×",
            at_least=15,
        ),
        Bound(
            what="load: ≤ 150 MB over the imports, the same at 100,000 and 1,000,000 rows",
            values=[found.median("ours load", over_imports, size) for size in (FULL, MEMORY_SIZE)],
            unit=" MB",
            at_most=150,
        ),
        Bound(
            what="extract: ≥ 50,000 rows/s",
            values=[FULL / found.seconds("ours extract")],
            unit=" rows/s",
            at_least=50_000,
        ),
        Bound(
            what="1,000 waits at a 15 s interval for a minute: ≤ 8 calls",
            values=[found.median(thousand, "calls", 0)],
            at_most=8,
        ),
        Bound(what="1,000 waits: ≤ 1 CPU s", values=[found.median(thousand, "cpu_seconds", 0)], unit=" s", at_most=1),
        Bound(
            what="10,000 waits: event loop never blocked for more than 100 ms",
            values=[found.median(ten_thousand, "longest_block_ms", 0)],
            unit=" ms",
            at_most=100,
        ),
        Bound(
            what="a Dag file: parsed in ≤ 200 ms beyond importing Airflow",
            values=[found.median("parse", "one_file_ms", 0)],
            unit=" ms",
            at_most=200,
        ),
        Bound(
            what="200 pipelines: parsed in ≤ 10 s",
            values=[found.median("parse", "all_files_seconds", 0)],
            unit=" s",
            at_most=10,
        ),
        Bound(
            what="documents, batched, cache warmed: ≤ 0.25 of the cost of synchronous calls without a cache",
            values=[found.median(WARMED, "ratio", 0)],
            at_most=0.25,
        ),
        Bound(
            what="three workloads: the bill is within 15 % of its estimate",
            values=[found.median(command, _surprise, 0) for command in ESTIMATED],
            unit=" %",
            at_most=15,
        ),
        Bound(
            what="three workloads: the bill is within the bounds of its estimate",
            values=[found.median(command, _outside, 0) for command in ESTIMATED],
            unit=" USD outside",
            at_most=0,
        ),
        Bound(
            what=f"six checks of {FULL:,} answers: ≤ 60 s",
            values=[found.median("checks", "seconds", 0)],
            unit=" s",
            at_most=60,
        ),
        Bound(
            what="evaluation of 50,000 cases of two variants, 1,000 resamples: ≤ 20 s",
            values=[found.median("evaluating", "seconds", 0)],
            unit=" s",
            at_most=20,
        ),
        Bound(
            what="evaluation: ≤ 500 MB over the imports",
            values=[found.median("evaluating", over_imports, 0)],
            unit=" MB",
            at_most=500,
        ),
        Bound(
            what="each 95 % interval holds the truth in 93.5 to 96.5 % of 2,000 evaluations: lowest, highest",
            values=[found.median("certainty", of_coverage(pick), 0) for pick in (min, max)],
            unit=" %",
            at_least=93.5,
            at_most=96.5,
        ),
        Bound(
            what="gate of 3,000 cases: ≥ 95 % of regressions by twice the margin fail",
            values=[found.median("certainty", lambda line: 100 * line["gate"][-1]["fail"], 0)],
            unit=" %",
            at_least=95,
        ),
        Bound(
            what="gate: ≤ 2.5 % fail without a difference",
            values=[found.median("certainty", lambda line: 100 * max(one["fail"] for one in line["gate"][::2]), 0)],
            unit=" %",
            at_most=2.5,
        ),
        Bound(
            what="second run of an unchanged partition: 0 requests",
            values=[found.median("ours again", "requests")],
            at_most=0,
        ),
        Bound(
            what="10,000 synchronous requests at 4,000 a minute: ≤ 1 % of the calls refused",
            values=[found.median("synchronous", "refused_percent", 0)],
            unit=" %",
            at_most=1,
        ),
        Bound(
            what="the same: ≤ 1.1 times what the limit allows, all answered",
            values=[
                found.median("synchronous", lambda line: line["times_allowed"] if not line["lost"] else math.inf, 0)
            ],
            unit=" ×",
            at_most=1.1,
        ),
        Bound(
            what="the same: ≤ 80 MB over the imports",
            values=[found.median("synchronous", over_imports, 0)],
            unit=" MB",
            at_most=80,
        ),
        Bound(
            what="the calls alone: ≤ 10 MB over the imports",
            values=[found.median("synchronous --who calls", over_imports, 0)],
            unit=" MB",
            at_most=10,
        ),
    ]
