from __future__ import annotations

from decimal import Decimal

import pytest

from include.cli.output.verdict import STATUS, verdict_lines
from include.evaluation.result import JudgeAgreement, VariantFacts
from tests.fixtures.evaluations import make_decision, make_metric, make_result


def test_the_numbers_come_first_and_the_verdict_with_the_addresses_last() -> None:
    variant = VariantFacts(
        variant="current", model="m", answers=3, invalid=1, cost_usd=Decimal("0.25"), judge_usd=Decimal("0.5")
    )
    lines = verdict_lines(make_result(variants=[variant]), lambda key: f"s3://lake/{key}")
    assert lines[1:] == [
        "tickets, 2026-11-01: 3 cases, samples: 1, run manual__1",
        "  current (m): 3 answers, 1 invalid, $0.2500, judges $0.5000",
        "    topic 0.667 [0.200, 0.940] of 3 cases",
        "Gate:",
        "  PASS: At worst 1 point lower.",
        "SIMULATED: the emulator answered, not Claude, and nobody is billed.",
        "PASS",
        "  report   s3://lake/evaluations/tickets/20261130T030000Z-0123abcd/report.html",
        "  summary  s3://lake/evaluations/tickets/20261130T030000Z-0123abcd/summary.json",
        "  JUnit    s3://lake/evaluations/tickets/20261130T030000Z-0123abcd/junit.xml",
    ]


def test_what_is_left_out_of_a_metric_is_counted_and_groups_are_left_to_the_report() -> None:
    metrics = [
        make_metric(value=None, low=None, high=None, cases=0, missing=2, unscored=1_000),
        make_metric(by="shelf", group="toys"),
    ]
    lines = verdict_lines(make_result(metrics=metrics, simulated=False, gate=[]), str)
    assert lines[3] == "    topic unknown of 0 cases, 2 missing, 1,000 unscored"
    assert lines[4] == "PASS: evaluation.yaml has no gate"


def test_a_judge_that_is_not_to_be_trusted_is_named() -> None:
    judge = JudgeAgreement(
        metric="pitch", judge="pitch_judge", with_whom="human", cases=9, statistic="kappa", value=0.1, trusted=False
    )
    lines = verdict_lines(make_result(agreements=[judge]), str)
    assert "  pitch_judge for pitch: kappa 0.100 with human" in lines


@pytest.mark.parametrize(("verdict", "status"), [("pass", 0), ("fail", 1), ("inconclusive", 3)])
def test_each_verdict_has_its_exit_status_and_its_word(verdict: str, status: int) -> None:
    result = make_result(verdict=verdict, gate=[make_decision(verdict=verdict)])
    assert STATUS[result.verdict] == status
    assert verdict.upper() in verdict_lines(result, str)


def test_a_report_of_the_demo_has_an_address_that_a_browser_opens() -> None:
    lines = verdict_lines(make_result(), str, served="http://127.0.0.1:1/evaluation-report")
    report = lines.index("  report   evaluations/tickets/20261130T030000Z-0123abcd/report.html")
    assert lines[report + 1].strip() == "http://127.0.0.1:1/evaluation-report/tickets/20261130T030000Z-0123abcd"


def test_a_condition_that_only_warns_says_so() -> None:
    lines = verdict_lines(make_result(gate=[make_decision(verdict="fail", on="warn", why="Worse.")]), str)
    assert "  FAIL (only a warning): Worse." in lines
