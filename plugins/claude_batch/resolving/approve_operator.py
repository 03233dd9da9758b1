"""The task that asks a person about the calls of tools that wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from claude_batch.arguments import check_arguments
from claude_batch.run_operator import RunOperator
from include.enrichment.answers import headline

if TYPE_CHECKING:
    from airflow.sdk import Context

    from include.enrichment.storage.layout import RunFolder
    from include.gateways.lake import Lake
    from include.steps.asking.approvals import WaitingCall

_APPROVE, _REJECT = "Approve", "Reject"


class ApproveOperator(RunOperator, HITLOperator):
    """
    Ask a person to approve the calls of tools that wait in the rows of a pass; returns the numbers of approved and
    rejected calls.

    Airflow shows the question under *Required Actions*, with the calls. The task waits without a worker and without a
    triggerer. It is skipped if no call waits and none is left to make. If nobody answers in time, all calls are
    rejected.

    :param pass_name: as for PlanOperator
    :param answer_within: how long a person has
    """

    # Not the body: it holds text of rows.
    template_fields: Sequence[str] = ("partition", "subject")

    def __init__(self, *, pass_name: str, answer_within: timedelta, **kwargs: Any) -> None:
        form = {
            "except_rows": Param(
                [],
                type=["array", "null"],
                items={"type": "string"},
                title="Except these rows",
                description="Rows of the table, one on a line. Their calls are rejected although others are approved.",
            )
        }
        question = {
            "subject": f"May {kwargs.get('pipeline')} make these calls?",
            "options": [_APPROVE, _REJECT],
            "defaults": [_REJECT],
            "params": form,
            "response_timeout": answer_within,
        }
        super().__init__(**{**kwargs, **question})
        check_arguments(type(self).__name__, pass_name=pass_name, answer_within=answer_within)
        self.pass_name = pass_name

    def execute(self, context: Context) -> Any:
        from include.steps.asking.approvals import describe_calls, put_question

        with self.failures(context):
            lake, folder = self._lake(), self.run_folder(context)
            found = self._open_calls(folder, lake)
            calls = [call for call in found if not call.is_decided]
            if calls:
                put_question(calls, pass_name=self.pass_name, folder=folder, lake=lake)
        if not found:
            raise AirflowSkipException("No call waits for a person.")
        if not calls:
            self.log.info("A person has decided all calls: the next task makes those that are left")
            return {"approved": 0, "rejected": 0}
        self.log.info("Calls that wait for a person: %s", f"{len(calls):,}")
        self.body = describe_calls(calls)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """Store the decision."""
        from include.steps.asking.approvals import decide, put_question

        answer = super().execute_complete(context, event)
        user = answer["responded_by_user"]
        with self.failures(context):
            lake, folder = self._lake(), self.run_folder(context)
            calls = [call for call in self._open_calls(folder, lake) if not call.is_decided]
            put_question(calls, pass_name=self.pass_name, folder=folder, lake=lake)  # none came up meanwhile
            counts = decide(
                calls,
                approved=answer["chosen_options"] == [_APPROVE],
                except_rows=answer["params_input"].get("except_rows") or [],
                by=user and user["name"],
                folder=folder,
                lake=lake,
            )
        self.set_headline(context, headline.counted(counts))
        return counts

    def _open_calls(self, folder: RunFolder, lake: Lake) -> list[WaitingCall]:
        from include.steps.ask import planned_pass
        from include.steps.asking.approvals import open_calls

        chunks = planned_pass(folder, pass_name=self.pass_name, lake=lake).synchronous
        return open_calls(folder, chunks, lake=lake)

    def _lake(self) -> Lake:
        from claude_batch.connections.gateways import open_lake

        return open_lake(self.aws_conn_id)
