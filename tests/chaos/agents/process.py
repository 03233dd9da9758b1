"""One process that answers one row with an agent over HTTP, and kills itself at a write."""

from __future__ import annotations

import asyncio
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anthropic
import msgspec

from include.enrichment.agent.settings import RowLimits, RunLimits
from include.enrichment.agent.tool_file import read_tools
from include.gateways.agent.answerer import AgentAnswerer
from include.gateways.agent.functions import load_functions
from include.gateways.agent.transcripts import Transcripts
from include.gateways.lake import Lake
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from tests.fixtures.acting import SCHEMA, TOOLS, write_acting_pipeline

REQUEST_ID = "killed_row____________"


class _Killed(Transcripts):
    """Transcripts whose process dies at a write."""

    def __init__(self, lake: Lake, *, at: int, moment: str) -> None:
        super().__init__(lake, pipeline="actions")
        self._left = at
        self._moment = moment

    def add(self, request_id: str, step: str, value: Any) -> None:
        self._left -= 1
        if self._left or self._moment == "after":
            super().add(request_id, step, value)
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


async def _answer(folder: Path, url: str, key: str, at: int, moment: str) -> bytes | None:
    tools, _ = read_tools(TOOLS, ask_first={"look_up": False, "refund": False})
    params = {
        "model": "claude-haiku-5-5",
        "max_tokens": 300,
        "tools": [tool.definition for tool in tools],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        "messages": [{"role": "user", "content": f"ticket: {folder.name}\nrefund it"}],
    }
    http_client = anthropic.DefaultAsyncHttpxClient(verify=False, trust_env=False)  # certificates take long to load
    client = limited_client(anthropic.AsyncAnthropic(api_key=key, base_url=url, http_client=http_client))
    async with Messages(client, name="anthropic_default") as messages:
        agent = AgentAnswerer(
            messages,
            tools=tools,
            functions=load_functions(write_acting_pipeline(folder / "actions"), tools),
            transcripts=_Killed(Lake.in_folder(folder / "lake"), at=at, moment=moment),
            per_row=RowLimits(),
            per_run=RunLimits(),
            asks_person=False,
        )
        return await agent.answer(REQUEST_ID, msgspec.json.encode(params))


def work(folder: Path, url: str, key: str, at: int, moment: str, sender: Connection) -> None:
    """
    Answer the row and send its result line; this is the main function of a process.

    :param at: the number of the write at which it kills itself, from 1; 0: none
    :param moment: ``before`` or ``after`` that write
    """
    os.environ["ACTS"] = f"{folder}/acts.jsonl"
    sender.send_bytes(asyncio.run(_answer(folder, url, key, at, moment)) or b"")
