"""
The pages of the usage reports, for a browser that is logged in to Airflow: they are streamed from the lake, and nothing
else of it can be asked for.
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

# On the app and not on its routes: one that forgets it would be open to everybody.
app = FastAPI(dependencies=[Depends(requires_authenticated())], docs_url=None, redoc_url=None, openapi_url=None)


@app.exception_handler(HTTPException)
def explain(request: Request, error: HTTPException) -> PlainTextResponse:
    """Say in a sentence, and not in JSON, why there is no page: a person reads it."""
    return PlainTextResponse(error.detail, error.status_code, error.headers)


@app.get("/latest")
def latest() -> HTMLResponse:
    """The newest report of 30 days: an address to keep."""
    lake = _lake()
    made = (layout.parse_report_key(key) for key in lake.list(layout.REPORTS_FOLDER))
    newest = newest_daily(ReportDays(first=days[0], last=days[1]) for days in made if days)
    if newest is None:
        raise HTTPException(
            404, "There is no usage report of 30 days yet: trigger the Dag usage_report or run `make report`."
        )
    return _page(lake, newest.first, newest.last)


@app.get("/{first}_{last}")
def report(first: date, last: date) -> HTMLResponse:
    """The report of these days."""
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
        raise HTTPException(404, f"There is no usage report of {first} to {last}: trigger the Dag usage_report.")
    return HTMLResponse(found.data, headers=_HEADERS)
