"""
Whether a model can do what a pipeline asks of it: checked before anything is sent, as a batch tells it only hours
later, request by request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from include.enrichment.settings import RequestSettings


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the API says of a model. None means that it does not say."""

    model_id: str
    lifecycle: str
    max_tokens: int | None
    batches: bool | None
    structured_outputs: bool | None
    thinking_types: dict[str, bool]


def model_problems(model: Model, settings: RequestSettings) -> Iterator[str]:
    """Each reason why ``model`` would refuse every request of a pipeline with ``settings``."""
    if model.lifecycle == "retired":
        yield "it is retired"
    if model.batches is False:
        yield "it does not take batches"
    if model.structured_outputs is False:
        yield "it does not take output schemas"
    if model.max_tokens is not None and settings.max_tokens > model.max_tokens:
        yield f"request.max_tokens is {settings.max_tokens:,}, its most is {model.max_tokens:,}"
    if settings.thinking and model.thinking_types.get(settings.thinking) is False:
        able = ", ".join(kind for kind, supported in model.thinking_types.items() if supported)
        yield f"request.thinking: {settings.thinking} is not for it (it takes: {able or 'none'})"
