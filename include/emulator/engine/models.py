"""
The model catalogue: the response to GET /v1/models, and the rules of each model that a request is checked against.

Limits, lifecycles and cache minimums are those documented in autumn 2026. Release dates of models without a dated
id are approximate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Lifecycle = Literal["active", "deprecated", "retired"]

EXTENDED_OUTPUT_BETA = "output-300k-2026-03-24"
EXTENDED_OUTPUT_TOKENS = 300_000

_EFFORTS_UP_TO_MAX = ("low", "medium", "high", "max")
_ALL_EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model of the catalogue."""

    id: str
    display_name: str
    released: str
    generation: tuple[int, int]
    max_tokens: int
    #: Prefixes shorter than this many tokens are never cached, without an error.
    cache_minimum: int
    max_input_tokens: int = 1_000_000
    alias: str | None = None
    lifecycle: Lifecycle = "active"
    deprecated: str | None = None
    retires: str | None = None
    #: Values of ``thinking.type`` the model accepts.
    thinking: frozenset[str] = frozenset({"adaptive"})
    thinks_by_default: bool = True
    #: ``thinking: disabled`` is rejected together with effort above "high".
    disabled_only_to_high: bool = False
    efforts: tuple[str, ...] = _ALL_EFFORTS
    forced_tools: bool = True
    extended_output: bool = False
    line: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", self.id.split("-")[1])

    @property
    def prefill(self) -> bool:
        """Return whether the last message may be the assistant's."""
        return self.generation < (4, 6)

    @property
    def sampling(self) -> bool:
        """Return whether temperature, top_p and top_k may differ from their defaults (in version 2023-06-01)."""
        return self.generation < (4, 7)

    @property
    def geo(self) -> bool:
        """Return whether ``inference_geo`` may be set."""
        return self.generation >= (4, 6)

    def output_limit(self, betas: frozenset[str], *, batch: bool) -> int:
        """Return the largest valid ``max_tokens``; the extended output beta applies to batches only."""
        if batch and self.extended_output and EXTENDED_OUTPUT_BETA in betas:
            return EXTENDED_OUTPUT_TOKENS
        return self.max_tokens

    def describe(self) -> dict[str, object]:
        """Return the model as the API's JSON object."""

        def supported(value: bool) -> dict[str, bool]:
            return {"supported": value}

        efforts: dict[str, object] = {level: supported(level in self.efforts) for level in _ALL_EFFORTS}
        types = {
            kind: supported(kind in self.thinking) for kind in ("adaptive", "between_tools", "disabled", "enabled")
        }
        return {
            "id": self.id,
            "type": "model",
            "display_name": self.display_name,
            "line": self.line,
            "created_at": _midnight(self.released),
            "lifecycle": self.lifecycle,
            "deprecated_at": _midnight(self.deprecated),
            "retires_at": _midnight(self.retires),
            "max_input_tokens": self.max_input_tokens,
            "max_tokens": self.max_tokens,
            "capabilities": {
                "batch": supported(True),
                "citations": supported(True),
                "code_execution": supported(True),
                "context_management": {
                    **supported(True),
                    "clear_thinking_20251015": supported(True),
                    "clear_tool_uses_20250919": supported(True),
                    "compact_20260112": supported(self.generation >= (4, 6)),
                },
                "effort": {**supported(bool(self.efforts)), **efforts},
                "image_input": supported(True),
                "pdf_input": supported(True),
                "server_tools": {
                    **supported(True),
                    "web_search": supported(True),
                    "code_execution": supported(True),
                },
                "structured_outputs": supported(True),
                "thinking": {**supported(True), "types": types},
            },
        }


def _midnight(day: str | None) -> str | None:
    return None if day is None else f"{datetime.fromisoformat(day).date()}T00:00:00Z"


def _always_thinking(id: str, name: str, released: str, generation: tuple[int, int], *, forced: bool) -> Model:
    """Return a Fable or Mythos model, whose thinking cannot be turned off."""
    return Model(
        id=id,
        display_name=name,
        released=released,
        generation=generation,
        max_tokens=128_000,
        cache_minimum=512,
        forced_tools=forced,
    )


_ADAPTIVE_OR_OFF = frozenset({"adaptive", "disabled"})
_BUDGET_OR_OFF = frozenset({"enabled", "disabled"})

# Newest first, which is also the order of the list endpoint.
CATALOGUE: tuple[Model, ...] = (
    _always_thinking("claude-fable-5-2", "Claude Fable 5.2", "2026-11-09", (5, 2), forced=False),
    _always_thinking("claude-mythos-5-2", "Claude Mythos 5.2", "2026-11-09", (5, 2), forced=False),
    Model(
        id="claude-haiku-5-5",
        display_name="Claude Haiku 5.5",
        released="2026-10-07",
        generation=(5, 5),
        max_tokens=128_000,
        cache_minimum=512,
        thinking=_ADAPTIVE_OR_OFF,
        disabled_only_to_high=True,
        extended_output=True,
    ),
    Model(
        id="claude-sonnet-5-5",
        display_name="Claude Sonnet 5.5",
        released="2026-09-28",
        generation=(5, 5),
        max_tokens=128_000,
        cache_minimum=512,
        thinking=frozenset({"adaptive", "between_tools"}),
        forced_tools=False,
        extended_output=True,
    ),
    Model(
        id="claude-opus-5-5",
        display_name="Claude Opus 5.5",
        released="2026-09-22",
        generation=(5, 5),
        max_tokens=128_000,
        cache_minimum=512,
        forced_tools=False,
        extended_output=True,
    ),
    _always_thinking("claude-fable-5-1", "Claude Fable 5.1", "2026-08-20", (5, 1), forced=False),
    _always_thinking("claude-mythos-5-1", "Claude Mythos 5.1", "2026-08-20", (5, 1), forced=False),
    _always_thinking("claude-fable-5", "Claude Fable 5", "2026-06-10", (5, 0), forced=True),
    _always_thinking("claude-mythos-5", "Claude Mythos 5", "2026-06-10", (5, 0), forced=True),
    Model(
        id="claude-opus-5",
        display_name="Claude Opus 5",
        released="2026-06-24",
        generation=(5, 0),
        max_tokens=128_000,
        cache_minimum=512,
        thinking=_ADAPTIVE_OR_OFF,
        disabled_only_to_high=True,
        extended_output=True,
    ),
    Model(
        id="claude-sonnet-5",
        display_name="Claude Sonnet 5",
        released="2026-06-24",
        generation=(5, 0),
        max_tokens=128_000,
        cache_minimum=1_024,
        thinking=_ADAPTIVE_OR_OFF,
        extended_output=True,
    ),
    Model(
        id="claude-opus-4-8",
        display_name="Claude Opus 4.8",
        released="2026-05-20",
        generation=(4, 8),
        max_tokens=128_000,
        cache_minimum=1_024,
        thinking=_ADAPTIVE_OR_OFF,
        thinks_by_default=False,
        extended_output=True,
    ),
    Model(
        id="claude-opus-4-7",
        display_name="Claude Opus 4.7",
        released="2026-04-16",
        generation=(4, 7),
        max_tokens=128_000,
        cache_minimum=2_048,
        thinking=_ADAPTIVE_OR_OFF,
        thinks_by_default=False,
        extended_output=True,
    ),
    Model(
        id="claude-sonnet-4-6",
        display_name="Claude Sonnet 4.6",
        released="2026-02-17",
        generation=(4, 6),
        max_tokens=128_000,
        cache_minimum=1_024,
        thinking=frozenset({"adaptive", "enabled", "disabled"}),
        thinks_by_default=False,
        efforts=_EFFORTS_UP_TO_MAX,
        extended_output=True,
    ),
    Model(
        id="claude-opus-4-6",
        display_name="Claude Opus 4.6",
        released="2026-02-05",
        generation=(4, 6),
        max_tokens=128_000,
        cache_minimum=4_096,
        thinking=frozenset({"adaptive", "enabled", "disabled"}),
        thinks_by_default=False,
        efforts=_EFFORTS_UP_TO_MAX,
        extended_output=True,
    ),
    Model(
        id="claude-opus-4-5-20251101",
        alias="claude-opus-4-5",
        display_name="Claude Opus 4.5",
        released="2025-11-24",
        generation=(4, 5),
        max_tokens=64_000,
        max_input_tokens=200_000,
        cache_minimum=4_096,
        lifecycle="deprecated",
        deprecated="2026-11-23",
        retires="2027-01-22",
        thinking=_BUDGET_OR_OFF,
        thinks_by_default=False,
        efforts=("low", "medium", "high"),
    ),
    Model(
        id="claude-haiku-4-5-20251001",
        alias="claude-haiku-4-5",
        display_name="Claude Haiku 4.5",
        released="2025-10-15",
        generation=(4, 5),
        max_tokens=64_000,
        max_input_tokens=200_000,
        cache_minimum=4_096,
        thinking=_BUDGET_OR_OFF,
        thinks_by_default=False,
        efforts=(),
    ),
    Model(
        id="claude-sonnet-4-5-20250929",
        alias="claude-sonnet-4-5",
        display_name="Claude Sonnet 4.5",
        released="2025-09-29",
        generation=(4, 5),
        max_tokens=64_000,
        max_input_tokens=200_000,
        cache_minimum=1_024,
        lifecycle="deprecated",
        deprecated="2026-09-30",
        retires="2026-11-30",
        thinking=_BUDGET_OR_OFF,
        thinks_by_default=False,
        efforts=(),
    ),
    Model(
        id="claude-opus-4-1-20250805",
        alias="claude-opus-4-1",
        display_name="Claude Opus 4.1",
        released="2025-08-05",
        generation=(4, 1),
        max_tokens=32_000,
        max_input_tokens=200_000,
        cache_minimum=1_024,
        lifecycle="retired",
        deprecated="2026-02-05",
        retires="2026-08-05",
        thinking=_BUDGET_OR_OFF,
        thinks_by_default=False,
        efforts=(),
    ),
)

_BY_NAME = {name: model for model in CATALOGUE for name in (model.id, model.alias) if name}


def find(name: str) -> Model | None:
    """Find a model by id or alias, retired ones included."""
    return _BY_NAME.get(name)
