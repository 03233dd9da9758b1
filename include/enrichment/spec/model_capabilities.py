"""
The capabilities of a model against the settings of a pipeline, checked before anything is sent: a batch reports a
mismatch only hours later, request by request.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from include.enrichment.cost.prices import prices
from include.enrichment.errors import nearest
from include.enrichment.spec.variants.settings import RequestSettings

#: Anthropic announces a retirement at least this long before.
NOTICE = timedelta(days=60)


@dataclass(frozen=True, kw_only=True)
class ModelCapabilities:
    """
    The API's description of a model. None: the API does not say.

    :param context_tokens: its context window
    :param retires_on: the first day on which the API may reject it, as currently planned
    """

    model_id: str
    lifecycle: str
    max_tokens: int | None
    batches: bool | None
    structured_outputs: bool | None
    thinking_types: dict[str, bool]
    efforts: Mapping[str, bool] = field(default_factory=dict)
    retires_on: date | None = None
    context_tokens: int | None = None
    pdfs: bool | None = None
    images: bool | None = None


def model_problems(
    model: ModelCapabilities, settings: RequestSettings, *, has_schema: bool, has_documents: bool
) -> Iterator[str]:
    """
    Yield each reason why the model would reject every request with these settings.

    :param has_schema: the requests ask for answers that fit an output schema
    :param has_documents: the requests have PDFs or images
    """
    if model.lifecycle == "retired":
        yield f"it is retired{_successor(model.model_id)}"
    if model.batches is False:
        yield "it does not support batches"
    if has_schema and model.structured_outputs is False:
        yield "it does not support output schemas"
    if has_documents and model.pdfs is False and model.images is False:
        yield "it supports neither PDFs nor images"
    if model.max_tokens is not None and settings.max_tokens > model.max_tokens:
        yield f"request.max_tokens is {settings.max_tokens:,}, its maximum is {model.max_tokens:,}"
    if settings.thinking and model.thinking_types.get(settings.thinking) is False:
        supported = ", ".join(kind for kind, able in model.thinking_types.items() if able)
        yield f"request.thinking: {settings.thinking} is not supported (supported: {supported or 'none'})"
    if settings.effort and model.efforts.get(settings.effort) is False:
        supported = ", ".join(effort for effort, able in model.efforts.items() if able)
        yield f"request.effort: {settings.effort} is not supported (supported: {supported or 'none'})"


def retirement_warning(model: ModelCapabilities, *, today: date) -> str:
    """
    Return a warning about a model that is deprecated or retires within NOTICE; empty if there is none.

    The API's date replaces the one in prices.yaml, because plans change. A model is not retired because its date has
    passed, but only if its lifecycle says so.
    """
    known = prices().models.get(model.model_id)
    status = _retirement_status(model.retires_on or (known.retires if known else None), model.lifecycle, today)
    if not status:
        return ""
    return (
        f"Model {model.model_id} {status}{_successor(model.model_id)}. Change request.model; every row is then"
        " requested and billed again."
    )


def _retirement_status(retires_on: date | None, lifecycle: str, today: date) -> str:
    if lifecycle == "retired":
        return ""
    if retires_on is None:
        return "is deprecated; its retirement date is not announced yet" if lifecycle == "deprecated" else ""
    if retires_on < today:
        return f"was to retire on {retires_on}; the API may reject it any day"
    days = (retires_on - today).days
    if days > NOTICE.days:
        return ""
    left = {0: "today", 1: "tomorrow"}.get(days, f"in {days} days")
    return f"retires on {retires_on}, {left}; the API rejects it from that day"


def unknown_model_message(model_id: str, offered: Collection[str], *, today: date) -> str:
    """
    Return the end of a message about a model that the API does not know: its retirement and successor, or the closest
    name that the API offers.
    """
    known = prices().models.get(model_id)
    if known and known.retires and known.retires <= today:
        return f". It retired on {known.retires}{_successor(model_id)}."
    return nearest(model_id, offered) or "."


def _successor(model_id: str) -> str:
    known = prices().models.get(model_id)
    return f"; its successor is {known.successor}" if known and known.successor else ""
