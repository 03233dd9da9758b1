"""
How sure the figures of an evaluation are: simulated evaluations whose truth is known.

How often each 95% interval holds the truth, how often the paired and the unpaired test find a planted difference, and
what the gate decides beside a threshold on the difference alone.

``python -m tests.benchmarks.certainty`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportions_ztest

from include.evaluation.evaluate import evaluate
from include.evaluation.scores import Scores
from include.evaluation.spec.settings import EvaluationSettings
from include.evaluation.statistics import means, proportions
from include.evaluation.statistics.interval import Interval
from include.evaluation.statistics.paired import compare
from tests.benchmarks.measuring import measured

Generator = np.random.Generator
#: Draws one evaluation, and returns the interval and the truth.
Trial = Callable[[Generator], tuple[Interval | None, float]]
_CONFIDENCE, _RESAMPLES = 0.95, 1_000
#: Of the planted difference: the shares of cases that the variant loses and wins.
_LOST, _WON = 0.045, 0.015
_RIGHT = 0.9
MARGIN = 0.02
#: What is planted, as shares of cases that the variant loses and wins.
PLANTED = {"no difference": (0.03, 0.03), "twice the margin worse": (0.06, 0.02)}
GATE_CASES = (200, 3_000)


def coverage(evaluations: int) -> Iterator[dict[str, Any]]:
    """Yield for each interval the share of evaluations in which it holds the truth, and its mean width."""
    for (what, method, cases), trial in _TRIALS.items():
        generator = np.random.default_rng(18)
        held, width = 0, 0.0
        for _ in range(evaluations):
            found, truth = trial(generator)
            assert found is not None
            held += int(found.low <= truth <= found.high)
            width += found.high - found.low
        yield {
            **{"what": what, "method": method, "cases": cases, "evaluations": evaluations},
            **{"covered": float(held / evaluations), "width": width / evaluations},
        }


def power(evaluations: int, cases: int) -> dict[str, Any]:
    """Return how often the paired and the unpaired test find the planted difference of 3% among so many cases."""
    generator = np.random.default_rng(18)
    paired = unpaired = 0
    for _ in range(evaluations):
        lost, won, both, _none = generator.multinomial(cases, [_LOST, _WON, _RIGHT - _LOST, 1 - _RIGHT - _WON])
        paired += proportions.mcnemar(int(won), int(lost)) < 1 - _CONFIDENCE
        unpaired += proportions_ztest([both + won, both + lost], [cases, cases])[1] < 1 - _CONFIDENCE
    return {"cases": cases, "paired": paired / evaluations, "unpaired": float(unpaired / evaluations)}


def gate(seeds: int) -> Iterator[dict[str, Any]]:
    """Yield what the gate decides, and what a threshold on the same difference of two draws decides."""
    settings = EvaluationSettings.model_validate(
        {"metrics": {"label": {"grade": "exact"}}, "gate": [{"metric": "label", "margin": MARGIN}]}
    )
    for cases in GATE_CASES:
        for planted, (lost, won) in PLANTED.items():
            decided: Counter[str] = Counter()
            below = 0
            for seed in range(seeds):
                scores = _scores(np.random.default_rng(seed), cases, lost, won)
                found = evaluate(scores, settings)
                decided[found.verdict] += 1
                below += (found.comparisons[0].effect or 0) < -MARGIN
            verdicts = {verdict: decided[verdict] / seeds for verdict in ("pass", "inconclusive", "fail")}
            yield {"cases": cases, "planted": planted, "seeds": seeds, **verdicts, "threshold_fails": below / seeds}


def _scores(generator: Generator, cases: int, lost: float, won: float) -> Scores:
    kinds = generator.choice(4, size=cases, p=[lost, won, _RIGHT - lost, 1 - _RIGHT - won])
    right = np.concatenate([np.isin(kinds, (0, 2)), np.isin(kinds, (1, 2))]).astype(np.float64)
    frame = pd.DataFrame(
        {
            "case": np.tile(np.arange(cases), 2),
            "variant": pd.Categorical(np.repeat(["current", "new"], cases)),
            "metric": pd.Categorical(["label"] * 2 * cases),
            "status": pd.Categorical(["scored"] * 2 * cases),
            "sample": 1,
            "score": right,
        }
    )
    texts = pd.DataFrame("", index=frame.index, columns=["expected", "answer", "detail"])
    return Scores(scores=frame, texts=texts, cases=pd.DataFrame({"number": np.arange(cases)}))


def _share(cases: int) -> Trial:
    """The share of right answers: the true share differs from evaluation to evaluation."""

    def trial(generator: Generator) -> tuple[Interval | None, float]:
        truth = generator.uniform(0.6, 0.98)
        return proportions.wilson(generator.binomial(cases, truth), cases, confidence=_CONFIDENCE), truth

    return trial


def _paired_shares(cases: int) -> Trial:
    """The difference of two shares on the same cases."""

    def trial(generator: Generator) -> tuple[Interval | None, float]:
        won, lost = generator.uniform(0.01, 0.1, size=2)
        drawn = generator.choice([1.0, -1.0, 0.0], p=[won, lost, 1 - won - lost], size=cases)
        return _compared(drawn, None, whole=True), won - lost

    return trial


def _mean(draw: Callable[[Generator, int], NDArray[np.float64]], truth: float, cases: int) -> Trial:
    def trial(generator: Generator) -> tuple[Interval | None, float]:
        sums, sizes = means.clustered(draw(generator, cases), None)
        return means.bootstrap(sums, sizes, confidence=_CONFIDENCE, resamples=_RESAMPLES), truth

    return trial


def _clustered(clusters: int) -> Trial:
    """The share of right answers in clusters of 1 to 8 cases; the cases of one cluster are alike."""

    def trial(generator: Generator) -> tuple[Interval | None, float]:
        size = generator.integers(1, 9, size=clusters)
        right = generator.binomial(size, generator.beta(4, 1, size=clusters)).astype(np.float64)
        found = means.bootstrap(right, size.astype(np.float64), confidence=_CONFIDENCE, resamples=_RESAMPLES)
        return found, 0.8

    return trial


def _sampled(cases: int) -> Trial:
    """The share of right answers of three samples each; the samples of one case are alike."""

    def trial(generator: Generator) -> tuple[Interval | None, float]:
        sums, sizes = means.clustered(generator.binomial(3, generator.beta(4, 1, size=cases)) / 3, None)
        return means.bootstrap(sums, sizes, confidence=_CONFIDENCE, resamples=_RESAMPLES), 0.8

    return trial


def _paired_means(cases: int, cases_each: int = 1) -> Trial:
    """The difference of two grades on the same cases, most of which tie."""

    def trial(generator: Generator) -> tuple[Interval | None, float]:
        count = cases // cases_each
        up = np.repeat(generator.beta(2, 8, size=count), cases_each)
        drawn = np.where(generator.random(cases) < up, generator.choice([0.5, 1.0], size=cases), 0)
        drawn -= np.where((drawn == 0) & (generator.random(cases) < 0.1), 0.5, 0)
        clusters = None if cases_each == 1 else np.repeat(np.arange(count), cases_each)
        # 0.2 of the cases rise by 0.75 on average; a tenth of the others fall by 0.5.
        return _compared(drawn, clusters, whole=False), 0.2 * 0.75 - 0.8 * 0.1 * 0.5

    return trial


def _compared(drawn: NDArray[np.float64], clusters: NDArray[np.int64] | None, *, whole: bool) -> Interval | None:
    return compare(drawn, clusters, whole=whole, confidence=_CONFIDENCE, resamples=_RESAMPLES).interval


def _grades(generator: Generator, cases: int) -> NDArray[np.float64]:
    return generator.choice([1, 0.5, 0], p=[0.8, 0.15, 0.05], size=cases)


def _overlap(generator: Generator, cases: int) -> NDArray[np.float64]:
    """As F1 of lists: two thirds are perfect."""
    return np.where(generator.random(cases) < 2 / 3, 1.0, generator.beta(4, 2, size=cases))


def _nearly_perfect(generator: Generator, cases: int) -> NDArray[np.float64]:
    return np.where(generator.random(cases) < 0.9, 1.0, generator.random(cases))


_BOOTSTRAP = "BCa bootstrap"
_TRIALS: dict[tuple[str, str, int], Trial] = {
    ("share of right answers", "Wilson", 50): _share(50),
    ("share of right answers", "Wilson", 200): _share(200),
    ("paired difference of shares", "Tango", 50): _paired_shares(50),
    ("paired difference of shares", "Tango", 200): _paired_shares(200),
    ("mean grade", _BOOTSTRAP, 50): _mean(_grades, 0.875, 50),
    ("mean grade", _BOOTSTRAP, 200): _mean(_grades, 0.875, 200),
    ("mean overlap", _BOOTSTRAP, 50): _mean(_overlap, 8 / 9, 50),
    ("mean overlap", _BOOTSTRAP, 200): _mean(_overlap, 8 / 9, 200),
    ("mean, nine of ten perfect", _BOOTSTRAP, 50): _mean(_nearly_perfect, 0.95, 50),
    ("mean, nine of ten perfect", _BOOTSTRAP, 200): _mean(_nearly_perfect, 0.95, 200),
    ("share, three samples", _BOOTSTRAP, 200): _sampled(200),
    ("share, in clusters of 1 to 8", f"cluster {_BOOTSTRAP}", 20): _clustered(20),
    ("share, in clusters of 1 to 8", f"cluster {_BOOTSTRAP}", 50): _clustered(50),
    ("paired difference of grades", _BOOTSTRAP, 200): _paired_means(200),
    ("paired difference, in clusters of 5", f"cluster {_BOOTSTRAP}", 250): _paired_means(250, 5),
}


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.certainty", description=__doc__)
    parser.add_argument("--evaluations", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=200)
    options = parser.parse_args()
    with measured() as found:
        found["coverage"] = list(coverage(options.evaluations))
        found["power"] = [power(options.evaluations, cases) for cases in (500, 1_000, 2_000)]
        found["gate"] = list(gate(options.seeds))


if __name__ == "__main__":
    main()
