"""The form that a pipeline's Dag shows in the UI when a run is triggered by hand; REST and backfills take the same."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from claude_batch import operators
from claude_batch.formats import DAY_UP_TO_TODAY
from include.enrichment.glance import budget_ceiling, glance, model_names

_TRY = "Try it out"
_AGAIN = "Ask again"
_MONEY = "Money"


def form(pipeline: str) -> dict[str, Param]:
    """
    The params of a pipeline's Dag, which enrich() adds to it; a flow put together by hand says
    ``@dag(params=form("catalogue"))``. Their defaults make a run as every night.

    Airflow checks each value when a run is triggered; what a run does with them is said by
    include/enrichment/options.py. The bounds are in ``allOf``: Airflow's server rejects a value beyond them, with the
    bound in its message, while its form would turn the value into the bound without a word if it saw them.

    :param pipeline: a folder below include/pipelines, which says the models that a run may ask
    """
    pipeline_yaml = operators.PIPELINES / pipeline / "pipeline.yaml"
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
                "The day to read and to replace, such as 2026-11-21. It wins over everything else. Empty: the day on"
                " which the run's data interval starts, which is the day BEFORE a logical date that is given by hand."
                " Leave it empty in a backfill, whose range says which days."
            ),
        ),
        "rows": Param(
            None,
            type=["null", "integer"],
            allOf=[{"minimum": 1}],
            section=_TRY,
            title="Trial of so many rows",
            description=(
                "Ask for the first rows of the day only. They are published into the run's own folder, which the log of"
                " the task publish names; the day's table stays as it is. A later full run does not pay for these rows"
                " again. Empty: all rows."
            ),
        ),
        "dry_run": Param(
            False,
            type="boolean",
            section=_TRY,
            title="Dry run: send nothing",
            description=(
                "Read the rows and show what would be sent, in the log of the first task plan and in dry_run.json of"
                " the run's folder. Everything after that is skipped."
            ),
        ),
        "budget_usd": Param(
            None,
            type=["null", "number"],
            allOf=[bounds],
            section=_MONEY,
            title="Budget of this run, in US dollars",
            description=(
                "A run whose high estimate exceeds it stops before it spends. Empty: what limits.budget_usd of"
                " pipeline.yaml says, if it says anything."
            ),
        ),
        "model": Param(
            None,
            type=["null", "string"],
            enum=[None, *models],
            values_display={"null": f"{models[0]} (the pipeline's)"} if models else {},
            section=_AGAIN,
            title="Model: another one asks, and pays, for every row",
            description=(
                "One that pipeline.yaml names. The next run without it goes back to the pipeline's own, and to its"
                " answers."
            ),
        ),
        "reuse": Param(
            glance(pipeline_yaml, "reuse") is not False,
            type="boolean",
            section=_AGAIN,
            title="Reuse answers: off pays for every row again",
            description=(
                "On: only rows that have no answer yet are sent. Off: all of them. The next run with it on finds the"
                " earlier answers again, and publishes those."
            ),
        ),
        "only_rejects": Param(
            False,
            type="boolean",
            section=_AGAIN,
            title="Only the rejects",
            description=(
                "Send only what stands in the day's rejects. What was not billed is asked again as it is; an answer"
                " that does not fit goes back once more, with what is wrong with it, in the retry passes. Refused if"
                " other rows of the day have no answer: a plain run asks for all."
            ),
        ),
    }
