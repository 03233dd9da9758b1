"""cost_table.py: cost estimates as a table for people."""

from __future__ import annotations

from decimal import Decimal

from include.enrichment.cost.bounds import Bounds, Usd
from include.enrichment.cost.cost_table import cost_table
from include.enrichment.cost.estimate import Estimate, join_variants
from include.enrichment.runs.modes import Mode


def estimate(requests: int, usd: str | None, mode: Mode = "batch") -> Estimate:
    tokens = Bounds(low=0, expected=requests * 10, high=requests * 20)
    cost = Usd(low=Decimal(0), expected=Decimal(usd), high=Decimal(usd) * 2) if usd else None
    return Estimate(
        requests=requests,
        bytes=requests * 4_000,
        input_tokens=tokens,
        output_tokens=tokens,
        cost_usd=cost,
        synchronous_usd=None if usd is None else Decimal(usd) * 3,
        mode=mode,
        modes_usd={"batch": cost, "synchronous": cost + cost} if cost else {},
        sources=f"prompts: {requests} counted",
    )


def test_the_table_has_a_line_per_pass_a_total_and_the_evidence() -> None:
    lines = cost_table({"canary": estimate(5, "0.01"), "main": estimate(1_000, "2")}).splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [["canary", "batch"], ["main", "batch"], ["total", "batch"]]
    assert [line.split()[2] for line in lines[1:4]] == ["5", "1,000", "1,005"]
    assert lines[3].split()[-6:] == ["0.0000", "2.0100", "4.0200", "2.0100", "4.0200", "6.0300"]
    assert lines[4:6] == ["canary: prompts: 5 counted.", "main: prompts: 1000 counted."]


def test_the_costs_of_a_model_without_a_price_are_question_marks() -> None:
    lines = cost_table({"canary": estimate(5, "0.01"), "main": estimate(1_000, None)}).splitlines()
    assert lines[2].split()[-6:] == lines[3].split()[-6:] == ["?"] * 6
    assert "The cost is unknown: prices.yaml has no price for the model." in lines


def test_one_pass_has_no_total() -> None:
    assert "total" not in cost_table({"main": estimate(5, "1")})


def test_the_table_tells_the_mode_of_each_pass() -> None:
    passes = {"canary": estimate(5, "0.01", "synchronous"), "main": estimate(1_000, "2"), "retry": estimate(0, None)}
    lines = cost_table(passes).splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["synchronous", "batch", "0", "both"]


def test_each_variant_has_a_line_and_a_total_of_its_own() -> None:
    canary = join_variants({"current": estimate(5, "0.01"), "candidate": estimate(5, "0.02")})
    main = join_variants({"current": estimate(95, "1"), "candidate": estimate(95, "2")})
    lines = cost_table({"canary": canary, "main": main}, {"batches": {"canary": 2, "main": 2}}).splitlines()
    assert {line.strip().partition("  ")[0]: line.split()[-4] for line in lines[1:10]} == {
        "canary, current": "0.0200",
        "canary, candidate": "0.0400",
        "canary": "0.0600",
        "main, current": "2.0000",
        "main, candidate": "4.0000",
        "main": "6.0000",
        "total, current": "2.0200",
        "total, candidate": "4.0400",
        "total": "6.0600",
    }
    assert lines[10:14] == [
        "canary, current: prompts: 5 counted.",
        "canary, candidate: prompts: 5 counted.",
        "main, current: prompts: 95 counted.",
        "main, candidate: prompts: 95 counted.",
    ]
