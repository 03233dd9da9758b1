"""The task that answers a pass's rows with an agent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from claude_batch import pipelines
from claude_batch.resolving.agent_operator import AgentOperator
from tests.fixtures.emulator import Emulator


def test_a_tool_that_has_changed_since_extract_stops_the_run_before_a_call(
    planned: Path, context: Any, emulator: Emulator
) -> None:
    tools = pipelines.PIPELINES / "actions" / "tools.py"
    tools.write_text(tools.read_text().replace("Refund an order.", "Refund it."))
    operator = AgentOperator(task_id="ask", pipeline="actions", pass_name="main", asks_person=False)
    with pytest.raises(AirflowFailException, match="the definition of refund is not the one that this run has"):
        operator.execute(context)
    assert not any(call["path"].partition("?")[0] == "/v1/messages" for call in emulator.log()["calls"])
