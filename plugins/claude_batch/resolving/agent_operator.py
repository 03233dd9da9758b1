"""The task that answers a pass's rows with an agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from claude_batch import pipelines
from claude_batch.arguments import check_arguments
from claude_batch.synchronous.ask_operator import AskOperator

if TYPE_CHECKING:
    from include.enrichment.spec.pipeline import Pipeline
    from include.gateways.synchronous.answerer import Answerer


class AgentOperator(AskOperator):
    """
    Answer the rows of a pass with an agent, whose tools act.

    Each answer of the model and each result of a tool is stored before the next step. A task that was killed goes on
    with the next step of each row, and a writing tool is called again only with the idempotency key that it had.

    :param asks_person: True: a call that a person has to approve waits, and its row stays unanswered. False: a call
        that nobody has approved is not made
    """

    def __init__(self, *, asks_person: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_arguments(type(self).__name__, asks_person=asks_person)
        self.asks_person = asks_person

    def open_answerer(self, pipeline: Pipeline) -> AbstractAsyncContextManager[Answerer]:
        """Return the agent of the pipeline."""
        return self._open_agent(pipeline)

    @asynccontextmanager
    async def _open_agent(self, pipeline: Pipeline) -> AsyncGenerator[Answerer, None]:
        from claude_batch.connections.claude_connection import open_messages
        from claude_batch.connections.gateways import open_lake
        from include.gateways.agent.answerer import AgentAnswerer
        from include.gateways.agent.functions import load_functions
        from include.gateways.agent.transcripts import Transcripts

        limits = pipeline.settings.limits
        functions = load_functions(pipelines.PIPELINES / self.pipeline, pipeline.tools)
        async with open_messages(self.anthropic_conn_id) as messages:
            yield AgentAnswerer(
                messages,
                tools=pipeline.tools,
                functions=functions,
                transcripts=Transcripts(open_lake(self.aws_conn_id), pipeline=self.pipeline),
                per_row=limits.per_row,
                per_run=limits.per_run,
                asks_person=self.asks_person,
            )
