"""The tools of a request: checked, and the one that the answer must use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.emulator.answers import structured_outputs
from include.emulator.answers.schema_values import Maker, compile_schema
from include.emulator.api_errors import RequestRejected
from include.emulator.engine.models import Model

MAX_STRICT_TOOLS = 20


@dataclass(frozen=True)
class Tools:
    """The tools of a request."""

    blocks: list[dict[str, Any]]
    #: Name and input of the tool call that the answer must be; None for an answer in words.
    forced: tuple[str, Maker] | None


def read_tools(fields: dict[str, Any], model: Model) -> Tools:
    """Check the tools and the tool choice of a request. Raises RequestRejected."""
    blocks = fields.get("tools", [])
    if not isinstance(blocks, list):
        raise RequestRejected("tools: Input should be a valid list")
    for index, block in enumerate(blocks):
        _check(index, block)
    names = [str(block["name"]) for block in blocks]
    if len(set(names)) < len(names):
        raise RequestRejected("tools: Tool names must be unique.")
    if sum(block.get("strict") is True for block in blocks) > MAX_STRICT_TOOLS:
        raise RequestRejected(f"tools: at most {MAX_STRICT_TOOLS} strict tools are supported")
    return Tools(blocks, _forced(fields.get("tool_choice"), blocks, model))


def _check(index: int, block: object) -> None:
    if not isinstance(block, dict):
        raise RequestRejected(f"tools.{index}: Input should be a valid dictionary")
    if not isinstance(block.get("name"), str):
        raise RequestRejected(f"tools.{index}.name: Field required")
    if block.get("type", "custom") != "custom":
        return  # a server tool brings its own schema
    schema = block.get("input_schema")
    if not isinstance(schema, dict):
        raise RequestRejected(f"tools.{index}.custom.input_schema: Field required")
    if schema.get("type") != "object":
        raise RequestRejected(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
    if block.get("strict") is True:
        structured_outputs.check(schema, f"tools.{index}.custom.input_schema")


def _forced(choice: object, blocks: list[dict[str, Any]], model: Model) -> tuple[str, Maker] | None:
    if choice is None:
        return None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or kind not in ("auto", "any", "tool", "none"):
        raise RequestRejected(
            f"tool_choice: Input tag {str(kind)!r} found using 'type' does not match any expected tag"
        )
    if kind in ("auto", "none"):
        return None
    if not model.forced_tools:
        raise RequestRejected('tool_choice: type "tool" and "any" are not supported for this model.')
    custom = [block for block in blocks if "input_schema" in block]
    wanted = [block for block in custom if kind == "any" or block["name"] == choice.get("name")]
    if not wanted:
        raise RequestRejected(f"Tool '{choice.get('name', '')}' not found in provided tools")
    try:
        return str(wanted[0]["name"]), compile_schema(wanted[0]["input_schema"])
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        # Only strict tools must keep to the supported subset, so any object may be here.
        where = f"tools.{blocks.index(wanted[0])}.custom.input_schema"
        raise RequestRejected(f"{where}: JSON schema is invalid. It must match JSON Schema draft 2020-12") from error
