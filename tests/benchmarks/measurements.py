"""The measurements of all contenders, and the figures that are computed from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.contenders import SIZES

#: The output of one process, with the ``command`` of its contender and its ``size`` in rows (0 if it has no size).
Line = Mapping[str, Any]
Value = Callable[[Line], float]
FULL = max(SIZES)
FLOORS_OF_SUBMIT = ("floors read-chunks", "floors upload")
FLOORS_OF_LOAD = ("floors download", "floors decode-orjson", "floors write-outcomes")
WARMED = "money --cache 1h --canary-rows 5"
ESTIMATED = (
    WARMED,
    "money --workload labels --cache off --canary-rows 20",
    "money --workload pages --cache 5m --canary-rows 20",
)


@dataclass(frozen=True)
class Found:
    """All measurements. A missing one is NaN, and so is every figure computed from it."""

    lines: Sequence[Line]

    def of(self, command: str, size: int = FULL) -> list[Line]:
        """Return the measurements of a contender."""
        return [line for line in self.lines if (line["command"], line["size"]) == (command, size)]

    def median(self, command: str, value: str | Value, size: int = FULL) -> float:
        """Return the median of a value over a contender's runs."""
        values = [_value(line, value) for line in self.of(command, size)]
        return statistics.median(values) if values else math.nan

    def sizes(self, command: str) -> list[int]:
        """Return the sizes at which a contender ran, in ascending order."""
        return sorted({line["size"] for line in self.lines if line["command"] == command})

    def seconds(self, *commands: str) -> float:
        """Return the total time of these contenders, one after the other."""
        return sum(self.median(command, "seconds") for command in commands)


def over_imports(line: Line) -> float:
    """Return the peak memory beyond that of the interpreter with its imports, in MB."""
    return float(line["rss_peak_mb"] - line["rss_before_mb"])


def _value(line: Line, value: str | Value) -> float:
    return float(line[value] if isinstance(value, str) else value(line))
