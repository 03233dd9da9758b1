"""
The web app that serves usage reports from the lake, and nothing else on it, to users logged in to Airflow.
"""

from __future__ import annotations

from datetime import date

from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse

from claude_batch.connections.gateways import open_lake
from include.enrichment.cost.report_days import ReportDays, newest_daily
from include.enrichment.errors import EnrichmentError
from include.enrichment.storage import layout
from include.gateways.lake import Lake

#: The page is ours, and what stands in it are names that others chose: no script, and nothing from anywhere else.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'self'; sandbox"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

# On the app, not on each route: a route that forgot it would be public.
app = FastAPI(dependencies=[Depends(requires_authenticated())], docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(HTTPException)
def explain(request: Request, error: HTTPException) -> PlainTextResponse:
    """Return the reason as plain text instead of JSON, because a person reads it."""
    return PlainTextResponse(error.detail, error.status_code, error.headers)


@app.get("/latest")
def latest() -> HTMLResponse:
    """Return the newest 30-day report, under an address that never changes."""
    lake = _lake()
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
    return _page(_lake(), first, last)


def _lake() -> Lake:
    try:
        return open_lake("aws_default")
    except EnrichmentError as error:
        raise HTTPException(503, str(error)) from error


def _page(lake: Lake, first: date, last: date) -> HTMLResponse:
    try:
        found = lake.find(layout.report(first, last))
    except EnrichmentError as error:
        raise HTTPException(503, str(error)) from error
    if found is None:
        raise HTTPException(
            404, f"There is no usage report of {first} to {last}. Trigger the Dag usage_report with these days."
        )
    return HTMLResponse(found.data, headers=_HEADERS)
