"""Whether each variant may replace the baseline: the gate decides by the interval, never by one difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from include.evaluation.result import Comparison, GateDecision, Verdict
from include.evaluation.spec.settings import LATEST, EvaluationSettings, GateSettings
from include.evaluation.statistics.interval import Interval
from include.evaluation.statistics.paired import more_cases


def decide(
    found: Iterable[Comparison], variants: Sequence[str], settings: EvaluationSettings
) -> Iterator[GateDecision]:
    """
    Yield what each condition of the gate says of each variant that it asks about.

    A variant passes if the whole interval of its effect is above minus ``margin``, and fails if all of it is below. In
    between, and without an interval, the condition is inconclusive.

    :param variants: those that were evaluated
    """
    by_name = {(one.metric, one.variant, one.baseline): one for one in found}
    for condition in settings.gate:
        asked = [condition.variant] if condition.variant is not None else variants
        others = [name for name in asked if name != condition.baseline]
        if not others:
            yield _undecided(condition, condition.baseline, "no other variant was evaluated")
        for variant in others:
            comparison = by_name.get((condition.metric, variant, condition.baseline))
            if comparison is None:
                yield _undecided(condition, variant, _missing(condition, variant, variants))
            else:
                yield _decision(condition, comparison, settings.confidence)


def _missing(condition: GateSettings, variant: str, variants: Sequence[str]) -> str:
    if variant not in variants:
        return f"there are no scores of {variant}"
    if condition.baseline == LATEST:
        return "no earlier evaluation of another run has passed yet"
    return f"there are no scores of {condition.baseline}"


def verdict(decisions: Iterable[GateDecision]) -> Verdict:
    """Return the verdict of all conditions that may fail an evaluation; without any, it passes."""
    binding = {one.verdict for one in decisions if one.on == "fail"}
    return "fail" if "fail" in binding else "inconclusive" if "inconclusive" in binding else "pass"


def _decision(condition: GateSettings, comparison: Comparison, confidence: float) -> GateDecision:
    effect, low, high = comparison.effect, comparison.low, comparison.high
    if effect is None or low is None or high is None:
        return _undecided(condition, comparison.variant, _too_few(comparison.cases))
    limit = -condition.margin
    found: Verdict = "pass" if low >= limit else "fail" if high < limit else "inconclusive"
    more = None
    if found == "inconclusive":
        interval = Interval(low=low, high=high, method=comparison.method)
        more = more_cases(effect, interval, comparison.cases, limit=limit, confidence=confidence)
    what = (
        f"{condition.metric} of {comparison.variant} is {_points(effect)} {condition.baseline} on"
        f" {comparison.cases:,} cases ({100 * confidence:.3g}% interval {low * 100:+.1f} to {high * 100:+.1f})"
    )
    allowed = f"{condition.margin * 100:.1f} points below"
    ends = {
        "pass": f"; {allowed} are allowed.",
        "fail": f"; only {allowed} are allowed.",
        "inconclusive": f"; {allowed} are allowed, so these cases do not decide."
        + (f" About {more:,} more would." if more else ""),
    }
    return GateDecision(
        metric=condition.metric,
        variant=comparison.variant,
        baseline=condition.baseline,
        margin=condition.margin,
        on=condition.on,
        verdict=found,
        effect=effect,
        low=low,
        high=high,
        more_cases=more,
        why=what + ends[found],
    )


def _undecided(condition: GateSettings, variant: str, reason: str) -> GateDecision:
    return GateDecision(
        metric=condition.metric,
        variant=variant,
        baseline=condition.baseline,
        margin=condition.margin,
        on=condition.on,
        verdict="inconclusive",
        effect=None,
        low=None,
        high=None,
        why=f"{condition.metric} of {variant} cannot be compared with {condition.baseline}: {reason}.",
    )


def _too_few(cases: int) -> str:
    # An interval takes two cases, or two clusters.
    return f"{cases} shared cases are too few" if cases < 2 else f"all {cases:,} shared cases are one cluster"


def _points(effect: float) -> str:
    direction = "above" if effect > 0 else "below"
    return f"{abs(effect) * 100:.1f} points {direction}" if round(effect, 3) else "level with"
