"""wording.py: the numbers and sentences of the report."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from include.evaluation.result import VariantFacts
from include.reporting.evaluation import wording
from tests.fixtures.evaluation_report import decision, metric, result


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, None),
        (float("nan"), None),
        (12, "12"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("\x00\x1b[31m", "\ufffd\ufffd[31m"),
        ("safe \u202eexe.txt", "safe \ufffdexe.txt"),
        ("\ud800", "\ufffd"),
        ("👩\u200d🔬 é", "👩\u200d🔬 é"),
    ],
)
def test_unshowable_characters_are_replaced(text: object, shown: str | None) -> None:
    assert wording.showable(text) == shown


def test_proportions_are_percentages_and_means_are_numbers() -> None:
    assert wording.score(0.8424, "proportion") == "84.2\u00a0%"
    assert wording.score(0.8424, "mean") == "0.842"
    assert wording.score(None, "mean") == "no score"
    assert wording.interval(0.82, 0.863, "proportion") == "82.0 to 86.3\u00a0%"
    assert wording.interval(0.82, 0.863, "mean") == "0.820 to 0.863"
    assert wording.interval(None, 0.863, "mean") == "no interval"


def test_differences_have_a_sign_and_proportions_differ_in_points() -> None:
    assert wording.difference(-0.021, "proportion") == "−2.1 points"
    assert wording.difference(0.0304, "mean") == "+0.030"
    assert wording.difference(0.0, "proportion") == "0.0 points"
    assert wording.difference(None, "mean") == "unknown"
    assert wording.difference_interval(-0.041, 0.003, "proportion") == "−4.1 to +0.3"
    assert wording.difference_interval(None, None, "mean") == "no interval"


def test_an_axis_has_short_labels() -> None:
    assert [wording.difference_tick(value, "proportion") for value in (-0.05, 0.0, 0.025)] == ["−5", "0", "+2.5"]
    assert [wording.difference_tick(value, "mean") for value in (-0.05, 0.0, 1.0)] == ["−0.05", "0", "+1"]


def test_a_tiny_p_value_is_a_bound() -> None:
    assert [wording.p_value(value) for value in (None, 0.0004, 0.0312)] == ["none", "< 0.001", "0.031"]


def test_cases_without_a_score_are_counted_by_reason() -> None:
    assert wording.left_out(metric()) == ""
    assert wording.left_out(metric(missing=3, skipped=2, unscored=1_000)) == (
        "3 without an expected value, 2 skipped, 1,000 unscored"
    )


def test_the_headline_of_one_condition_is_its_reason() -> None:
    assert wording.headline(result(gate=[decision()])) == "short is 6.0 points worse."
    assert wording.headline(result(gate=[decision(on="warn")])) == (
        "The only condition just warns: short is 6.0 points worse."
    )
    assert "has no gate" in wording.headline(result())


def test_the_headline_of_several_conditions_names_those_that_failed_first() -> None:
    gate = [
        decision(verdict="pass", variant="a"),
        decision(verdict="inconclusive", variant="b"),
        decision(),
        decision(verdict="pass", variant="c"),
        decision(on="warn", metric="pitch"),
    ]
    assert wording.headline(result(gate=gate)) == (
        "Failed: category of short. Undecided: category of b. Passed: category of a, category of c."
        " Warning: pitch of short."
    )


def test_the_cost_line_multiplies_cases_variants_and_samples() -> None:
    assert wording.cost_line(result()) == "100 cases × 2 variants: 200 answers for $0.5000."
    assert "200 answers for a simulated cost of $0.5000." in wording.cost_line(result(simulated=True))
    facts: dict[str, Any] = {"model": "m", "answers": 1_500, "invalid": 0}
    variants = [
        VariantFacts(variant="a", cost_usd=Decimal(2), judge_usd=Decimal(1), **facts),
        VariantFacts(variant="b", **facts),
    ]
    assert wording.cost_line(result(samples=3, cases=500, variants=variants)) == (
        "500 cases × 2 variants × 3 samples: 3,000 answers for $2.00"
        " (1 variant without a known price left out), and $1.00 for the judges."
    )
