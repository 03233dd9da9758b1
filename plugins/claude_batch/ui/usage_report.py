"""The usage report: its operator, the trigger form of its Dag, and the link from the task to the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, BaseOperatorLink, Param, conf

from claude_batch.failures import airflow_failures

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.types import TaskInstanceKey

    from include.enrichment.cost.report_days import ReportDays

#: Where Airflow's API server serves the pages: claude_batch_plugin.py mounts report_page.py there.
URL_PREFIX = "/usage-report"
#: The entry *Usage report* under Browse in Airflow's navigation. The address is relative, because Airflow itself may be
#: served under a path.
NAV_VIEW = {
    "name": "Usage report",
    "href": f"{URL_PREFIX.removeprefix('/')}/latest",
    "url_route": "usage-report",
    "destination": "nav",
    "category": "browse",
}


def report_form() -> dict[str, Param]:
    """
    Return the params of a Dag that creates usage reports. Their defaults are those of the daily report.

    Airflow checks each value when a run is triggered. include/enrichment/cost/report_days.py defines what they mean.
    """
    return {
        "first": _day(
            "First day",
            "First day of the report (UTC), e.g. 2026-11-01. A batch counts on the day it was submitted. Empty: 29 days"
            " before the last day.",
        ),
        "last": _day(
            "Last day",
            "Last day of the report, inclusive. A report covers at most 400 days. Empty: the day before the run.",
        ),
    }


def _day(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date", title=title, description=description)


class ReportLink(BaseOperatorLink):
    """The link from the task to its page, which requires the Airflow login."""

    name = "Usage report"

    @property
    def xcom_key(self) -> str:
        return "usage_report_url"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        return str(operator.page_url)


class UsageReportOperator(BaseOperator):
    """
    Create the usage report of a range of days from the usage records: a page and a Parquet summary on the lake.

    Returns the address of the page. It calls no API and costs nothing. The run's params ``first`` and ``last`` select
    the days, see report_form().

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
            report = usage_report(days, lake=lake)
        self.page_url = _page_url(days)
        simulated = ", SIMULATED: the emulator answered" if report.simulated else ""
        self.log.info("%s: %s batches, %s%s", days, f"{report.batches:,}", format_usd(report.cost_usd), simulated)
        self.log.info("Usage report: %s, on the lake %s", self.page_url, lake.locate(report.page))
        return lake.locate(report.page)


def _page_url(days: ReportDays) -> str:
    """Return the address of the page on Airflow's API server."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}{URL_PREFIX}/{days.first}_{days.last}"
