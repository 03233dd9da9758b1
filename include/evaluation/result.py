"""The result of an evaluation: what summary.json, junit.xml and report.html show."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from include.enrichment.storage.version import Versioned

#: What a gate says of a variant.
Verdict = Literal["pass", "fail", "inconclusive"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Metric(_Frozen):
    """
    One metric of one variant, over all cases or over one group.

    :param by: the column of the group; None: all cases
    :param kind: a proportion if every score is 0 or 1
    :param value: the mean score of the cases; None if none is scored
    :param low: the lower end of its confidence interval; None if there are too few cases for one
    :param cases: those with a score
    :param missing: the answers to cases without an expected value; these and the next two count each sample
    :param method: the name of the interval
    """

    metric: str
    variant: str
    by: str | None = None
    group: str | None = None
    kind: Literal["proportion", "mean"]
    value: float | None
    low: float | None
    high: float | None
    cases: int
    missing: int
    skipped: int
    unscored: int
    method: str


class Repeats(_Frozen):
    """
    What several samples of the same case show.

    :param consistency: the share of pairs of samples of one case with the same score: the noise floor
    :param flickering: the number of cases whose samples disagree
    :param pass_at: by k, the chance that at least one of k samples is right; only for proportions
    """

    metric: str
    variant: str
    samples: int
    consistency: float
    flickering: int
    pass_at: dict[int, float] = {}


class VariantFacts(_Frozen):
    """
    The model, the answers and the cost of one variant.

    :param answers: one for each case and sample, those that could not be used included
    :param invalid: answers that could not be used, which are rejects
    :param input_tokens: of the prompts of its answers, cached ones included, without those of answers that a repair has
        replaced; None, like ``output_tokens``, if the results of a batch are gone
    :param cost_usd: of its answers, whichever run paid for them; None if a price is unknown
    :param judge_usd: of all judges' answers about it
    """

    variant: str
    model: str
    answers: int
    invalid: int
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    judge_usd: Decimal | None = None


class Comparison(_Frozen):
    """
    A variant against the baseline under one metric, on the cases that both have a score for.

    :param effect: the variant's mean score less the baseline's, case by case
    :param p_value: of the paired test that ``test`` names
    :param p_adjusted: after Holm's correction for all comparisons of the evaluation
    :param detectable: the smallest difference that this number of cases would show with a power of 80%; None if unknown
    """

    metric: str
    variant: str
    baseline: str
    kind: Literal["proportion", "mean"]
    cases: int
    effect: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_adjusted: float | None
    wins: int
    losses: int
    ties: int
    test: str
    method: str
    detectable: float | None


class GateDecision(_Frozen):
    """
    The verdict of one condition of the gate on one variant.

    :param more_cases: how many more cases would probably decide; None unless it is inconclusive and can be decided
    :param why: one sentence with the numbers, for people
    """

    metric: str
    variant: str
    baseline: str
    margin: float
    on: Literal["fail", "warn"]
    verdict: Verdict
    effect: float | None
    low: float | None
    high: float | None
    more_cases: int | None = None
    why: str


class JudgeAgreement(_Frozen):
    """
    How far a judge can be trusted.

    :param with_whom: ``human``, or the other judges
    :param cases: graded by both
    :param statistic: its name: Cohen's kappa or Krippendorff's alpha
    :param threshold: the stated least value; None: none is stated
    """

    metric: str
    judge: str
    with_whom: str
    cases: int
    statistic: str
    value: float | None
    threshold: float | None = None
    trusted: bool


class PositionBias(_Frozen):
    """
    How often a judge prefers the answer it reads first, from both orders of each pair.

    :param disagreements: the pairs whose two orders named different winners, each a tie
    :param first_share: the share of all verdicts with a winner that named the answer shown first; 0.5 is unbiased
    """

    metric: str
    judge: str
    pairs: int
    disagreements: int
    unscored: int
    first_share: float | None


class Confusion(_Frozen):
    """How often each expected value was answered with each value: ``counts[expected][answer]``, by label position."""

    metric: str
    variant: str
    labels: list[str]
    counts: list[list[int]]


class EvaluationResult(Versioned):
    """
    A whole evaluation.

    :param evaluation_id: unique for the pipeline; later ones sort after earlier ones
    :param partition: of the cases
    :param run_id: the run whose table was evaluated
    :param trial: the number of rows of a trial; None for the whole partition
    :param git_revision: of the project, with ``+`` if files were changed; None outside a git checkout
    :param file_hashes: the SHA-256 of each file of the pipeline and its judges
    :param simulated: the emulator answered, not Claude
    :param confidence: of all intervals
    """

    evaluation_id: str
    pipeline: str
    partition: str
    run_id: str
    trial: int | None = None
    evaluated_at: datetime
    git_revision: str | None
    file_hashes: dict[str, str]
    simulated: bool
    confidence: float
    resamples: int
    cases: int
    samples: int
    variants: list[VariantFacts]
    metrics: list[Metric]
    repeats: list[Repeats] = Field(default_factory=list)
    comparisons: list[Comparison] = Field(default_factory=list)
    gate: list[GateDecision] = Field(default_factory=list)
    agreements: list[JudgeAgreement] = Field(default_factory=list)
    position_bias: list[PositionBias] = Field(default_factory=list)
    confusions: list[Confusion] = Field(default_factory=list)
    verdict: Verdict
