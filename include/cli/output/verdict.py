"""The verdict of an evaluation for the terminal, and its exit status."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from include.cli.exit_codes import FAILED, INCONCLUSIVE, PASSED
from include.enrichment.cost.prices import format_usd
from include.enrichment.storage.layout import EvaluationFolder
from include.evaluation.result import Comparison, EvaluationResult, Metric, VariantFacts, Verdict

STATUS: dict[Verdict, int] = {"pass": PASSED, "fail": FAILED, "inconclusive": INCONCLUSIVE}
#: Shown for all smaller p-values.
_LEAST_P = 0.001
_WORDS: dict[Verdict, str] = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}


def verdict_lines(result: EvaluationResult, locate: Callable[[str], str]) -> list[str]:
    """
    Return what to print: the metrics of each variant, the comparisons, the gate, the verdict and the files.

    :param locate: returns the address of a key on the lake
    """
    folder = EvaluationFolder(pipeline=result.pipeline, evaluation_id=result.evaluation_id)
    return [
        "",
        f"{result.pipeline}, {result.partition}: {result.cases:,} cases, samples: {result.samples},"
        f" run {result.run_id}",
        *(f"  {line}" for variant in result.variants for line in _variant(variant, result.metrics)),
        *_titled("Against the baseline, case by case:", map(_comparison, result.comparisons)),
        *_titled("Gate:", (f"{_WORDS[one.verdict]} ({one.on}) {one.why}" for one in result.gate)),
        *_titled(
            "Do not trust these judges:",
            (
                f"{one.judge} for {one.metric}: {one.statistic} {_number(one.value)} with {one.with_whom}"
                for one in result.agreements
                if not one.trusted
            ),
        ),
        *(["SIMULATED: the emulator answered, not Claude, and nobody is billed."] if result.simulated else []),
        f"{_WORDS[result.verdict]}{'' if result.gate else ': evaluation.yaml has no gate'}",
        f"  report   {locate(folder.report)}",
        f"  summary  {locate(folder.summary_json)}",
        f"  JUnit    {locate(folder.junit)}",
    ]


def _titled(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return [title, *found] if found else []


def _variant(variant: VariantFacts, metrics: Iterable[Metric]) -> list[str]:
    judged = f", judges {format_usd(variant.judge_usd)}" if variant.judge_usd is not None else ""
    return [
        f"{variant.variant} ({variant.model}): {variant.answers:,} answers, {variant.invalid:,} invalid,"
        f" {format_usd(variant.cost_usd)}{judged}",
        *(f"  {_metric(one)}" for one in metrics if one.by is None and one.variant == variant.variant),
    ]


def _metric(metric: Metric) -> str:
    counts = {"missing": metric.missing, "skipped": metric.skipped, "unscored": metric.unscored}
    left_out = "".join(f", {count:,} {name}" for name, count in counts.items() if count)
    interval = "" if metric.low is None or metric.high is None else f" [{metric.low:.3f}, {metric.high:.3f}]"
    return f"{metric.metric} {_number(metric.value)}{interval} of {metric.cases:,} cases{left_out}"


def _comparison(one: Comparison) -> str:
    interval = "" if one.low is None or one.high is None else f" [{one.low:+.3f}, {one.high:+.3f}]"
    effect = "unknown" if one.effect is None else f"{one.effect:+.3f}"
    p_value = "" if one.p_adjusted is None else f", p {max(one.p_adjusted, _LEAST_P):.3f}"
    return (
        f"{one.metric}: {one.variant} against {one.baseline} {effect}{interval}{p_value};"
        f" {one.wins:,} better, {one.losses:,} worse, {one.ties:,} alike"
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
