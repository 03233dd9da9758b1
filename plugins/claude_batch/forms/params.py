"""The form that a pipeline's Dag shows in the UI when a run is triggered by hand; REST and backfills take the same."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from claude_batch import pipelines
from claude_batch.forms.formats import DAY_UP_TO_TODAY
from include.enrichment.spec.parse_time import budget_ceiling, model_names, read_setting

_TRY = "Try it out"
_AGAIN = "Ask again"
_MONEY = "Money"


def form(pipeline: str) -> dict[str, Param]:
    """
    The params of a pipeline's Dag, which enrich() adds to it; a flow put together by hand says
    ``@dag(params=form("catalogue"))``. Their defaults make a run as every night.

    Airflow checks each value when a run is triggered; include/enrichment/runs/options.py
    says what a run does with them. The bounds are in ``allOf``: Airflow's server rejects a value beyond them, with the
    bound in its message, while its form would turn the value into the bound without a word if it saw them.

    :param pipeline: a folder below include/pipelines, which says the models that a run may ask
    """
    pipeline_yaml = pipelines.PIPELINES / pipeline / "pipeline.yaml"
    models = model_names(pipeline_yaml)
    ceiling = budget_ceiling(pipeline_yaml)
    bounds: dict[str, Any] = {"minimum": 0} if ceiling is None else {"minimum": 0, "maximum": ceiling}
    return {
        "partition": Param(
            None,
            type=["null", "string"],
            format="date",
            allOf=[{"format": DAY_UP_TO_TODAY}],
            title="Partition",
            description=(
                "The day to read and to replace, such as 2026-11-21; today at the latest. Empty: the day on which the"
                " run's data interval starts, which is the day BEFORE a logical date that you enter. Leave it empty in"
                " a backfill: the range says which days."
            ),
        ),
        "rows": Param(
            None,
            type=["null", "integer"],
            allOf=[{"minimum": 1}],
            section=_TRY,
            title="Row limit (trial)",
            description=(
                "Send only the first rows of the day, at least 1. They are published into the run's own folder, which"
                " the log of the task publish names; the day's table stays as it is. A later full run does not pay for"
                " these rows again. Empty: all rows."
            ),
        ),
        "dry_run": Param(
            False,
            type="boolean",
            section=_TRY,
            title="Dry run",
            description=(
                "Send nothing. Read the rows and show what a run would send and cost, in the run's note, in the log of"
                " the first task plan, and in dry_run.json in the run's folder. The tasks after it are skipped."
            ),
        ),
        "budget_usd": Param(
            None,
            type=["null", "number"],
            allOf=[bounds],
            section=_MONEY,
            title="Budget of this run (USD)",
            description=(
                "A run whose high estimate exceeds its budget stops before it spends."
                f"{'' if ceiling is None else f' At most {ceiling:,} (pipeline.yaml).'}"
                " Empty: limits.budget_usd of pipeline.yaml, if it is set."
            ),
        ),
        "model": Param(
            None,
            type=["null", "string"],
            enum=[None, *models],
            values_display={"null": f"{models[0]} (the pipeline's)"} if models else {},
            section=_AGAIN,
            title="Model",
            description=(
                "Another model than the pipeline's: every row is sent again and billed. The next run without it goes"
                " back to the pipeline's model and its answers."
            ),
        ),
        "reuse": Param(
            read_setting(pipeline_yaml, "reuse") is not False,
            type="boolean",
            section=_AGAIN,
            title="Reuse answers",
            description=(
                "On: only rows without an answer are sent. Off: every row is sent and billed again; the next run with"
                " this on finds the earlier answers and publishes those."
            ),
        ),
        "only_rejects": Param(
            False,
            type="boolean",
            section=_AGAIN,
            title="Only the rejects",
            description=(
                "Send only the rejected rows of the day. Rows that were not billed are sent again unchanged. Invalid"
                " answers are sent back once more, with the validator's complaint, in the retry passes. The run fails"
                " if other rows of the day have no answer; a plain run sends all of them."
            ),
        ),
    }
