"""The report on given measurements; nothing is timed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks.bounds import Bound, bounds
from tests.benchmarks.contenders import MEMORY_SIZE
from tests.benchmarks.measurements import ESTIMATED, Found, over_imports
from tests.benchmarks.report import render


def _line(command: str, seconds: float, *, size: int = 100_000, memory: float = 50.0, **facts: Any) -> dict[str, Any]:
    measured = {
        "at": "2026-11-01",
        "seconds": seconds,
        "cpu_seconds": seconds,
        "rss_before_mb": 100.0,
        "rss_peak_mb": 100.0 + memory,
    }
    return {"command": command, "size": size, **measured, **facts}


SUBMITTED = [
    *(_line("ours submit", seconds, content_length=True, mb=240) for seconds in (1.5, 1.0, 0.5)),
    *(_line("seed submit", seconds, memory=2_000) for seconds in (9.0, 11.0, 10.0)),
    _line("floors read-chunks", 0.2),
    _line("floors upload", 0.4),
]


def _bound(what: str, lines: list[dict[str, Any]]) -> Bound:
    return next(bound for bound in bounds(Found(lines)) if what in bound.what)


def test_medians_are_compared() -> None:
    found = Found(SUBMITTED)
    assert found.seconds("seed submit") == 10
    assert found.median("seed submit", over_imports) == 2_000
    assert _bound("as the seed pattern", SUBMITTED).values == [10]
    assert _bound("as the seed pattern", SUBMITTED).verdict == "met"


def test_consecutive_floors_are_added() -> None:
    (times,) = _bound("reading and uploading", SUBMITTED).values
    assert times == pytest.approx(1 / 0.6)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([8.0], "met"), ([7.9], "**not met**"), ([12.0, 7.0], "**not met**"), ([float("nan"), 9.0], "not measured")],
)
def test_every_value_must_be_within_the_bound(values: list[float], verdict: str) -> None:
    assert Bound(what="speed", values=values, at_least=8).verdict == verdict


def test_memory_that_grows_with_the_rows_is_found() -> None:
    def verdict(*memory: float) -> str:
        sizes = (10_000, 100_000, MEMORY_SIZE)
        lines = [
            _line("ours submit", 1, size=size, memory=mb, content_length=True)
            for size, mb in zip(sizes, memory, strict=False)
        ]
        return _bound("≤ 80 MB", lines).verdict

    assert verdict(40, 50) == "not measured"
    assert verdict(40, 50, 81) == "**not met**"
    assert verdict(40, 50, 80) == "met"


def test_a_create_without_its_content_length_is_found() -> None:
    lines = [_line("ours submit", 1, content_length=False)]
    assert _bound("Content-Length", lines).verdict == "**not met**"


def test_the_table_has_medians_with_min_and_max_and_the_multiple_of_ours() -> None:
    text = render(SUBMITTED, machine="2026-11-01, 2 cores")
    rows = [line for line in text.splitlines() if line.startswith("| 100,000 |")]
    assert "| 1 (0.50–1.50) | 1 | 100,000 | 240 | 150 (+50) | 1 × |" in rows[0]
    assert "| 10 (9–11) | 10 | 10,000 |  | 2,100 (+2,000) | 10 × |" in rows[1]


def test_a_missing_measurement_has_no_table_and_no_verdict() -> None:
    text = render(SUBMITTED, machine="2026-11-01, 2 cores")
    assert "## Load" not in text
    assert "| extract: ≥ 50,000 rows/s | ? rows/s | not measured |" in text


def test_a_part_of_its_own_kind_shows_its_figures() -> None:
    parse = {
        "command": "parse",
        "size": 0,
        "at": "2026-11-01",
        "one_file_ms": 120.0,
        "all_files_seconds": 3.5,
        "tasks": [1],
    }
    assert "| one file ms | 120 |\n| all files seconds | 3.50 |" in render([parse], machine="")


def test_the_cost_is_compared_with_that_of_synchronous_calls() -> None:
    facts = {"requests": 10_000, "batches": 3, "input_tokens_each": 8_350.5, "output_tokens_each": 144.2}
    facts |= {"low_usd": 50, "expected_usd": 60, "high_usd": 80}
    warmed = facts | {"cache_hits": 0.9795, "billed_usd": 59.2, "synchronous_usd": 272.1, "ratio": 0.2176}
    off = facts | {"cache_hits": None, "billed_usd": 1_136.05, "synchronous_usd": 272.1, "ratio": 0.5}
    lines = [
        {"command": f"money --cache {how}", "size": 0, "at": "2026-11-01", **line}
        for how, line in (("1h --canary-rows 5", warmed), ("off --canary-rows 5", off))
    ]
    text = render(lines, machine="")
    assert "## Money (2026-11-01)\n\nThe emulator stood in for Claude" in text
    assert (
        "| **this project**: `cache: 1h`, warmed by a canary | 8,350 / 144 | 3 | 98.0 % | 60.00 (50.00 to 80.00) |"
        in text
    )
    assert "| `cache: off` | 8,350 / 144 | 3 | – | 60.00 (50.00 to 80.00) | 1,136.05 | 272.10 | 0.500 |" in text
    assert _bound("documents", lines).verdict == "met"


def test_each_check_shows_what_it_found_missed_and_took_for_bad() -> None:
    figures = {"planted": 1_000, "found": 998, "good": 2_000, "false_alarms": 1}
    flow = {"once": 500, "repaired": 499, "always": 500, "rejected": 500}
    line = {
        "command": "accuracy",
        "size": 0,
        "at": "2026-11-01",
        "checks": [{"kind": "too_long", "texts": "titles", **figures, **flow}],
    }
    row = "| `too_long` | titles | 1,000 | 998 | 2 | 1 of 2,000 | 499 of 500 | 500 of 500 |"
    assert row in render([line], machine="")


def test_a_bill_is_compared_with_its_estimate() -> None:
    facts = {"size": 0, "at": "2026-11-01", "low_usd": 50, "expected_usd": 60, "high_usd": 80}
    for billed, verdicts in ((58, ["met", "met"]), (75, ["**not met**", "met"]), (90, ["**not met**"] * 2)):
        lines = [facts | {"command": command, "billed_usd": billed, "ratio": 0.2} for command in ESTIMATED]
        assert [bound.verdict for bound in bounds(Found(lines)) if bound.what.startswith("three")] == verdicts
