"""
What Airflow's plugin loader executes, in every component and under this bare name: the one file that .airflowignore
lets it. It imports nothing of weight: the app comes in when the API server is asked for the first page, and Airflow's
models when the state of a run changes.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

import claude_batch.forms.formats  # noqa: F401  # the API server checks params, and imports no Dag file
from claude_batch.deadline import ScheduledDay
from claude_batch.timetable import DayTimetable
from claude_batch.ui import run_notes
from claude_batch.ui.usage_report import NAV_VIEW, URL_PREFIX, ReportLink


async def usage_reports(*call: Any) -> None:
    """The ASGI app of claude_batch/report_page.py."""
    from claude_batch.ui.report_page import app

    await app(*call)


class ClaudeBatchPlugin(AirflowPlugin):
    """
    The pages of the usage reports and what leads to them, the notes of runs, and what Airflow asks a plugin for before
    it runs a Dag that has it: timetable and deadline.
    """

    name = "claude_batch"
    # RUF012: Airflow declares them as plain lists of the class, and reads them there.
    fastapi_apps = [{"app": usage_reports, "url_prefix": URL_PREFIX, "name": "Usage reports"}]  # noqa: RUF012
    external_views = [NAV_VIEW]  # noqa: RUF012
    operator_extra_links = [ReportLink()]  # noqa: RUF012
    listeners = [run_notes]  # noqa: RUF012
    timetables = [DayTimetable]  # noqa: RUF012
    deadline_references = [ScheduledDay]  # noqa: RUF012
