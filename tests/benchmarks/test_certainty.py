"""Simulated evaluations, few of them."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.bounds import bounds
from tests.benchmarks.certainty import GATE_CASES, PLANTED, coverage, gate, power
from tests.benchmarks.measurements import Found
from tests.benchmarks.report import render


def test_simulated_evaluations_become_tables_and_bounds() -> None:
    line: dict[str, Any] = {
        **{"command": "certainty", "size": 0, "at": "2026-11-01"},
        **{"coverage": list(coverage(4)), "power": [power(20, 1_000)], "gate": list(gate(2))},
    }
    assert all(0 < one["width"] < 0.5 for one in line["coverage"])
    assert line["power"][0]["paired"] > line["power"][0]["unpaired"]
    assert [(one["cases"], one["planted"]) for one in line["gate"]] == [
        (cases, planted) for cases in GATE_CASES for planted in PLANTED
    ]
    assert [(one["pass"], one["fail"]) for one in line["gate"][2:]] == [(1, 0), (0, 1)]
    text = render([line], machine="")
    assert "| 3,000 | twice the margin worse | 0.0 % | 0.0 % | 100.0 % | 100.0 % |" in text
    (bound,) = (one for one in bounds(Found([line])) if "regressions" in one.what)
    assert bound.verdict == "met"
