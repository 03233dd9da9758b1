"""The settings of a pipeline whose answers come from an agent."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from include.enrichment.runs.options import Budget

#: The API accepts no more strict tools (its documentation of structured outputs, 2026-10-08).
MAX_TOOLS = 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ToolSettings(_Frozen):
    """
    How one function of tools.py may be used.

    :param ask_first: True: each call waits until a person has approved it
    """

    ask_first: bool = False


class RowLimits(_Frozen):
    """
    What the agent may use for one row. The limits are checked before each call to the API: the last turn can exceed
    ``tokens`` and ``usd``, and no turn follows it.

    :param turns: answers of the model
    :param tool_calls: calls of tools
    :param tokens: of all prompts and answers, cached ones included
    """

    turns: int = Field(default=12, ge=1)
    tool_calls: int = Field(default=24, ge=0)
    tokens: int = Field(default=300_000, ge=1)
    usd: Budget = Decimal("0.50")


class RunLimits(RowLimits):
    """What the agent may use for all rows of one run. A run that reaches one of them stops and can be continued."""

    turns: int = Field(default=10_000, ge=1)
    tool_calls: int = Field(default=20_000, ge=0)
    tokens: int = Field(default=100_000_000, ge=1)
    usd: Budget = Decimal(25)


def _without_settings(tool: object) -> object:
    """Return ``{}`` for a tool that YAML reads as null: ``look_up:``."""
    return {} if tool is None else tool


#: The setting ``tools``, by the name of a function.
Tools = Annotated[dict[str, Annotated[ToolSettings, BeforeValidator(_without_settings)]], Field(max_length=MAX_TOOLS)]
