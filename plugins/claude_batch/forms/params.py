"""The trigger form of a pipeline's Dag. The REST API and backfills take the same params."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from claude_batch import pipelines
from claude_batch.forms.formats import DAY_UP_TO_TODAY, TIME_OF_DEADLINE
from include.enrichment.spec.parse_time import budget_ceiling, model_names, read_setting, variant_names

_TRIAL = "Try it out"
_COST = "Cost"
_TIME = "Time"
_REQUESTS = "Which requests are sent"


def form(pipeline: str) -> dict[str, Param]:
    """
    Return the params of a pipeline's Dag. Their defaults are those of a nightly run.

    enrich() adds them to the Dag; a flow without enrich() needs ``@dag(params=form("catalogue"))``. Airflow checks each
    value when a run is triggered. include/enrichment/runs/options.py defines what a run does with them.

    The bounds are in ``allOf``, where Airflow's form does not see them: it would silently change a value beyond a bound
    to the bound. The server rejects the value instead, with the bound in its message.

    :param pipeline: a folder below include/pipelines
    """
    pipeline_yaml = pipelines.PIPELINES / pipeline / "pipeline.yaml"
    ceiling = budget_ceiling(pipeline_yaml)
    bounds: dict[str, Any] = {"minimum": 0} if ceiling is None else {"minimum": 0, "maximum": ceiling}
    return {
        "partition": partition_param(
            "The day to process, e.g. 2026-11-21. Its published table is replaced. Future dates are rejected."
            " Empty: the day on which the run's data interval starts, which is the day BEFORE a logical date that"
            " you enter. Leave it empty in a backfill, whose date range selects the days."
        ),
        "rows": Param(
            None,
            type=["null", "integer"],
            allOf=[{"minimum": 1}],
            section=_TRIAL,
            title="Row limit (trial)",
            description=(
                "Send only this many rows, the first of the day (1 or more). They are published in the run's own"
                " folder, which the log of the task publish names; the day's table is not changed. A later full run"
                " does not pay for these rows again. Empty: all rows."
            ),
        ),
        "dry_run": Param(
            False,
            type="boolean",
            section=_TRIAL,
            title="Dry run",
            description=(
                "Send nothing. Read the rows and estimate what a run would send and cost. The estimate is in the run's"
                " note, in the log of the first plan task and in dry_run.json in the run's folder. Later tasks are"
                " skipped."
            ),
        ),
        "budget_usd": Param(
            None,
            type=["null", "number"],
            allOf=[bounds],
            section=_COST,
            title="Budget for this run (USD)",
            description=(
                "A run whose high cost estimate exceeds the budget stops before it sends anything."
                f"{'' if ceiling is None else f' At most {ceiling:,}, as set in pipeline.yaml.'}"
                " Empty: limits.budget_usd in pipeline.yaml, or no budget if that is not set."
            ),
        ),
        "urgent": Param(
            False,
            type="boolean",
            section=_TIME,
            title="Urgent",
            description=(
                "Send every request synchronously instead of in batches: the answers come within minutes and cost"
                " twice as much. The budgets apply. Answers that are already paid for are not requested again, and a"
                " batch that is already in flight is waited for."
            ),
        ),
        "deadline": Param(
            None,
            type=["null", "string"],
            allOf=[{"format": TIME_OF_DEADLINE}],
            section=_TIME,
            title="Deadline",
            description=(
                "When the run should have its answers: a time of day, e.g. 05:30 (UTC) or 05:30 Europe/Berlin, or a"
                " moment, e.g. 2026-12-01T05:30+01:00. A batch that would end too late is canceled, and the rest is"
                " sent synchronously at twice the price, up to limits.deadline_budget_usd. Empty: limits.deadline in"
                " pipeline.yaml, which applies only to scheduled and asset-triggered runs."
            ),
        ),
        **(_variants(variants) if (variants := variant_names(pipeline_yaml)) else _model(model_names(pipeline_yaml))),
        "reuse": Param(
            read_setting(pipeline_yaml, "reuse") is not False,
            type="boolean",
            section=_REQUESTS,
            title="Reuse answers",
            description=(
                "On: only rows without an answer are sent. Off: every row is sent and billed again. The next run with"
                " this setting on publishes the earlier answers again."
            ),
        ),
        "only_rejects": Param(
            False,
            type="boolean",
            section=_REQUESTS,
            title="Only the rejects",
            description=(
                "Send only the rows of the day that were rejected. Rows that were not billed are sent again unchanged."
                " Invalid answers are returned to the model once more, with the validation error, in the retry pass."
                " The run fails if other rows of the day have no answer; a run without this setting sends those too."
            ),
        ),
    }


def _model(models: list[str]) -> dict[str, Param]:
    return {
        "model": Param(
            None,
            type=["null", "string"],
            enum=[None, *models],
            values_display={"null": f"{models[0]} (the pipeline's)"} if models else {},
            section=_REQUESTS,
            title="Model",
            description=(
                "Another model sends and bills every row again. The next run without this setting uses the pipeline's"
                " model and its earlier answers again."
            ),
        )
    }


def _variants(names: list[str]) -> dict[str, Param]:
    """Return the field that takes the place of the model, because each variant has its own."""
    return {
        "variants": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "enum": names},
            examples=names,
            section=_REQUESTS,
            title="Variants",
            description=(
                "Send only these variants. The published table then has only their rows. The next run without this"
                " setting publishes the earlier answers of the others again. Empty: all variants."
            ),
        )
    }


def partition_param(description: str) -> Param:
    """Return the field for the day of a run, which may be empty and never in the future."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        allOf=[{"format": DAY_UP_TO_TODAY}],
        title="Partition",
        description=description,
    )
