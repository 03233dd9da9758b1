"""
The frame of a request, which is everything but its messages: checked, and parsed into what an answer needs.

The requests of a batch mostly share one frame, so each distinct frame is computed once and cached. The checks are
those that the API makes when it runs a request, with the same messages; they raise RequestRejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from include.emulator.answers import structured_outputs
from include.emulator.answers.document_answers import compile_answer
from include.emulator.answers.schema_values import Maker
from include.emulator.api_errors import RequestRejected
from include.emulator.billing.prompt_cache import Chain, tokens_of, ttl_of
from include.emulator.engine import models
from include.emulator.engine.models import Model
from include.emulator.engine.tools import Tools, read_tools

# From this version on the sampling parameters are gone, for every model.
WITHOUT_SAMPLING = "2026-10-21"

_FIELDS = frozenset(
    {
        *("model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "output_config"),
        *("cache_control", "container", "diagnostics", "inference_geo", "metadata", "service_tier", "speed"),
        *("stop_sequences", "stream", "user_profile_id"),
    }
)
_SAMPLING_DEFAULTS: dict[str, object] = {"temperature": 1, "top_p": 1, "top_k": None}
_MAX_MARKERS = 4
_MIN_THINKING_BUDGET = 1024


@dataclass(frozen=True)
class Rules:
    """The rules for the requests of a call: its version and betas, and whether it creates a batch."""

    version: str
    betas: frozenset[str]
    batch: bool


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A request without its messages."""

    model: Model
    max_tokens: int
    thinks: bool
    #: Makes the value of a structured output; None for a plain text answer.
    output: Maker | None
    tools: Tools
    #: The cacheable prefix up to the messages.
    chain: Chain
    #: TTL in seconds of the marker that a top-level ``cache_control`` puts on the last block.
    automatic_cache: int | None
    #: Tokens of the output format, which follow every cache marker.
    format_tokens: int
    geo: str


def read_frame(fields: Mapping[str, bytes], rules: Rules) -> Frame:
    """Return the frame of a request, given each field but ``messages`` as JSON. Raises RequestRejected."""
    frame = _cached(tuple(fields.items()), rules)
    if isinstance(frame, RequestRejected):
        raise frame.with_traceback(None)
    return frame


@lru_cache(maxsize=256)
def _cached(fields: tuple[tuple[str, bytes], ...], rules: Rules) -> Frame | RequestRejected:
    # A rejection is returned, not raised, because lru_cache keeps only return values.
    try:
        return _read({name: msgspec.json.decode(text) for name, text in fields}, dict(fields), rules)
    except RequestRejected as rejection:
        return rejection


def _read(fields: dict[str, Any], texts: dict[str, bytes], rules: Rules) -> Frame:
    _check_fields(fields, rules)
    model = _model(fields)
    _check_sampling(fields, model)
    max_tokens = _max_tokens(fields, model, rules)
    config = _object(fields, "output_config")
    thinks = _thinks(fields, model, max_tokens, config.get("effort"))
    tools = read_tools(fields, model)
    output = _output(config)
    _check_effort(config, model)
    # A change to any of these makes another prefix, so every chain starts with them.
    start = b"\0".join([model.id.encode(), *(texts.get(name, b"") for name in ("output_config", "thinking"))])
    chain = Chain(start)
    for block in tools.blocks:
        add_block(chain, block, "tools")
    for block in _system(fields):
        add_block(chain, block, "system")
    chain.mix_in(texts.get("tool_choice", b""))
    automatic = fields.get("cache_control")
    if len(chain.markers) + (automatic is not None) > _MAX_MARKERS:
        raise too_many_markers(len(chain.markers))
    return Frame(
        model=model,
        max_tokens=max_tokens,
        thinks=thinks,
        output=output,
        tools=tools,
        chain=chain,
        automatic_cache=_marker_ttl(automatic, "cache_control"),
        format_tokens=tokens_of(len(texts["output_config"])) if output else 0,
        geo=_geo(fields, model),
    )


def _check_fields(fields: dict[str, Any], rules: Rules) -> None:
    for name in fields:
        sampling = name in _SAMPLING_DEFAULTS and rules.version < WITHOUT_SAMPLING
        if name not in _FIELDS and not sampling:
            raise RequestRejected(f"{name}: Extra inputs are not permitted")
    if not isinstance(fields.get("stream", False), bool):
        raise RequestRejected(_invalid("stream", True, "boolean"))
    if rules.batch and fields.get("stream"):
        raise RequestRejected('"stream=True" is not supported in the Message Batches API')
    if rules.batch and "speed" in fields:
        raise RequestRejected('"speed" is not supported in the Message Batches API')


def _model(fields: dict[str, Any]) -> Model:
    name = fields.get("model")
    if not isinstance(name, str):
        raise RequestRejected(_invalid("model", "model" in fields, "string"))
    model = models.find(name)
    if model is None or model.lifecycle == "retired":
        raise RequestRejected(f"model: {name}", type="not_found_error")
    return model


def _check_sampling(fields: dict[str, Any], model: Model) -> None:
    for name, default in _SAMPLING_DEFAULTS.items():
        value = fields.get(name, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise RequestRejected(_invalid(name, True, "number"))
        if value != default and not model.sampling:
            raise RequestRejected(f"{name}: values other than the default are not supported for this model")
        if name != "top_k" and value is not None and not 0 <= value <= 1:
            bound = "greater than or equal to 0" if value < 0 else "less than or equal to 1"
            raise RequestRejected(f"{name}: Input should be {bound}")


def _max_tokens(fields: dict[str, Any], model: Model, rules: Rules) -> int:
    value = fields.get("max_tokens")
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestRejected(_invalid("max_tokens", "max_tokens" in fields, "integer"))
    # Zero warms the cache in a synchronous call.
    least = 1 if rules.batch else 0
    if value < least:
        raise RequestRejected(f"max_tokens: must be greater than or equal to {least}")
    limit = model.output_limit(rules.betas, batch=rules.batch)
    if value > limit:
        allowed = f"which is the maximum allowed number of output tokens for {model.id}"
        raise RequestRejected(f"max_tokens: {value} > {limit}, {allowed}")
    return value


def _thinks(fields: dict[str, Any], model: Model, max_tokens: int, effort: object) -> bool:
    thinking = _object(fields, "thinking")
    if not thinking:
        return model.thinks_by_default
    kind = thinking.get("type")
    if kind not in ("adaptive", "between_tools", "disabled", "enabled"):
        raise RequestRejected(f"thinking: Input tag {str(kind)!r} found using 'type' does not match any expected tag")
    if kind not in model.thinking:
        raise RequestRejected(_thinking_error(kind, model))
    if kind == "disabled" and model.disabled_only_to_high and effort in ("xhigh", "max"):
        raise RequestRejected(f'"thinking.type.disabled" is not supported with effort {effort!r} for this model.')
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int):
            raise RequestRejected(_invalid("thinking.enabled.budget_tokens", "budget_tokens" in thinking, "integer"))
        if budget < _MIN_THINKING_BUDGET:
            least = f"Input should be greater than or equal to {_MIN_THINKING_BUDGET}"
            raise RequestRejected(f"thinking.enabled.budget_tokens: {least}")
        if budget >= max_tokens:
            raise RequestRejected("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if kind != "disabled" and _object(fields, "tool_choice").get("type") in ("any", "tool"):
        raise RequestRejected("Thinking may not be enabled when tool_choice forces tool use.")
    return bool(kind != "disabled")


def _thinking_error(kind: str, model: Model) -> str:
    if kind == "enabled":
        return (
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
            '"output_config.effort" to control thinking behavior.'
        )
    if kind == "adaptive":
        return "adaptive thinking is not supported on this model"
    return f'"thinking.type.{kind}" is not supported for this model.'


def _output(config: dict[str, Any]) -> Maker | None:
    for name in config:
        if name not in ("format", "effort"):
            raise RequestRejected(f"output_config.{name}: Extra inputs are not permitted")
    wanted = config.get("format")
    if wanted is None:
        return None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        raise RequestRejected("output_config.format.type: Input should be 'json_schema'")
    if "schema" not in wanted:
        raise RequestRejected("output_config.format.schema: Field required")
    for name in wanted:
        if name not in ("type", "schema"):
            raise RequestRejected(f"output_config.format.{name}: Extra inputs are not permitted")
    structured_outputs.check(wanted["schema"])
    return compile_answer(wanted["schema"])


def _check_effort(config: dict[str, Any], model: Model) -> None:
    effort = config.get("effort")
    if effort is None or effort in model.efforts:
        return
    if effort not in ("low", "medium", "high", "xhigh", "max"):
        raise RequestRejected("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    if not model.efforts:
        raise RequestRejected("This model does not support the effort parameter.")
    raise RequestRejected(f"This model does not support effort level '{effort}'.")


def _geo(fields: dict[str, Any], model: Model) -> str:
    geo = fields.get("inference_geo")
    if geo is not None and not model.geo:
        raise RequestRejected("inference_geo is not supported for this model")
    if geo not in (None, "us", "global"):
        raise RequestRejected("inference_geo: Input should be 'us' or 'global'")
    return (geo or "global") if model.geo else "not_available"


def _system(fields: dict[str, Any]) -> list[dict[str, Any]]:
    system = fields.get("system", [])
    if isinstance(system, str):
        return [{"type": "text", "text": system}]
    if not isinstance(system, list):
        raise RequestRejected("system: Input should be a valid list")
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text" or not isinstance(block.get("text"), str):
            raise RequestRejected(f"system.{index}: Input should be a text block")
        if not block["text"]:
            raise RequestRejected("system: text content blocks must be non-empty")
    return system


def add_block(chain: Chain, block: dict[str, Any], where: str, tokens: int | None = None) -> None:
    """Append one block of a prompt, with its marker if any, to the prefix. Raises RequestRejected."""
    bare = {key: value for key, value in block.items() if key != "cache_control"}
    life = _marker_ttl(block.get("cache_control"), f"{where}.cache_control")
    if life is not None and any(marker.ttl_seconds < life for marker in chain.markers):
        message = "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
        raise RequestRejected(f"{where}.cache_control.ttl: {message}")
    text = msgspec.json.encode(bare)
    size = len(str(block["text"]).encode()) if "text" in block else len(text)
    chain.add(text, tokens_of(size) if tokens is None else tokens, life)
    if len(chain.markers) > _MAX_MARKERS:
        raise too_many_markers(len(chain.markers))


def too_many_markers(found: int) -> RequestRejected:
    """Return the error for a prompt with more than four cache breakpoints."""
    return RequestRejected(f"A maximum of {_MAX_MARKERS} blocks with cache_control may be provided. Found {found}.")


def _marker_ttl(marker: object, where: str) -> int | None:
    if marker is None:
        return None
    life = ttl_of(marker) if isinstance(marker, dict) else None
    if life is None:
        raise RequestRejected(f"{where}: Input should be an ephemeral marker with a ttl of '5m' or '1h'")
    return life


def _object(fields: dict[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestRejected(f"{name}: Input should be a valid dictionary")
    return value


def _invalid(name: str, given: bool, kind: str) -> str:
    return f"{name}: Input should be a valid {kind}" if given else f"{name}: Field required"
