"""
One row that an agent answers: what stands between the SDK's tool runner and the world. Each request of the runner and
each call of a tool is looked up in the row's transcript first, and stored there before the runner gets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec
from anthropic.lib.tools import BetaAsyncBuiltinFunctionTool, ToolError
from anthropic.types.beta import BetaToolUnionParam

from include.enrichment.agent.limits import Spent
from include.enrichment.agent.transcript import (
    Approval,
    Call,
    Message,
    Turn,
    approval_step,
    call_fingerprint,
    call_step,
    calls_of,
    idempotency_key,
    request_fingerprint,
    turn_step,
)
from include.enrichment.errors import LakeError
from include.gateways.agent.functions import Functions
from include.gateways.agent.transcripts import Step, Transcripts
from include.gateways.synchronous.answerer import Answerer

_DECLINED = "This call was not approved. Do not make it again, and finish without it."


class Errored(Exception):
    """
    The API gave no answer to a turn.

    :param result: the ``result`` of the result line
    """

    def __init__(self, result: bytes) -> None:
        super().__init__(result.decode())
        self.result = result

    @property
    def error(self) -> dict[str, str]:
        """The type and the message of the API's error."""
        found: dict[str, str] = msgspec.json.decode(self.result).get("error", {}).get("error", {})
        return found


class Row(httpx2.AsyncBaseTransport):
    """
    The transport of the tool runner of one row, and the tools that the runner calls.

    :param messages: sends a request of the runner
    :param steps: the transcript so far
    :param run: what the whole run has used
    """

    def __init__(
        self,
        request_id: str,
        *,
        messages: Answerer,
        functions: Functions,
        transcripts: Transcripts,
        steps: dict[str, Step],
        run: Spent,
    ) -> None:
        self.request_id = request_id
        self.steps = steps
        #: The answers of the model so far.
        self.turns: list[Message] = []
        self.spent = Spent()
        #: What ended the row. The runner gives an exception of a tool to the model, so it is kept here.
        self.failure: Exception | None = None
        self._messages = messages
        self._functions = functions
        self._transcripts = transcripts
        self._run = run
        self._calls: Iterator[tuple[int, dict[str, Any]]] = iter(())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request of the runner."""
        try:
            message = await self._turn(await request.aread())
        except Exception as error:
            self.failure = error
            raise
        return httpx2.Response(200, json=message, request=request)

    def tools(self, definitions: list[BetaToolUnionParam]) -> list[BetaAsyncBuiltinFunctionTool]:
        """Return the tools of these definitions for the runner."""
        return [_Tool(self, definition) for definition in definitions]

    async def call(self, name: str, given: dict[str, Any]) -> str:
        """Return the result of the next call of the last answer. Raises ToolError with what the model gets instead."""
        if self.failure:  # the runner makes the other calls of the answer all the same
            raise self.failure
        try:
            call = await self._call(name, given)
        except Exception as error:
            self.failure = error
            raise
        if call.is_error:
            raise ToolError(call.content)
        return call.content

    def approval(self, number: int) -> Approval | None:
        """Return the approval that a call of the last answer needs; None: none is stored."""
        found = self.steps.get(approval_step(len(self.turns), number))
        return found if isinstance(found, Approval) else None

    def is_done(self, number: int) -> bool:
        """Return whether a call of the last answer has ended."""
        return call_step(len(self.turns), number) in self.steps

    async def put_approval(self, number: int, approval: Approval) -> None:
        """Store the approval that a call of the last answer needs."""
        step = approval_step(len(self.turns), number)
        await asyncio.to_thread(self._transcripts.put, self.request_id, step, approval)
        self.steps[step] = approval

    async def _turn(self, body: bytes) -> Message:
        step, fingerprint = turn_step(len(self.turns) + 1), request_fingerprint(body)
        turn: Turn | None = self._stored(Turn, step, fingerprint)
        if turn is None:
            result = await self._messages.answer(self.request_id, body)
            line = msgspec.json.decode(result or b"{}")
            if line.get("type") != "succeeded":
                raise Errored(result or b"{}")
            turn = Turn(fingerprint=fingerprint, message=line["message"], at=datetime.now(UTC))
            await self._store(step, turn)
        self.turns.append(turn.message)
        self._calls = iter(list(enumerate(calls_of(turn.message), start=1)))
        for spent in (self.spent, self._run):
            spent.add_turn(turn.message)
        return turn.message

    async def _call(self, name: str, given: dict[str, Any]) -> Call:
        # The runner makes the calls one after the other, except those of tools that do not exist.
        number = next(number for number, call in self._calls if call["name"] == name)
        step, fingerprint = call_step(len(self.turns), number), call_fingerprint(name, given)
        call: Call | None = self._stored(Call, step, fingerprint)
        if call is None:
            content, is_error = await self._act(name, given, number, step)
            call = Call(
                fingerprint=fingerprint,
                tool=name,
                input=given,
                content=content,
                is_error=is_error,
                at=datetime.now(UTC),
            )
            await self._store(step, call)
        for spent in (self.spent, self._run):
            spent.add_call(call)
        return call

    async def _act(self, name: str, given: Mapping[str, Any], number: int, step: str) -> tuple[str, bool]:
        approval = self.approval(number)
        if approval and not approval.approved:
            return _DECLINED, True
        key = idempotency_key(self.request_id, step)
        result = await self._functions.call_in_thread(name, given, idempotency_key=key)
        return result.content, result.is_error

    async def _store(self, step: str, value: Turn | Call) -> None:
        await asyncio.to_thread(self._transcripts.add, self.request_id, step, value)
        self.steps[step] = value

    def _stored(self, kind: type[Any], step: str, fingerprint: str) -> Any:
        found = self.steps.get(step)
        if found is None:
            return None
        if not isinstance(found, kind) or found.fingerprint != fingerprint:
            raise LakeError(
                f"Step {step} of the transcript of request {self.request_id} does not answer what is asked now: another"
                " release of this project or of the SDK wrote it. Nothing was sent. Finish the run with that release,"
                " or delete the row's transcript: its answers are then paid for again, and its tools are called again.",
                retryable=False,
            )
        return found


class _Tool(BetaAsyncBuiltinFunctionTool):
    """A tool as the runner calls it."""

    def __init__(self, row: Row, definition: BetaToolUnionParam) -> None:
        self._row = row
        self._definition = definition

    def to_dict(self) -> BetaToolUnionParam:
        return self._definition

    async def call(self, input: object) -> str:
        return await self._row.call(self.name, dict(input) if isinstance(input, dict) else {})
