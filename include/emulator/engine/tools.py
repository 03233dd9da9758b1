"""The tools of a request: checked, and the one the answer is forced to use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.emulator.answers import structured_outputs
from include.emulator.answers.schema_values import Maker, compile_schema
from include.emulator.api_errors import RequestRefused
from include.emulator.engine.models import Model

MAX_STRICT_TOOLS = 20


@dataclass(frozen=True)
class Tools:
    """What a request says about tools."""

    blocks: list[dict[str, Any]]
    #: Name and input of the tool call that the answer has to be; None for an answer in words.
    forced: tuple[str, Maker] | None


def read_tools(fields: dict[str, Any], model: Model) -> Tools:
    """The tools and the tool choice of a request. Raises RequestRefused."""
    blocks = fields.get("tools", [])
    if not isinstance(blocks, list):
        raise RequestRefused("tools: Input should be a valid list")
    for index, block in enumerate(blocks):
        _check(index, block)
    names = [str(block["name"]) for block in blocks]
    if len(set(names)) < len(names):
        raise RequestRefused("tools: Tool names must be unique.")
    if sum(block.get("strict") is True for block in blocks) > MAX_STRICT_TOOLS:
        raise RequestRefused(f"tools: at most {MAX_STRICT_TOOLS} strict tools are supported")
    return Tools(blocks, _forced(fields.get("tool_choice"), blocks, model))


def _check(index: int, block: object) -> None:
    if not isinstance(block, dict):
        raise RequestRefused(f"tools.{index}: Input should be a valid dictionary")
    if not isinstance(block.get("name"), str):
        raise RequestRefused(f"tools.{index}.name: Field required")
    if block.get("type", "custom") != "custom":
        return  # a server tool brings its own schema
    schema = block.get("input_schema")
    if not isinstance(schema, dict):
        raise RequestRefused(f"tools.{index}.custom.input_schema: Field required")
    if schema.get("type") != "object":
        raise RequestRefused(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
    if block.get("strict") is True:
        structured_outputs.check(schema, f"tools.{index}.custom.input_schema")


def _forced(choice: object, blocks: list[dict[str, Any]], model: Model) -> tuple[str, Maker] | None:
    if choice is None:
        return None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or kind not in ("auto", "any", "tool", "none"):
        raise RequestRefused(f"tool_choice: Input tag {str(kind)!r} found using 'type' does not match any expected tag")
    if kind in ("auto", "none"):
        return None
    if not model.forced_tools:
        raise RequestRefused('tool_choice: type "tool" and "any" are not supported for this model.')
    custom = [block for block in blocks if "input_schema" in block]
    wanted = [block for block in custom if kind == "any" or block["name"] == choice.get("name")]
    if not wanted:
        raise RequestRefused(f"Tool '{choice.get('name', '')}' not found in provided tools")
    try:
        return str(wanted[0]["name"]), compile_schema(wanted[0]["input_schema"])
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        # Only strict tools are held to the subset, so anything may stand here that calls itself a schema.
        where = f"tools.{blocks.index(wanted[0])}.custom.input_schema"
        raise RequestRefused(f"{where}: JSON schema is invalid. It must match JSON Schema draft 2020-12") from error
