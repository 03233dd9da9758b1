"""The settings of evaluation.yaml, each with its bounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

#: The name of the evaluation's own file in the folder of its pipeline.
FILE = "evaluation.yaml"
#: An evaluation of the lake that a gate compares with: the newest of the pipeline.
LATEST = "latest"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _each_once(names: list[str]) -> list[str]:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"names {', '.join(map(repr, twice))} twice")
    return names


_Text = Annotated[str, Field(min_length=1)]
_Judges = Annotated[
    list[_Text],
    Field(min_length=1),
    BeforeValidator(lambda judges: [judges] if isinstance(judges, str) else judges),
    AfterValidator(_each_once),
]


class MetricSettings(_Frozen):
    """
    How the answers are scored, each from 0 to 1. Exactly one of ``grade``, ``judge`` and ``pairwise`` is set.

    :param field: the column of the output; None: the metric's own name
    :param expected: the carried column with the expected value; None: the grader needs none
    :param grade: the name of a grader, or a mapping of its name to its options; for a judge its options
    :param judge: the pipeline that grades each answer, or several of them, of which the majority counts. It reads this
        one's table through ``source.table``
    :param pairwise: the pipeline that compares the answers of two variants, in both orders, or several of them
    :param on_missing: what an answer without a value scores: 0, nothing, or the evaluation fails
    :param null_is_expected: True: where the expected value is NULL, the right answer has no value either. False: the
        case has no expected value, and the metric leaves it out
    """

    field: Annotated[str, Field(min_length=1)] | None = None
    expected: Annotated[str, Field(min_length=1)] | None = None
    grade: str | dict[str, Any] | None = None
    judge: _Judges | None = None
    pairwise: _Judges | None = None
    on_missing: Literal["zero", "skip", "error"] = "zero"
    null_is_expected: bool = False

    @property
    def has_grader(self) -> bool:
        """Whether code grades the answers, and no judge."""
        return self.judge is None and self.pairwise is None

    @property
    def judges(self) -> list[str]:
        """The pipelines that grade the answers; none if code does."""
        return self.judge or self.pairwise or []


class GateSettings(_Frozen):
    """
    What a variant must reach so that it may replace the baseline.

    :param metric: one of the metrics
    :param margin: how much lower than the baseline's the metric may be, from 0 to 1
    :param baseline: a variant of this run, the id of an earlier evaluation, or ``latest``
    :param variant: the variant that must pass; None: every variant but the baseline
    :param on: what happens if it fails: ``fail`` fails the evaluation, ``warn`` only says so
    """

    metric: str
    margin: float = Field(ge=0, lt=1)
    baseline: str = "current"
    variant: str | None = None
    on: Literal["fail", "warn"] = "fail"

    @model_validator(mode="before")
    @classmethod
    def _on(cls, gate: Any) -> Any:
        # To YAML 1.1 the key `on` is true.
        return {"on" if key is True else key: value for key, value in gate.items()} if isinstance(gate, dict) else gate


class EvaluationSettings(_Frozen):
    """
    evaluation.yaml.

    :param metrics: by name
    :param by: columns whose values are evaluated as groups
    :param cluster: the column whose equal values belong together (the documents of one supplier); None: each case
        stands alone
    :param gate: conditions, all of which must hold
    :param confidence: of all intervals; closer to 1, an interval says nothing
    :param resamples: of the bootstrap
    """

    metrics: dict[str, MetricSettings] = Field(min_length=1)
    by: Annotated[list[str], AfterValidator(_each_once)] = []
    cluster: str | None = None
    gate: list[GateSettings] = []
    confidence: float = Field(default=0.95, gt=0.5, le=0.999)
    resamples: int = Field(default=1_000, ge=200, le=100_000)
