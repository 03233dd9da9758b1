"""charts.py: the content of a chart, read from its SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pytest

from include.enrichment.batches.usage import USAGE_SCHEMA
from include.enrichment.cost.report_days import ReportDays
from include.reporting.charts import Chart, draw_charts
from include.reporting.figures import make_figures
from tests.fixtures.usage import NOON, usage_line

MONTH = ReportDays(first=date(2026, 11, 1), last=date(2026, 11, 30))
PAID: dict[str, Any] = {"requests": 10, "succeeded": 9, "cost_usd": Decimal(2), "synchronous_usd": Decimal(5)}
PAID |= {"unusable_usd": Decimal(0), "cache_read_tokens": 75, "cache_write_1h_tokens": 25}


def made(lines: Sequence[pa.Table], days: ReportDays = MONTH) -> list[Chart]:
    return draw_charts(make_figures(pa.concat_tables([USAGE_SCHEMA.empty_table(), *lines]), days))


def line(pipeline: str = "tickets", days_later: int = 0, **fields: Any) -> pa.Table:
    return usage_line(f"{pipeline}-{days_later}", NOON + timedelta(days=days_later), pipeline=pipeline, **PAID | fields)


@pytest.fixture(scope="module")
def two() -> list[Chart]:
    """The charts of two pipelines: drawing them takes longer than anything that is asked of them."""
    return made([line(), line("other", 1, cost_usd=Decimal(3))])


def words(svg: bytes) -> list[str]:
    return [text for element in ElementTree.fromstring(svg).iter() if (text := (element.text or "").strip())]


def test_there_are_charts_for_cost_savings_cache_and_unusable_answers_with_texts(two: list[Chart]) -> None:
    found = {chart.title: chart.text for chart in two}
    assert found == {
        "Cost per day, by pipeline": "The most expensive day is 2026-11-03, $3.00. other: $3.00; tickets: $2.00.",
        "Cost, and cost of synchronous requests": ("$5.00; $10.00 as synchronous requests without a cache."),
        "Cache hit rate per day, by pipeline": "other: 75.0\u00a0%; tickets: 75.0\u00a0%.",
        "Requests without a usable answer": "10.0\u00a0% of all requests; most on 2026-11-02, 10.0\u00a0%.",
    }


def test_there_is_no_cache_chart_if_nothing_was_cached() -> None:
    titles = [chart.title for chart in made([line(cache_read_tokens=0, cache_write_1h_tokens=0)])]
    assert len(titles) == 3
    assert not any("Cache" in title for title in titles)


def test_there_are_no_charts_without_batches() -> None:
    assert made([]) == []


def test_text_stays_text_and_nothing_is_executed_or_fetched(two: list[Chart]) -> None:
    for chart in two:
        for svg in (chart.light, chart.dark):
            assert b"<script" not in svg
            assert not re.search(rb'href="(?!#)', svg)
            assert not re.search(rb"url\((?!#)", svg)
        assert {"tickets", "other"} <= set(words(chart.light)) or "by pipeline" not in chart.title


def test_the_same_figures_make_the_same_bytes() -> None:
    assert made([line()]) == made([line()])


def test_a_pipeline_may_have_any_name() -> None:
    names = ["<script>alert(1)</script>", "a&b", "$x^2$", "_hidden", "a]]>b", "名前"]
    cost = made([line(name) for name in names])[0]
    assert {*names} <= {*words(cost.light)}


def test_the_most_expensive_pipelines_have_a_colour_each() -> None:
    named = [line(f"p{number}", cost_usd=Decimal(20 - number)) for number in range(10)]
    legend = [word for word in words(made(named)[0].light) if re.fullmatch(r"p\d|\d others", word)]
    assert sorted(legend) == ["4 others", *(f"p{number}" for number in range(6))]


def test_a_pipeline_has_the_same_colour_in_all_charts() -> None:
    named = [line(f"p{number}", cost_usd=Decimal(20 - number)) for number in range(3)]
    named[0] = line("p0", cost_usd=Decimal(20), cache_read_tokens=0, cache_write_1h_tokens=0)
    cost, _, hit_rate, _ = made(named)
    colours = (b"#0072b2", b"#e69f00", b"#009e73")
    assert [colour in cost.light for colour in colours] == [True, True, True]
    assert [colour in hit_rate.light for colour in colours] == [False, True, True]


def test_the_text_of_the_cache_chart_names_pipelines_without_a_colour() -> None:
    plain = {"cache_read_tokens": 0, "cache_write_1h_tokens": 0}
    named = [line(f"p{number}", cost_usd=Decimal(20 - number), **plain) for number in range(9)]
    found = made([*named, line("last", cost_usd=Decimal(0))])
    assert found[2].text == "last: 75.0\u00a0%."


@pytest.mark.parametrize("length", [1, 2, 400])
def test_a_range_may_be_one_day_or_more_than_a_year(length: int) -> None:
    days = ReportDays(first=NOON.date(), last=NOON.date() + timedelta(days=length - 1))
    found = made([line("tickets", number) for number in range(length)], days)
    assert len(found) == 4
    assert sum(len(chart.light) for chart in found) < 400_000


def test_days_without_cost_can_be_drawn() -> None:
    nothing = Decimal(0)
    assert len(made([line(cost_usd=nothing, synchronous_usd=nothing, requests=0, succeeded=0)])) == 4


def test_the_chart_of_the_costs_tells_which_part_was_synchronous() -> None:
    texts = [chart.text for chart in made([line("b1"), line("b2", mode="synchronous")])]
    assert any("$4.00 ($2.00 of it synchronous); $10.00 as synchronous requests" in text for text in texts)
