"""The tools of a request: checked, and what the answer may do with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.emulator.answers import structured_outputs
from include.emulator.answers.schema_values import compile_schema
from include.emulator.answers.tool_calls import Tool
from include.emulator.api_errors import RequestRejected
from include.emulator.engine.models import Model

MAX_STRICT_TOOLS = 20


@dataclass(frozen=True)
class Tools:
    """The tools of a request."""

    blocks: list[dict[str, Any]]
    #: Those that the answer may call.
    callable: tuple[Tool, ...] = ()
    #: Whether it must call one.
    forced: bool = False
    #: Whether it may call two at once.
    parallel: bool = True


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
    return _chosen(fields.get("tool_choice", {"type": "auto"}), blocks, model)


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


def _chosen(choice: object, blocks: list[dict[str, Any]], model: Model) -> Tools:
    kind = choice.get("type") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or kind not in ("auto", "any", "tool", "none"):
        raise RequestRejected(
            f"tool_choice: Input tag {str(kind)!r} found using 'type' does not match any expected tag"
        )
    if kind == "none":
        return Tools(blocks)
    forced = kind != "auto"
    if forced and not model.forced_tools:
        raise RequestRejected('tool_choice: type "tool" and "any" are not supported for this model.')
    custom = [block for block in blocks if "input_schema" in block]
    wanted = [block for block in custom if kind != "tool" or block["name"] == choice.get("name")]
    if forced and not wanted:
        raise RequestRejected(f"Tool '{choice.get('name', '')}' not found in provided tools")
    tools = tuple(_compile(blocks.index(block), block) for block in wanted)
    return Tools(blocks, tools, forced, choice.get("disable_parallel_tool_use") is not True)


def _compile(index: int, block: dict[str, Any]) -> Tool:
    schema = block["input_schema"]
    try:
        return Tool(str(block["name"]), schema, compile_schema(schema))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        # Only strict tools must keep to the supported subset, so any object may be here.
        where = f"tools.{index}.custom.input_schema"
        raise RequestRejected(f"{where}: JSON schema is invalid. It must match JSON Schema draft 2020-12") from error
