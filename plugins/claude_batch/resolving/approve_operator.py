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

    from include.gateways.lake import Lake
    from include.steps.asking.approvals import WaitingCall

_APPROVE, _REJECT = "Approve", "Reject"


class ApproveOperator(RunOperator, HITLOperator):
    """
    Ask a person to approve the calls of tools that wait in the rows of a pass; returns the numbers of approved and
    rejected calls.

    Airflow shows the question under *Required Actions*, with the calls. The task waits without a worker and without a
    triggerer. It is skipped if no call waits. Nobody's answer in time is a rejection.

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
        from include.steps.asking.approvals import describe_calls

        with self.failures(context):
            calls = self._waiting(context, self._lake())
        if not calls:
            raise AirflowSkipException("No call waits for a person.")
        self.log.info("Calls that wait for a person: %s", f"{len(calls):,}")
        self.body = describe_calls(calls)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, int]:
        """Store the decision."""
        from include.steps.asking.approvals import decide

        answer = super().execute_complete(context, event)
        user = answer["responded_by_user"]
        with self.failures(context):
            lake = self._lake()
            counts = decide(
                self._waiting(context, lake),
                approved=answer["chosen_options"] == [_APPROVE],
                except_rows=answer["params_input"].get("except_rows") or [],
                by=user and user["name"],
                folder=self.run_folder(context),
                lake=lake,
            )
        self.set_headline(context, headline.asked(counts))
        return counts

    def _waiting(self, context: Context, lake: Lake) -> list[WaitingCall]:
        from include.steps.ask import planned_pass
        from include.steps.asking.approvals import waiting_calls

        folder = self.run_folder(context)
        chunks = planned_pass(folder, pass_name=self.pass_name, lake=lake).synchronous
        return waiting_calls(folder, chunks, lake=lake)

    def _lake(self) -> Lake:
        from claude_batch.connections.gateways import open_lake

        return open_lake(self.aws_conn_id)
