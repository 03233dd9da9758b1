"""Answers requests with an agent: the SDK's tool runner, whose every step is stored before the next one begins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import anthropic
import httpx2
import msgspec

from include.enrichment.agent.limits import Spent, passes_price_step, reached, repeats_a_failure
from include.enrichment.agent.settings import RowLimits, RunLimits
from include.enrichment.agent.tool_file import Tool
from include.enrichment.agent.transcript import (
    Approval,
    Message,
    call_fingerprint,
    calls_of,
    final_message,
    stopped_message,
)
from include.enrichment.answers.outcome import remedy
from include.enrichment.errors import BudgetExceeded, NotYet
from include.gateways.agent.functions import Functions, OutcomeUnknown
from include.gateways.agent.row import Errored, Row
from include.gateways.agent.transcripts import Transcripts
from include.gateways.synchronous.answerer import Answerer

#: After an error of the API in the middle of a row.
_PAUSE = timedelta(minutes=1)


class AgentAnswerer:
    """
    Answers each request with a loop of turns and calls of tools; see Answerer.

    Each step is stored before the next one begins, and a row that was interrupted goes through the stored steps again
    without a call of the API or of a tool. A row that reaches a limit, or repeats a failure, is answered without
    content, and the reason is in ``stop_details``.

    :param messages: sends the request of one turn
    :param tools: the tools of the run
    :param asks_person: True: a call that a person has to approve waits, and the answer of its row is None. False: a
        call that nobody has approved is not made
    """

    def __init__(
        self,
        messages: Answerer,
        *,
        tools: Iterable[Tool],
        functions: Functions,
        transcripts: Transcripts,
        per_row: RowLimits,
        per_run: RunLimits,
        asks_person: bool,
    ) -> None:
        self._messages = _Limited(messages, per_run)
        self._tools = {tool.name: tool for tool in tools}
        self._functions = functions
        self._transcripts = transcripts
        self._per_row = per_row
        self._asks_person = asks_person

    async def answer(self, request_id: str, params: bytes) -> bytes | None:
        """
        Return the ``result`` of the result line, or None if a call of a tool waits for a person.

        Raises BudgetExceeded if the run reaches a limit, NotYet if the API fails in the middle of a row, LakeError if
        the transcript does not belong to the request, and the errors of ``messages``.
        """
        row = Row(
            request_id,
            messages=self._messages,
            functions=self._functions,
            transcripts=self._transcripts,
            steps=await asyncio.to_thread(self._transcripts.steps, request_id),
            run=self._messages.spent,
        )
        try:
            message = await self._run(row, msgspec.json.decode(params))
        except Exception as error:
            failure = row.failure or error
            if isinstance(failure, Errored):
                return _errored(row, failure)
            if not isinstance(failure, OutcomeUnknown):
                raise failure from None
            message = stopped_message(row.turns, str(failure))
        return None if message is None else msgspec.json.encode({"type": "succeeded", "message": message})

    async def _run(self, row: Row, params: dict[str, Any]) -> Message | None:
        # The SDK's client only makes and reads the requests: the row sends them.
        async with httpx2.AsyncClient(transport=row, trust_env=False) as http:
            client = anthropic.AsyncAnthropic(api_key="not used", http_client=http, max_retries=0)
            tools = row.tools(params.pop("tools", []))
            # Without thread=False the API would keep the conversation, which cannot be stored and replayed.
            runner = client.beta.messages.tool_runner(**params, tools=tools, thread=False)
            try:
                async for _ in runner:
                    message = row.turns[-1]
                    calls = calls_of(message)
                    if await self._waits(row, calls):
                        return None
                    if why := reached(row.spent, self._per_row, more_calls=len(calls)) if calls else None:
                        return stopped_message(row.turns, f"it reached its limit of {why}")
                    results = await runner.generate_tool_call_response() if calls else None
                    if row.failure:
                        raise row.failure
                    if (calls or message["stop_reason"] == "pause_turn") and (why := self._why_stop(row, results)):
                        return stopped_message(row.turns, why)
            finally:
                await runner.close()
        return final_message(row.turns)

    async def _waits(self, row: Row, calls: list[dict[str, Any]]) -> bool:
        """Return whether a call of the last answer waits for a person."""
        waits = False
        for number, call in enumerate(calls, start=1):
            tool = self._tools.get(call["name"])
            if tool is None or not tool.ask_first or row.is_done(number):
                continue
            if row.approval(number) is None:
                fingerprint = call_fingerprint(tool.name, call["input"])
                approval = Approval(fingerprint=fingerprint, tool=tool.name, input=call["input"], at=datetime.now(UTC))
                await row.put_approval(number, approval)
            decided = row.approval(number)
            waits |= self._asks_person and decided is not None and decided.approved is None
        return waits

    def _why_stop(self, row: Row, results: Mapping[str, Any] | None) -> str | None:
        """Return why no turn follows; None: one does."""
        if why := reached(row.spent, self._per_row):
            return f"it reached its limit of {why}"
        added = len(msgspec.json.encode(results))
        return repeats_a_failure(row.spent) or passes_price_step(row.turns[-1], added)


class _Limited:
    """Sends requests until the run reaches a limit."""

    def __init__(self, messages: Answerer, limits: RunLimits) -> None:
        self.spent = Spent()
        self._messages = messages
        self._limits = limits

    async def answer(self, request_id: str, params: bytes) -> bytes | None:
        """Return the result of the request. Raises BudgetExceeded."""
        if why := reached(self.spent, self._limits):
            raise BudgetExceeded(
                f"The run has reached its limit of {why}, after {self.spent.turns:,} turns and"
                f" {self.spent.tool_calls:,} tool calls. The rows in progress keep their transcripts.\n"
                "To go on where it stopped, raise limits.per_run in pipeline.yaml and start a new run of the partition."
            )
        return await self._messages.answer(request_id, params)


def _errored(row: Row, failure: Errored) -> bytes:
    """Return the result of a row for which the API gave no further answer."""
    if not row.turns:
        return failure.result
    kind = failure.error.get("type", "unknown_error")
    if remedy("errored", kind, None) == "again":
        raise NotYet(
            f"The API answered turn {len(row.turns) + 1} of request {row.request_id} with {kind}. Its transcript is"
            " kept, and the row goes on where it was.",
            again_at=datetime.now(UTC) + _PAUSE,
        )
    why = f"the API rejected turn {len(row.turns) + 1}: {kind}: {failure.error.get('message', '')}"
    return msgspec.json.encode({"type": "succeeded", "message": stopped_message(row.turns, why)})
