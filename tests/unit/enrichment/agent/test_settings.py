"""The settings of tools and of what an agent may use."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import TypeAdapter, ValidationError

from include.enrichment.agent.settings import MAX_TOOLS, RowLimits, RunLimits, Tools

_TOOLS = TypeAdapter[Tools](Tools)


def test_a_tool_without_settings_asks_nobody() -> None:
    assert _TOOLS.validate_python({"look_up": None})["look_up"].ask_first is False


def test_more_tools_than_the_api_takes_are_rejected() -> None:
    with pytest.raises(ValidationError, match="at most 20 items"):
        _TOOLS.validate_python({f"tool_{number}": {} for number in range(MAX_TOOLS + 1)})


def test_a_limit_that_is_left_out_has_its_default() -> None:
    assert RowLimits(turns=3) == RowLimits(turns=3, tool_calls=24, tokens=300_000, usd=Decimal("0.50"))
    assert RunLimits().usd == 25
