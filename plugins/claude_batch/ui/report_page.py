"""
The web app that serves usage reports from the lake, and nothing else on it, to users logged in to Airflow.
"""

from __future__ import annotations

from datetime import date

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from claude_batch.ui.pages import lake_of_pages, page, page_app
from include.enrichment.cost.report_days import ReportDays, newest_daily
from include.enrichment.storage import layout
from include.gateways.lake import Lake

#: The page is ours, and what stands in it are names that others chose: no script, and nothing from anywhere else.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'; sandbox"
)

app = page_app()


@app.get("/latest")
def latest() -> HTMLResponse:
    """Return the newest 30-day report, under an address that never changes."""
    lake = lake_of_pages()
    made = (layout.parse_report_key(key) for key in lake.list(layout.REPORTS_FOLDER))
    newest = newest_daily(ReportDays(first=days[0], last=days[1]) for days in made if days)
    if newest is None:
        raise HTTPException(
            404, "There is no usage report of 30 days yet. Trigger the Dag usage_report or run `make report`."
        )
    return _page(lake, newest.first, newest.last)


@app.get("/{first}_{last}")
def report(first: date, last: date) -> HTMLResponse:
    """Return the report of these days."""
    return _page(lake_of_pages(), first, last)


def _page(lake: Lake, first: date, last: date) -> HTMLResponse:
    missing = f"There is no usage report of {first} to {last}. Trigger the Dag usage_report with these days."
    return page(lake, layout.report(first, last), policy=_POLICY, missing=missing)
