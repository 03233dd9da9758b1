"""The measurements of all contenders, and the figures that are computed from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.contenders import SIZES

#: What a process has printed, with the ``command`` of its contender and the ``size``, in rows, that it was run at (0
#: for what has no size).
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
    """All measurements. What was not measured is NaN, and so is whatever is worked out from it."""

    lines: Sequence[Line]

    def of(self, command: str, size: int = FULL) -> list[Line]:
        """The measurements of a contender."""
        return [line for line in self.lines if (line["command"], line["size"]) == (command, size)]

    def median(self, command: str, value: str | Value, size: int = FULL) -> float:
        """The median of a value of a contender's runs."""
        values = [_value(line, value) for line in self.of(command, size)]
        return statistics.median(values) if values else math.nan

    def sizes(self, command: str) -> list[int]:
        """The sizes that a contender was run at, in ascending order."""
        return sorted({line["size"] for line in self.lines if line["command"] == command})

    def seconds(self, *commands: str) -> float:
        """How long these take, one after the other."""
        return sum(self.median(command, "seconds") for command in commands)


def over_imports(line: Line) -> float:
    """The most memory that was taken beyond the interpreter with its imports, in MB."""
    return float(line["rss_peak_mb"] - line["rss_before_mb"])


def _value(line: Line, value: str | Value) -> float:
    return float(line[value] if isinstance(value, str) else value(line))
