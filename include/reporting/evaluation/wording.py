"""The numbers and sentences of the report."""

from __future__ import annotations

import re
from decimal import Decimal

from include.evaluation.result import EvaluationResult, Metric
from include.reporting.wording import count, share, usd

#: Control characters, lone surrogates, and marks that reverse the text around them. They have no place on a page.
_UNSHOWABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def showable(value: object) -> str | None:
    """
    Return a text of the data with a replacement character for each unshowable one; None for no value.

    The template escapes the text.
    """
    if value is None or value != value:
        return None
    return _UNSHOWABLE.sub("\ufffd", str(value).replace("\r\n", "\n"))


def variant_name(variant: str) -> str:
    """Return what a reader calls a variant. A pipeline without variants has a single one without a name."""
    return variant or "the pipeline"


def score(value: float | None, kind: str) -> str:
    """Format a mean score: a proportion as a percentage, any other with three decimal places."""
    if value is None:
        return "no score"
    return share(value) if kind == "proportion" else f"{value:.3f}"


def interval(low: float | None, high: float | None, kind: str) -> str:
    """Format an interval: ``82.0 to 86.3 %``."""
    if low is None or high is None:
        return "no interval"
    if kind == "proportion":
        return f"{100 * low:.1f} to {share(high)}"
    return f"{low:.3f} to {high:.3f}"


def difference(value: float | None, kind: str) -> str:
    """Format a difference between two scores: percentage points for proportions, with its sign."""
    if value is None:
        return "unknown"
    return f"{_signed(100 * value, 1)} points" if kind == "proportion" else _signed(value, 3)


def difference_tick(value: float, kind: str) -> str:
    """Format a difference as briefly as an axis needs it, in percentage points for proportions."""
    return (
        _signed(100 * value, 1).removesuffix(".0")
        if kind == "proportion"
        else _signed(value, 3).rstrip("0").removesuffix(".")
    )


def difference_interval(low: float | None, high: float | None, kind: str) -> str:
    """Format the interval of a difference: ``−4.1 to +0.3``."""
    if low is None or high is None:
        return "no interval"
    factor, places = (100, 1) if kind == "proportion" else (1, 3)
    return f"{_signed(factor * low, places)} to {_signed(factor * high, places)}"


def p_value(value: float | None) -> str:
    """Format a p-value with as many decimal places as it is worth."""
    if value is None:
        return "none"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def left_out(metric: Metric) -> str:
    """Say how many cases have no score, and why; an empty text if all have one."""
    parts = [
        f"{count(metric.missing)} without an expected value" if metric.missing else "",
        f"{count(metric.skipped)} skipped" if metric.skipped else "",
        f"{count(metric.unscored)} unscored" if metric.unscored else "",
    ]
    return ", ".join(filter(None, parts))


def headline(result: EvaluationResult) -> str:
    """Give the reason of the verdict in one sentence."""
    gate = result.gate
    if not gate:
        return "evaluation.yaml has no gate: this report compares the variants and decides nothing."
    if len(gate) == 1:
        warns = gate[0].on == "warn" and gate[0].verdict != "pass"
        return f"The only condition just warns: {gate[0].why}" if warns else gate[0].why
    deciding = [one for one in gate if one.on == "fail"]
    parts = [
        (word, [one for one in deciding if one.verdict == verdict])
        for verdict, word in (("fail", "Failed"), ("inconclusive", "Undecided"), ("pass", "Passed"))
    ]
    parts.append(("Warning", [one for one in gate if one.on == "warn" and one.verdict != "pass"]))
    return " ".join(
        f"{word}: {', '.join(f'{one.metric} of {variant_name(one.variant)}' for one in found)}."
        for word, found in parts
        if found
    )


def cost_line(result: EvaluationResult) -> str:
    """Say what was asked and what it cost, in one sentence."""
    factors = [count(result.cases, "case", "cases"), count(len(result.variants), "variant", "variants")]
    factors += [f"{result.samples} samples"] if result.samples > 1 else []
    answers = count(sum(one.answers for one in result.variants), "answer", "answers")
    known = [one.cost_usd for one in result.variants if one.cost_usd is not None]
    price = usd(sum(known, Decimal(0)) if known else None)
    line = f"{' × '.join(factors)}: {answers} for {'a simulated cost of ' if result.simulated else ''}{price}"
    if 0 < len(known) < len(result.variants):
        line += f" ({count(len(result.variants) - len(known), 'variant', 'variants')} without a known price left out)"
    judges = [one.judge_usd for one in result.variants if one.judge_usd is not None]
    return f"{line}, and {usd(sum(judges, Decimal(0)))} for the judges." if judges else f"{line}."


def _signed(value: float, places: int) -> str:
    rounded = round(value, places)
    return f"{'−' if rounded < 0 else '+' if rounded > 0 else ''}{abs(rounded):.{places}f}"
