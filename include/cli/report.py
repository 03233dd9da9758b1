"""`make report`: report the cost of a range of days, from the lake of the environment or of the running demo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from include.cli.output.published_day import with_lake
from include.enrichment.cost.prices import format_usd
from include.enrichment.cost.report_days import report_days
from include.gateways.lake import Lake
from include.stack.folder import StackFolder
from include.stack.progress import say
from include.stack.stack import LAKE, read_stack


def usage_report(folder: StackFolder, *, first: str | None, last: str | None) -> int:
    """
    Create the report of these days, up to today unless ``last`` is given, and print its address.

    Returns an exit status, see with_lake().
    """

    def work(lake: Lake) -> None:
        # Importing these imports Airflow, which with_lake() has configured by now.
        from claude_batch.ui.usage_report import URL_PREFIX
        from include.steps.usage_report import usage_report as make_report

        # A person also wants to see what was spent today.
        days = report_days(first=first, last=last, today=datetime.now(UTC).date() + timedelta(days=1))
        report = make_report(days, lake=lake)
        simulated = ", SIMULATED: the emulator answered" if report.simulated else ""
        say(f"{days}: {format_usd(report.cost_usd)}, batches: {report.batches:,}{simulated}")
        say(f"  {lake.locate(report.page)}")
        if (stack := read_stack(folder)) and lake.uri == stack.connections[LAKE]:
            say(f"  {stack.airflow_url}{URL_PREFIX}/{days.first}_{days.last}")

    return with_lake(folder, work)
