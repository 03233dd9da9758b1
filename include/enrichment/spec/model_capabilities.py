"""
Whether a model can do what a pipeline asks of it: checked before anything is sent, as a batch tells it only hours
later, request by request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from include.enrichment.cost.prices import prices
from include.enrichment.errors import nearest
from include.enrichment.spec.settings import RequestSettings

#: Anthropic announces a retirement at least so long before it.
NOTICE = timedelta(days=60)


@dataclass(frozen=True, kw_only=True)
class ModelCapabilities:
    """
    What the API says of a model. None means that it does not say.

    :param retires_on: the first day on which the API may refuse it, as planned so far
    """

    model_id: str
    lifecycle: str
    max_tokens: int | None
    batches: bool | None
    structured_outputs: bool | None
    thinking_types: dict[str, bool]
    retires_on: date | None = None


def model_problems(model: ModelCapabilities, settings: RequestSettings) -> Iterator[str]:
    """Each reason why ``model`` would refuse every request of a pipeline with ``settings``."""
    if model.lifecycle == "retired":
        yield "it is retired" + _successor(model.model_id)
    if model.batches is False:
        yield "it does not take batches"
    if model.structured_outputs is False:
        yield "it does not take output schemas"
    if model.max_tokens is not None and settings.max_tokens > model.max_tokens:
        yield f"request.max_tokens is {settings.max_tokens:,}, its most is {model.max_tokens:,}"
    if settings.thinking and model.thinking_types.get(settings.thinking) is False:
        able = ", ".join(kind for kind, supported in model.thinking_types.items() if supported)
        yield f"request.thinking: {settings.thinking} is not for it (it takes: {able or 'none'})"


def retirement_warning(model: ModelCapabilities, *, today: date) -> str:
    """
    What to tell of a model that retires within NOTICE, or is deprecated; empty if there is nothing.

    The API's date comes before the one in prices.yaml, as a plan may change. A date that is over does not mean that the
    model is gone: only its lifecycle does.
    """
    known = prices().models.get(model.model_id)
    when = _when(model.retires_on or (known.retires if known else None), model.lifecycle, today)
    if not when:
        return ""
    return (
        f"Model {model.model_id} {when}{_successor(model.model_id)}. Change request.model; every row is then requested,"
        " and billed, again."
    )


def _when(retires_on: date | None, lifecycle: str, today: date) -> str:
    if lifecycle == "retired":
        return ""
    if retires_on is None:
        return "is deprecated, and the API does not say yet when it retires" if lifecycle == "deprecated" else ""
    if retires_on < today:
        return f"was to retire on {retires_on}, and the API may refuse it any day"
    days = (retires_on - today).days
    if days > NOTICE.days:
        return ""
    left = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
    return f"retires on {retires_on}, {left}, and the API refuses it from then on"


def unknown_model_message(model_id: str, offered: Collection[str], *, today: date) -> str:
    """
    What a message says after the name of a model that the API does not know: when it retired and what came in its
    place, or the nearest of those that the API offers.
    """
    known = prices().models.get(model_id)
    if known and known.retires and known.retires <= today:
        return f". It retired on {known.retires}{_successor(model_id)}."
    return nearest(model_id, offered) or "."


def _successor(model_id: str) -> str:
    known = prices().models.get(model_id)
    return f"; {known.successor} comes in its place" if known and known.successor else ""
