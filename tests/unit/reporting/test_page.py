"""page.py: the HTML, parsed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.usage import USAGE_SCHEMA
from include.enrichment.cost.report_days import ReportDays
from include.reporting.charts import Chart
from include.reporting.figures import make_figures
from include.reporting.page import Gaps, render_page
from tests.fixtures.usage import NOON, usage_line

DAYS = ReportDays(first=date(2026, 11, 1), last=date(2026, 11, 30))
PAID: dict[str, Any] = {"requests": 10, "succeeded": 9, "cost_usd": Decimal(2), "synchronous_usd": Decimal(5)}
PAID |= {"unusable_usd": Decimal(0), "cache_read_tokens": 75, "cache_write_1h_tokens": 25, "model": "claude-haiku-4-5"}


#: A page shows a chart as words and two pictures. test_charts.py checks that they are SVG.
CHARTS = [Chart(title=f"Chart {number}", text=f'"{number}" & more', light=b"light", dark=b"dark") for number in (1, 2)]


@dataclass
class Parsed(HTMLParser):
    """The elements of a page, and its text without styles."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.open_tags.pop() != tag:
            pass
        if tag not in ("strong", "code"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open_tags:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def parsed(*lines: pa.Table, gaps: Gaps | None = None) -> Parsed:
    found = make_figures(pa.concat_tables([USAGE_SCHEMA.empty_table(), *lines]), DAYS)
    (result := Parsed()).feed(render_page(found, CHARTS if lines else [], gaps or Gaps(), made_at=NOON))
    return result


def line(batch_id: str = "msgbatch_1", **fields: Any) -> pa.Table:
    return usage_line(batch_id, **PAID | fields)


def entry(**fields: Any) -> Entry:
    made = Entry.planned(chunk_id="c", pipeline="tickets", chunk="k", requests=7, run_id="manual__1", at=NOON)
    return made.model_copy(update={"state": "submitted", "batch_id": "msgbatch_9"} | fields)


def test_the_page_is_self_contained_and_has_no_scripts() -> None:
    found = parsed(line())
    assert {tag for tag, _ in found.elements}.isdisjoint({"script", "link", "iframe", "object", "embed", "form", "a"})
    addresses = [
        value
        for _, attributes in found.elements
        for name, value in attributes.items()
        if name in ("src", "srcset", "href")
    ]
    assert len(addresses) == 4
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]


def test_every_chart_has_a_title_an_alternative_text_and_a_dark_version() -> None:
    found = parsed(line())
    images = found.all("img")
    assert [image["alt"] for image in images] == ['Chart 1. "1" & more', 'Chart 2. "2" & more']
    assert len(found.all("figcaption")) == len(found.all("source")) == 2
    assert {source["media"] for source in found.all("source")} == {"(prefers-color-scheme: dark)"}


def test_the_headline_shows_cost_savings_hit_rate_and_unusable_answers() -> None:
    text = parsed(line()).text
    assert "Cost $2.00 1 batch, 10 requests" in text
    assert "Saved $3.00 60.0 % of $5.00" in text
    assert "Cache hit rate 75.0 %" in text
    assert "Without a usable answer 10.0 % 1 request" in text


def test_each_variant_has_a_line_below_its_pipeline() -> None:
    text = parsed(line("b1", variant="current"), line("b2", variant="candidate")).text
    pipelines = text[text.index("Pipelines") :]
    assert pipelines.index("tickets $4.00") < pipelines.index("tickets, candidate $2.00")
    assert pipelines.index("tickets, candidate $2.00") < pipelines.index("tickets, current $2.00")


def test_both_modes_have_a_line_if_requests_were_synchronous() -> None:
    text = parsed(line("b1"), line("asked_1", mode="synchronous")).text
    modes = text[text.index("Batches and synchronous requests") : text.index("Pipelines")]
    assert modes.index("batch $2.00") < modes.index("synchronous $2.00")
    assert "Batches and synchronous requests" not in parsed(line("b1")).text


def test_names_are_escaped() -> None:
    odd = '<img src=x onerror="alert(1)">'
    found = parsed(line(pipeline=odd, model=odd, pass_name=odd, partition=odd, batch_id=odd))
    assert found.text.count(odd) == 6
    assert len(found.all("img")) == 2


def test_days_without_batches_show_a_notice() -> None:
    found = parsed()
    assert "No batch of these days has a usage record." in found.text
    assert found.all("figure") == found.all("table") == []


def test_emulated_batches_are_never_shown_as_claudes() -> None:
    simulated = line("msgbatch_simulated_1")
    text = parsed(simulated).text
    assert "SIMULATED. The emulator answered all of these batches, not Claude" in text
    assert "Emulated usage and cost" in text
    both = parsed(simulated, line()).text
    assert "Claude usage and cost" in both
    assert "The emulator answered 1 batch of these days: simulated, and left out" in both
    assert "SIMULATED" not in both
    assert "imulated" not in parsed(line()).text


def test_a_prefix_that_was_never_read_is_shown_with_its_extra_cost() -> None:
    text = parsed(line(cache_read_tokens=0, cache_write_1h_tokens=2_000_000)).text
    assert "tickets wrote 2.0 M tokens to the prompt cache in 1 batch and read none of them." in text
    assert "cost $1.00 more than plain input" in text


def test_a_batch_without_a_price_is_named_with_the_remedy() -> None:
    unknown: dict[str, Any] = dict.fromkeys(("cost_usd", "synchronous_usd", "unusable_usd"))
    text = parsed(line(), line("msgbatch_2", model="claude-next", **unknown)).text
    assert "The cost of 1 batch is unknown: include/enrichment/cost/prices.yaml has no price for claude-next" in text
    assert "it writes them again. Batches: msgbatch_2." in text
    assert "Amounts cover only the 1 batch with a known cost." in text
    assert "an unnamed model" in parsed(line("msgbatch_2", **unknown | {"model": None})).text


def test_a_batch_that_nobody_loaded_is_named_with_its_run_and_the_remedy() -> None:
    text = parsed(gaps=Gaps(unrecorded=[entry(changed_at=datetime(2026, 11, 20, 1, 30, tzinfo=UTC))])).text
    assert (
        "Batch msgbatch_9 of tickets (7 requests) was submitted on 2026-11-20 01:30 UTC and has no usage record" in text
    )
    assert "Clear load of run manual__1, or repeat" in text


@pytest.mark.parametrize(("number", "shown"), [(0, False), (2, True)])
def test_batches_loaded_by_an_earlier_version_are_counted(number: int, shown: bool) -> None:
    text = parsed(line(), gaps=Gaps(of_earlier_versions=number)).text
    assert ("without usage records, loaded 2 batches." in text) is shown


def test_the_section_is_left_out_if_nothing_needs_attention() -> None:
    assert "Needs attention" not in parsed(line()).text
