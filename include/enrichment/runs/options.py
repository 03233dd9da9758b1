"""What a person may ask of one run beyond what its pipeline says: the fields of the trigger form."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from include.enrichment.errors import ParamError, nearest


def _exact(amount: object) -> object:
    """The number as it is written: neither YAML nor JSON knows a Decimal. In what is stored it is a text."""
    if isinstance(amount, bool) or not isinstance(amount, int | float | str | Decimal):
        raise ValueError("must be a number of US dollars")
    return str(amount)


#: US dollars that may be spent.
Budget = Annotated[Decimal, Field(ge=0, strict=False), BeforeValidator(_exact)]


class RunOptions(BaseModel):
    """
    What is different in one run. Without any it is as the pipeline says; nightly runs are.

    :param rows: a trial of the first so many rows of the partition, published into the run's own folder; None: all rows
    :param dry_run: plan, tell what would be sent, and end
    :param reuse: in place of the pipeline's ``reuse``; None: the pipeline's
    :param model: in place of the pipeline's ``request.model``, one of its ``request.other_models``; None: the
        pipeline's
    :param budget_usd: in place of the pipeline's ``limits.budget_usd``, up to its ceiling; None: the pipeline's
    :param only_rejects: ask again only for the rows of the partition that were rejected last, published or not
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
    The options among a run's params.

    Raises ParamError for a param that nobody knows (Airflow takes any), or a value that cannot be.

    :param others: the params that are none of ours, such as those that a Dag adds
    """
    known = sorted({*RunOptions.model_fields, *others})
    if unknown := sorted(params.keys() - set(known)):
        mistakes = " ".join(f"{name!r} is not known{nearest(name, known) or '.'}" for name in unknown)
        raise _refused(f"{mistakes} Known are {', '.join(known)}")
    try:
        return RunOptions.model_validate({name: params[name] for name in RunOptions.model_fields if name in params})
    except ValidationError as error:
        mistakes = "; ".join(
            f"{problem['loc'][0]!r}: {problem['msg']}, got {reprlib.repr(problem['input'])}"
            for problem in error.errors()
        )
        raise _refused(mistakes) from error


def readable_options(params: Mapping[str, Any]) -> RunOptions:
    """Return the options among a run's params for display, or none of them if one is invalid, as `extract` will say."""
    try:
        return run_options({name: params[name] for name in RunOptions.model_fields if name in params}, others=())
    except ParamError:
        return RunOptions()


def _refused(mistakes: str) -> ParamError:
    return ParamError(f"The run's params: {mistakes}. Nothing was read or sent. Trigger the run anew.")
