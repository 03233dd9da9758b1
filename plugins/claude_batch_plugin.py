"""
The Airflow plugin.

Airflow's plugin loader executes this file in every component; .airflowignore hides all others. It must import nothing
slow: the first page request imports the app, and the first state change imports Airflow's models.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

import claude_batch.forms.formats  # noqa: F401  # the API server checks params without importing a Dag file
from claude_batch.deadline import ScheduledDay
from claude_batch.timetable import DayTimetable
from claude_batch.ui import evaluation, run_notes
from claude_batch.ui.usage_report import NAV_VIEW, URL_PREFIX, ReportLink


async def usage_reports(*call: Any) -> None:
    """Call the ASGI app of claude_batch/ui/report_page.py."""
    from claude_batch.ui.report_page import app

    await app(*call)


async def evaluation_reports(*call: Any) -> None:
    """Call the ASGI app of claude_batch/ui/evaluation_page.py."""
    from claude_batch.ui.evaluation_page import app

    await app(*call)


class ClaudeBatchPlugin(AirflowPlugin):
    """
    Pages of usage reports and evaluations, links to them, run notes, the timetable and deadline reference of the Dags.

    Airflow only accepts a timetable or deadline reference that a plugin registers.
    """

    name = "claude_batch"
    # RUF012: Airflow declares these as plain lists of the class, and reads them there.
    fastapi_apps = [  # noqa: RUF012
        {"app": usage_reports, "url_prefix": URL_PREFIX, "name": "Usage reports"},
        {"app": evaluation_reports, "url_prefix": evaluation.URL_PREFIX, "name": "Evaluations"},
    ]
    external_views = [NAV_VIEW]  # noqa: RUF012
    operator_extra_links = [ReportLink(), evaluation.EvaluationLink()]  # noqa: RUF012
    listeners = [run_notes]  # noqa: RUF012
    timetables = [DayTimetable]  # noqa: RUF012
    deadline_references = [ScheduledDay]  # noqa: RUF012
