"""figures.py: the usage records, summed up."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from include.enrichment.batches.usage import USAGE_SCHEMA
from include.enrichment.cost.report_days import ReportDays
from include.enrichment.storage.version import VERSION
from include.reporting.figures import SUMMARY_SCHEMA, Figures, make_figures, make_summary
from tests.fixtures.usage import NOON, usage_line

DAYS = ReportDays(first=date(2026, 11, 1), last=date(2026, 11, 30))
CENT = Decimal("0.01")
PAID: dict[str, Any] = {"model": "claude-haiku-4-5", "requests": 10, "succeeded": 10, "cost_usd": CENT}
PAID |= {"synchronous_usd": 3 * CENT, "unusable_usd": Decimal(0)}


def line(batch_id: str, days_later: int = 0, **fields: Any) -> pa.Table:
    return usage_line(batch_id, NOON + timedelta(days=days_later), **(PAID | fields))


def records(*lines: pa.Table) -> pa.Table:
    return pa.concat_tables([USAGE_SCHEMA.empty_table(), *lines])


def of(*lines: pa.Table) -> Figures:
    return make_figures(records(*lines), DAYS)


def test_the_summary_has_a_line_per_day_pipeline_and_model() -> None:
    made = make_summary(
        records(
            line("b1"), line("b2"), line("b3", 1), line("b4", pipeline="other"), line("b5", model="claude-opus-5-5")
        )
    )
    assert made.schema.equals(SUMMARY_SCHEMA)
    assert made.schema.metadata == {b"version": str(VERSION).encode()}
    assert made.select(["day", "pipeline", "model", "batches", "requests"]).to_pylist() == [
        {"day": day, "pipeline": pipeline, "model": model, "batches": batches, "requests": 10 * batches}
        for day, pipeline, model, batches in [
            (NOON.date(), "other", "claude-haiku-4-5", 1),
            (NOON.date(), "tickets", "claude-haiku-4-5", 2),
            (NOON.date(), "tickets", "claude-opus-5-5", 1),
            (date(2026, 11, 3), "tickets", "claude-haiku-4-5", 1),
        ]
    ]


def test_each_mode_has_its_own_lines_and_totals_and_earlier_versions_sent_batches() -> None:
    lines = [line("b1"), line("b2", mode="batch"), line("asked_1", mode="synchronous", cost_usd=2 * CENT)]
    made = make_summary(records(*lines))
    assert made.select(["mode", "batches", "cost_usd"]).to_pylist() == [
        {"mode": "batch", "batches": 2, "cost_usd": 2 * CENT},
        {"mode": "synchronous", "batches": 1, "cost_usd": 2 * CENT},
    ]
    found = of(*lines).by_mode
    assert {mode: totals.cost_usd for mode, totals in found.items()} == {"batch": 2 * CENT, "synchronous": 2 * CENT}
    assert of(line("b1")).by_mode.keys() == {"batch"}


def test_amounts_are_summed_exactly() -> None:
    """Floats would give 0.30000000000000004 for three of them, and lose the last place of a large amount."""
    large, tiny = Decimal("123456.000000000001"), Decimal("0.1")
    lines = [line(f"b{number}", cost_usd=tiny, synchronous_usd=large) for number in range(3)]
    (found,) = make_summary(records(*lines)).to_pylist()
    assert (found["cost_usd"], found["synchronous_usd"]) == (3 * tiny, 3 * large)
    assert found["saved_usd"] == 3 * large - 3 * tiny
    assert (of(*lines).totals.cost_usd, of(*lines).totals.saved_usd) == (3 * tiny, 3 * large - 3 * tiny)


def test_an_unknown_cost_is_null_in_the_summary_and_listed_in_the_figures() -> None:
    unknown: dict[str, Any] = dict.fromkeys(("cost_usd", "synchronous_usd", "unusable_usd"))
    lines = [line("b1"), line("b2", **unknown)]
    (found,) = make_summary(records(*lines)).to_pylist()
    assert [found[name] for name in (*unknown, "saved_usd")] == [None] * 4
    totals = of(*lines).totals
    assert (totals.cost_usd, totals.unpriced) == (CENT, 1)
    assert [batch.batch_id for batch in of(*lines).unpriced] == ["b2"]
    assert [batch.batch_id for batch in of(*lines).most_expensive] == ["b1"]


def test_the_hit_rate_is_the_share_of_cached_tokens_that_was_read() -> None:
    cached = line("b1", cache_read_tokens=60, cache_write_5m_tokens=10, cache_write_1h_tokens=30)
    (found,) = make_summary(records(cached)).to_pylist()
    assert found["cache_hit_rate"] == of(cached).totals.hit_rate == 0.6
    (found,) = make_summary(records(line("b1"))).to_pylist()
    assert found["cache_hit_rate"] is of(line("b1")).totals.hit_rate is None


def test_a_request_that_did_not_succeed_has_no_usable_answer() -> None:
    totals = of(line("b1", succeeded=7, invalid=2, expired=1, unusable_usd=CENT)).totals
    assert (totals.unusable, totals.unusable_share, totals.unusable_usd) == (3, 0.3, CENT)


def test_days_and_pipelines_are_summed_separately() -> None:
    found = of(line("b1"), line("b2", pipeline="other", cost_usd=2 * CENT), line("b3", 1))
    assert list(found.by_pipeline) == ["other", "tickets"]
    assert [totals.cost_usd for totals in found.by_pipeline.values()] == [2 * CENT, 2 * CENT]
    assert {day: totals.cost_usd for day, totals in found.by_day.items()} == {
        NOON.date(): 3 * CENT,
        date(2026, 11, 3): CENT,
    }
    assert found.by_day_and_pipeline[NOON.date(), "tickets"].batches == 1


def test_a_batch_counts_on_its_utc_day() -> None:
    late = usage_line("b1", NOON.replace(hour=23, minute=59), **PAID)
    assert list(of(late).by_day) == [NOON.date()]


def test_the_twenty_most_expensive_batches_are_listed() -> None:
    found = of(*(line(f"b{number}", cost_usd=number * CENT) for number in range(25))).most_expensive
    assert [batch.batch_id for batch in found] == [f"b{number}" for number in range(24, 4, -1)]
    assert found[0].cost_usd == 24 * CENT


def test_a_prefix_that_was_never_read_is_listed_with_its_extra_cost() -> None:
    """In a batch, a million tokens of Haiku 4.5 cost $0.50 as input, $1 as 1h write and $0.625 as 5m write."""
    wrote = line("b1", cache_write_1h_tokens=1_000_000, cache_write_5m_tokens=1_000_000)
    (found,) = of(wrote, line("b2")).never_read
    assert (found.pipeline, found.batches, found.written) == ("tickets", 2, 2_000_000)
    assert found.extra_usd == Decimal("0.625")
    assert of(wrote, line("b2", 5, cache_read_tokens=1)).never_read == []
    assert of(line("b1")).never_read == []


def test_the_extra_cost_is_unknown_without_a_price() -> None:
    (found,) = of(line("b1", cache_write_1h_tokens=1, model="claude-next")).never_read
    assert found.extra_usd is None


def test_emulated_batches_are_never_added_to_those_of_claude() -> None:
    simulated = line("msgbatch_simulated_1", cost_usd=9 * CENT)
    alone = of(simulated)
    assert (alone.simulated, alone.left_out, alone.totals.cost_usd) == (True, 0, 9 * CENT)
    both = of(simulated, line("msgbatch_1"))
    assert (both.simulated, both.left_out, both.totals.cost_usd) == (False, 1, CENT)
    assert [batch.batch_id for batch in both.most_expensive] == ["msgbatch_1"]
    found = make_summary(records(simulated, line("msgbatch_1"))).to_pylist()
    assert [(one["simulated"], one["cost_usd"]) for one in found] == [(False, CENT), (True, 9 * CENT)]


def test_days_without_batches_have_no_figures() -> None:
    found = of()
    assert (found.totals.batches, found.totals.cost_usd, found.simulated) == (0, Decimal(0), False)
    assert not found.by_day
    assert make_summary(records()).schema.equals(SUMMARY_SCHEMA)
    assert found.totals.saved_share is found.totals.unusable_share is None


class TestVariants:
    LINES = (
        line("b1", variant="current"),
        line("b2", variant="candidate", cost_usd=3 * CENT),
        line("b3", pipeline="other"),
        line("b4", 1, variant="candidate"),
    )

    def test_the_summary_has_a_line_for_each(self) -> None:
        found = make_summary(records(*self.LINES)).select(["pipeline", "variant", "cost_usd"]).to_pylist()
        assert [tuple(one.values()) for one in found] == [
            ("other", None, CENT),
            ("tickets", "candidate", 3 * CENT),
            ("tickets", "current", CENT),
            ("tickets", "candidate", CENT),
        ]

    def test_their_figures_add_up_to_those_of_the_pipeline(self) -> None:
        found = of(*self.LINES)
        assert {
            name: {variant: one.cost_usd for variant, one in each.items()} for name, each in found.by_variant.items()
        } == {"tickets": {"candidate": 4 * CENT, "current": CENT}}
        assert found.by_pipeline["tickets"].cost_usd == 5 * CENT
        assert [batch.variant for batch in found.most_expensive] == ["candidate", "current", None, "candidate"]
