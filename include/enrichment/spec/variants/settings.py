"""The setting ``variants`` of pipeline.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

#: The name of the variant that has the pipeline's own settings, unless one without changes has another.
CURRENT = "current"
#: More variants are rejected: each asks for an answer to every row.
MAX_VARIANTS = 20

_Text = Annotated[str, Field(min_length=1)]


def _off(value: object) -> object:
    """Return ``off``, which YAML 1.1 reads as false, as written."""
    return "off" if value is False else value


class VariantSettings(BaseModel):
    """
    What one variant has instead of the pipeline's own; None: the same.

    :param system: a file of the folder in place of system.md; the next ones likewise
    :param context: a subfolder of the folder in place of context/
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)

    model: _Text | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    thinking: Literal["adaptive", "disabled"] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    cache: Annotated[Literal["off", "5m", "1h", "auto"] | None, BeforeValidator(_off)] = None
    system: _Text | None = None
    user: _Text | None = None
    schema_: Annotated[_Text | None, Field(alias="schema")] = None
    context: _Text | None = None
    examples: _Text | None = None


def with_current(variants: Mapping[str, VariantSettings]) -> dict[str, VariantSettings]:
    """Return the variants with the pipeline's own settings among them, first unless it has a name; none for none."""
    own = VariantSettings()
    if not variants or own in variants.values():
        return dict(variants)
    return {CURRENT: own, **variants}
