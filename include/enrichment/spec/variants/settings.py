"""The settings of requests, and how those of a variant differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from include.enrichment.spec.variants import CURRENT
from include.enrichment.spec.variants.files import is_in_folder

#: More variants are rejected: each asks for an answer to every row.
MAX_VARIANTS = 20
#: A name appears in the table, in commands and in the names of files.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


def _off(value: object) -> object:
    """Return ``off``, which YAML 1.1 reads as false, as written."""
    return "off" if value is False else value


def _in_folder(name: str) -> str:
    if not is_in_folder(name):
        raise ValueError("must be the path of a file within the pipeline's folder, for example prompts/short.md")
    return name


_Text = Annotated[str, Field(min_length=1)]
_File = Annotated[str, Field(min_length=1), AfterValidator(_in_folder)]
_MaxTokens = Annotated[int, Field(ge=1)]
_Thinking = Literal["adaptive", "disabled"]
_Effort = Literal["low", "medium", "high", "xhigh", "max"]
_Cache = Literal["off", "5m", "1h", "auto"]
_Mode = Literal["batch", "synchronous", "auto"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, serialize_by_alias=True)


class Escalation(_Frozen):
    """
    Which answers a dearer model is asked again for.

    :param to: that model
    :param when: an SQL condition over the columns of the output: true for a doubtful answer
    """

    to: _Text
    when: _Text


class RequestSettings(_Frozen):
    """
    The settings that all requests share.

    :param mode: how requests are sent. They and their answers are the same in every mode. auto: a pass with fewer
        requests than ``limits.synchronous_below`` is synchronous
    :param escalate: None: no answer is asked for again because it is doubtful
    :param other_models: the models that a run may use instead of ``model``
    :param thinking: None: the model's default. Thinking is billed as output and counts against ``max_tokens``
    :param effort: how much the model spends on an answer; None: the model's default
    :param cache: lifetime of the system prompt in the prompt cache; auto: whichever costs least, see Asking.caching
    """

    mode: _Mode = "batch"
    model: _Text
    other_models: list[_Text] = []
    escalate: Escalation | None = None
    max_tokens: _MaxTokens
    thinking: _Thinking | None = None
    effort: _Effort | None = None
    cache: Annotated[_Cache, BeforeValidator(_off)] = "off"

    @property
    def escalation(self) -> Escalation | None:
        """``escalate``; None in a run that asks the dearer model at once (param ``model``)."""
        return self.escalate if self.escalate and self.escalate.to != self.model else None


class VariantSettings(_Frozen):
    """
    What one variant has instead of the pipeline's own; None: the same.

    :param system: a file of the folder in place of system.md; the next ones likewise
    :param context: a subfolder of the folder in place of context/
    """

    model: _Text | None = None
    escalate: Escalation | None = None
    max_tokens: _MaxTokens | None = None
    thinking: _Thinking | None = None
    effort: _Effort | None = None
    cache: Annotated[_Cache | None, BeforeValidator(_off)] = None
    system: _File | None = None
    user: _File | None = None
    schema_: Annotated[_File | None, Field(alias="schema")] = None
    context: _File | None = None
    examples: _File | None = None

    def request(self, own: RequestSettings) -> RequestSettings:
        """Return the request settings of this variant of a pipeline with ``own``. It has no other models."""
        named = {
            name: getattr(self, name) for name in ("model", "escalate", "max_tokens", "thinking", "effort", "cache")
        }
        changed = {name: value for name, value in named.items() if value is not None}
        return own.model_copy(update={**changed, "other_models": []})

    @property
    def named_files(self) -> Iterator[tuple[str, str]]:
        """The settings that name a file or the context, each with the name."""
        files = {name: getattr(self, name) for name in ("system", "user", "context", "examples")}
        yield from ((setting, name) for setting, name in {**files, "schema": self.schema_}.items() if name)


def _named(variants: dict[str, VariantSettings]) -> dict[str, VariantSettings]:
    for name in variants:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is not a name for a variant: use up to 60 letters, digits, hyphens, dots and underscores"
            )
    if len(variants) > MAX_VARIANTS:
        raise ValueError(f"has {len(variants)} variants; at most {MAX_VARIANTS} are allowed")
    own = VariantSettings()
    if variants.get(CURRENT, own) != own and own not in variants.values():
        raise ValueError(
            f"{CURRENT!r} is the pipeline as it is, without changes: give this variant another name, or add one"
            " without changes, for example `today: {}`"
        )
    return variants


def _without_changes(variant: object) -> object:
    """Return ``{}`` for a variant that YAML reads as null: ``today:``."""
    return {} if variant is None else variant


#: The setting ``variants``.
Variants = Annotated[dict[str, Annotated[VariantSettings, BeforeValidator(_without_changes)]], AfterValidator(_named)]


def with_current(variants: Mapping[str, VariantSettings]) -> dict[str, VariantSettings]:
    """Return the variants with the pipeline's own settings among them, first unless it has a name; none for none."""
    own = VariantSettings()
    if not variants or own in variants.values():
        return dict(variants)
    return {CURRENT: own, **variants}
