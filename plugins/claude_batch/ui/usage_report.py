"""The usage report: the operator that makes it, the form of its Dag, and the link from its task to the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink, Param, conf

from claude_batch.failures import airflow_failures

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from include.enrichment.cost.report_days import ReportDays

#: Below this Airflow's API server answers with the pages: report_page.py, which ../claude_batch_plugin.py puts there.
URL_PREFIX = "/usage-report"
#: The entry *Usage report* in Airflow's navigation, below Browse. Its address is relative, so that Airflow may itself
#: lie below a path.
NAV_VIEW = {
    "name": "Usage report",
    "href": f"{URL_PREFIX.removeprefix('/')}/latest",
    "url_route": "usage-report",
    "destination": "nav",
    "category": "browse",
}


def report_form() -> dict[str, Param]:
    """
    The params of a Dag that makes usage reports. Their defaults make the daily one.

    Airflow checks each value when a run is triggered; what they mean is said by include/enrichment/cost/report_days.py.
    """
    return {
        "first": _day(
            "First day",
            "The first day of the report, such as 2026-11-01, in UTC: a batch counts on the day it was made. Empty: 29"
            " days before the last one.",
        ),
        "last": _day(
            "Last day",
            "The last day of the report, which belongs to it; at most 400 days from the first. Empty: the day before"
            " the run.",
        ),
    }


def _day(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date", title=title, description=description)


class ReportLink(BaseOperatorLink):
    """From the task to the page that it made; whoever follows it is logged in to Airflow."""

    name = "Usage report"

    @property
    def xcom_key(self) -> str:
        return "usage_report_url"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        return str(operator.page_url)


class UsageReportOperator(BaseOperator):
    """
    Make the usage report of some days out of the books: a page and a Parquet summary on the lake. It asks nobody and
    pays nothing. Returns where the page lies.

    The days are those of the run's params ``first`` and ``last``, see report_form().

    :param aws_conn_id: the connection of the lake
    """

    operator_extra_links = (ReportLink(),)

    def __init__(self, *, aws_conn_id: str = "aws_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.aws_conn_id = aws_conn_id
        self.page_url = ""

    def execute(self, context: Context) -> str:
        from claude_batch.connections.gateways import open_lake
        from include.enrichment.cost.prices import format_usd
        from include.enrichment.cost.report_days import report_days
        from include.steps.usage_report import usage_report

        params, run_after = context["params"], context["dag_run"].run_after
        with airflow_failures():
            days = report_days(first=params.get("first"), last=params.get("last"), today=run_after.date())
            lake = open_lake(self.aws_conn_id)
            made = usage_report(days, lake=lake)
        self.page_url = _page_url(days)
        simulated = ", SIMULATED: the emulator answered" if made.simulated else ""
        self.log.info("%s: %s batches, %s%s", days, f"{made.batches:,}", format_usd(made.cost_usd), simulated)
        self.log.info("The page is %s, on the lake %s", self.page_url, lake.locate(made.page))
        return lake.locate(made.page)


def _page_url(days: ReportDays) -> str:
    """Where Airflow's API server answers with the page of these days."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}{URL_PREFIX}/{days.first}_{days.last}"
