"""The options of one run, which differ from its pipeline's settings: the fields of the trigger form."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from include.enrichment.errors import ParamError, nearest, sentence
from include.enrichment.runs.deadline import check_deadline_param


def _exact_text(amount: object) -> object:
    """Return the number as written, because neither YAML nor JSON has decimals. Stored objects keep it as text."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str | Decimal):
        raise ValueError("must be a number of US dollars")
    return str(amount)


#: US dollars that may be spent.
Budget = Annotated[Decimal, Field(ge=0, strict=False), BeforeValidator(_exact_text)]


def _chosen(names: list[str] | None) -> list[str] | None:
    """Return the names in one order, without repeats; none chosen are all."""
    return sorted(set(names)) if names else None


def _deadline(text: str | None) -> str | None:
    return text and check_deadline_param(text)


class RunOptions(BaseModel):
    """
    The options of one run. Nightly runs have none and use the pipeline's settings.

    :param rows: a trial of the first rows of the partition, published into the run's own folder; None: all rows
    :param dry_run: plan, report what would be sent, and stop
    :param reuse: replaces the pipeline's ``reuse``; None: the pipeline's
    :param model: replaces the pipeline's ``request.model`` with one of its ``request.other_models``; None: the
        pipeline's
    :param budget_usd: replaces the pipeline's ``limits.budget_usd``, up to its ceiling; None: the pipeline's
    :param variants: the only variants that are asked, of those of the pipeline; None: all
    :param urgent: every pass is synchronous, at twice the price of a batch
    :param deadline: replaces the pipeline's ``limits.deadline`` and holds for any run; None: the pipeline's, for
        scheduled runs
    :param only_rejects: request again only the rows of the partition that were rejected last, published or not
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int | None = Field(default=None, ge=1)
    dry_run: bool = False
    reuse: bool | None = None
    model: str | None = None
    budget_usd: Budget | None = None
    variants: Annotated[list[str] | None, AfterValidator(_chosen)] = None
    urgent: bool = False
    deadline: Annotated[str | None, AfterValidator(_deadline)] = None
    only_rejects: bool = False

    def choose_model(self, models: Sequence[str], *, file: str) -> str:
        """Return the run's model, of those that the file names, the default first. Raises ParamError for any other."""
        if self.model is None:
            return models[0]
        if self.model not in models:
            raise ParamError(
                f"The run's param `model` is {self.model!r}, which {file} does not name"
                f"{nearest(self.model, models) or '.'} It names: {', '.join(models)}. Nothing was read or sent."
                " Choose one of these, or add the model to request.other_models."
            )
        return self.model

    def choose_variants(self, variants: Sequence[str], *, file: str) -> list[str]:
        """
        Return the run's variants in the order of the file, all unless it chooses some.

        Raises ParamError for one that the file does not have, or for a model beside variants.

        :param variants: those of the file; none: its rows are asked in one way
        """
        if self.model is not None and variants:
            raise ParamError(
                f"The run's param `model` is {self.model!r}, but {file} has variants, each with a model of its own."
                " Nothing was read or sent. Trigger the run again without `model`, or add a variant with this model."
            )
        chosen = variants if self.variants is None else self.variants
        if unknown := [name for name in chosen if name not in variants]:
            named = "; ".join(f"{name!r}{nearest(name, variants)}" for name in unknown)
            raise ParamError(
                f"The run's param `variants` names variants that {file} does not have: {sentence(named)}"
                f" It has: {', '.join(variants) or 'none'}. Nothing was read or sent. Choose some of these, or none for"
                " all."
            )
        return [name for name in variants if name in chosen]

    def check_deadline(self, *, retry_passes: int, file: str) -> None:
        """Raises ParamError if the run has a deadline and no pass after the main one."""
        if self.deadline is not None and not retry_passes:
            raise ParamError(
                f"The run's param `deadline` is {self.deadline!r}, but {file} has no retry pass, which would ask for"
                " what a canceled batch leaves unanswered. Nothing was read or sent. Trigger the run again without"
                " `deadline`, or set limits.retry_passes to 1 or more."
            )

    def choose_reuse(self, default: bool) -> bool:
        """Return whether the run reuses answers. Raises ParamError if it has to and does not."""
        reuse = default if self.reuse is None else self.reuse
        if self.only_rejects and not reuse:
            raise ParamError(
                "The run's param `only_rejects` requires reuse, which is off: every row would be requested again."
                ' Nothing was read or sent. Trigger the run again without `only_rejects`, or with {"reuse": true}.'
            )
        return reuse

    def choose_budget(self, default: Decimal | None, *, ceiling: Decimal | None, file: str) -> Decimal | None:
        """Return the run's budget. Raises ParamError if it is above the ceiling, which is the default if not set."""
        if self.budget_usd is None:
            return default
        ceiling = default if ceiling is None else ceiling
        if ceiling is not None and self.budget_usd > ceiling:
            raise ParamError(
                f"The run's param `budget_usd` is {self.budget_usd:g}, but {file} allows at most"
                f" {ceiling:g} (limits.budget_ceiling_usd, or limits.budget_usd if there is none). Nothing was read or"
                " sent. Set a smaller budget, or raise the ceiling."
            )
        return self.budget_usd


def run_options(params: Mapping[str, Any], *, others: Collection[str]) -> RunOptions:
    """
    Return the options among a run's params.

    Raises ParamError for an unknown param (Airflow accepts any) or an invalid value.

    :param others: the params that are not options, for example those that a Dag adds
    """
    known = sorted({*RunOptions.model_fields, *others})
    if unknown := sorted(params.keys() - set(known)):
        mistakes = " ".join(f"{name!r} is not known{nearest(name, known) or '.'}" for name in unknown)
        raise _invalid_params(f"{mistakes} Known are {', '.join(known)}")
    try:
        return RunOptions.model_validate(_own(params))
    except ValidationError as error:
        mistakes = "; ".join(
            f"{problem['loc'][0]!r}: {problem['msg']}, got {reprlib.repr(problem['input'])}"
            for problem in error.errors()
        )
        raise _invalid_params(mistakes) from error


def readable_options(params: Mapping[str, Any]) -> RunOptions:
    """Return the options among a run's params for display, or the defaults if one is invalid, as `extract` will say."""
    try:
        return RunOptions.model_validate(_own(params))
    except ValidationError:
        return RunOptions()


def _own(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in RunOptions.model_fields if name in params}


def _invalid_params(mistakes: str) -> ParamError:
    return ParamError(f"Invalid params: {mistakes}. Nothing was read or sent. Trigger the run again with valid params.")
