"""The evaluation of a pipeline's answers: its operator, and the trigger form of its Dag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink, Param, conf

from claude_batch import pipelines
from claude_batch.forms.params import partition_param
from claude_batch.run_operator import RunOperator
from include.enrichment.errors import GateFailed

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from include.evaluation.result import EvaluationResult, GateDecision

#: Where Airflow's API server serves the reports: claude_batch_plugin.py mounts evaluation_page.py there.
URL_PREFIX = "/evaluation-report"


def evaluation_form() -> dict[str, Param]:
    """Return the params of a Dag that evaluates answers. Their defaults are those of a run that follows its tables."""
    return {
        "partition": partition_param(
            "The day to evaluate, e.g. 2026-11-16. Its answers, and the judges' grades, must be published. Empty:"
            " the day that was just published."
        ),
        "baseline": Param(
            None,
            type=["null", "string"],
            title="Baseline",
            description=(
                "What the variants are compared with: a variant, the id of an earlier evaluation, or `latest`. Empty:"
                " the baselines in evaluation.yaml."
            ),
        ),
    }


class EvaluationLink(BaseOperatorLink):
    """The link from the task to its report, which requires the Airflow login."""

    name = "Evaluation report"

    @property
    def xcom_key(self) -> str:
        return "evaluation_report_url"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        return str(operator.page_url)


class EvaluateOperator(RunOperator):
    """
    Score the published answers of a partition, compare the variants, and decide the gate.

    Writes the evaluation to the lake and returns the address of its report. It calls no API and costs nothing; each run
    writes a new evaluation. If a gate with ``on: fail`` fails, the task fails after it has written everything, and is
    not retried. If the gate is inconclusive, the task succeeds and says so in its label and log.

    :param pipeline: a folder below include/pipelines with an evaluation.yaml
    :param partition: as for ExtractOperator
    :param aws_conn_id: the connection of the lake
    """

    operator_extra_links = (EvaluationLink(),)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.page_url = ""

    def execute(self, context: Context) -> str:
        from claude_batch.connections.gateways import open_lake
        from include.enrichment.storage.layout import EvaluationFolder
        from include.steps.evaluate import evaluate

        with self.failures(context):
            partition, lake = self.run_folder(context).partition, open_lake(self.aws_conn_id)
            result = evaluate(
                pipelines.PIPELINES / self.pipeline,
                partition,
                lake=lake,
                baseline=context["params"].get("baseline"),
            )
            folder = EvaluationFolder(pipeline=self.pipeline, evaluation_id=result.evaluation_id)
            report = lake.locate(folder.report)
            self.page_url = (
                f"{conf.get('api', 'base_url', fallback='').rstrip('/')}"
                f"{URL_PREFIX}/{self.pipeline}/{result.evaluation_id}"
            )
            self.log.info("Evaluation %s of %s: %s", result.evaluation_id, partition, describe(result))
            for decision in result.gate:
                log = self.log.info if decision.verdict == "pass" else self.log.warning
                log("%s: %s", decision.verdict, decision.why)
            self.log.info("Report: %s, on the lake %s", self.page_url, report)
            if result.verdict == "fail":
                simulated = " (simulated)" if result.simulated else ""
                raise GateFailed(
                    f"The gate fails{simulated}: {_deciding(result, 'fail').why}\n"
                    f"The report is complete: {self.page_url}. Read the cases that changed."
                    " A new evaluation of a changed variant pays only for that variant."
                )
        self.set_headline(context, describe(result))
        return report


def describe(result: EvaluationResult) -> str:
    """Return the verdict in one line: ``inconclusive: <why>``, with the conditions that only warn."""
    if not result.gate:
        return f"{result.cases:,} cases evaluated, without a gate"
    warnings = sum(decision.verdict == "fail" and decision.on == "warn" for decision in result.gate)
    counted = f" ({warnings} {'warning' if warnings == 1 else 'warnings'})" if warnings else ""
    simulated = " (simulated)" if result.simulated else ""
    return f"{result.verdict}{simulated}{counted}: {_deciding(result, result.verdict).why}"


def _deciding(result: EvaluationResult, verdict: str) -> GateDecision:
    """Return the first condition with this verdict, of those that decide; the first one if none has it."""
    having = [decision for decision in result.gate if decision.verdict == verdict]
    return next((decision for decision in having if decision.on == "fail"), (having or result.gate)[0])
