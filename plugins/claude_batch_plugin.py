"""
What Airflow's plugin loader executes, in every component and under this bare name: the one file that .airflowignore
lets it. It imports nothing of weight: the app comes in when the API server is asked for the first page.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from claude_batch.report import NAV_VIEW, URL_PREFIX, ReportLink


async def usage_reports(*call: Any) -> None:
    """The ASGI app of claude_batch/report_page.py."""
    from claude_batch.report_page import app

    await app(*call)


class ClaudeBatchPlugin(AirflowPlugin):
    """The pages of the usage reports, and what leads to them: a link on their task, an entry in the navigation."""

    name = "claude_batch"
    # RUF012: Airflow declares them as plain lists of the class, and reads them there.
    fastapi_apps = [{"app": usage_reports, "url_prefix": URL_PREFIX, "name": "Usage reports"}]  # noqa: RUF012
    external_views = [NAV_VIEW]  # noqa: RUF012
    operator_extra_links = [ReportLink()]  # noqa: RUF012
