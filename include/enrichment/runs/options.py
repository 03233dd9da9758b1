"""The options of one run, which differ from its pipeline's settings: the fields of the trigger form."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from include.enrichment.errors import ParamError, nearest


def _exact_text(amount: object) -> object:
    """Return the number as written, because neither YAML nor JSON has decimals. Stored objects keep it as text."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str | Decimal):
        raise ValueError("must be a number of US dollars")
    return str(amount)


#: US dollars that may be spent.
Budget = Annotated[Decimal, Field(ge=0, strict=False), BeforeValidator(_exact_text)]


class RunOptions(BaseModel):
    """
    The options of one run. Nightly runs have none and use the pipeline's settings.

    :param rows: a trial of the first rows of the partition, published into the run's own folder; None: all rows
    :param dry_run: plan, report what would be sent, and stop
    :param reuse: replaces the pipeline's ``reuse``; None: the pipeline's
    :param model: replaces the pipeline's ``request.model`` with one of its ``request.other_models``; None: the
        pipeline's
    :param budget_usd: replaces the pipeline's ``limits.budget_usd``, up to its ceiling; None: the pipeline's
    :param only_rejects: request again only the rows of the partition that were rejected last, published or not
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    rows: int | None = Field(default=None, ge=1)
    dry_run: bool = False
    reuse: bool | None = None
    model: str | None = None
    budget_usd: Budget | None = None
    only_rejects: bool = False


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
