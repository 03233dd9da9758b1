"""What the web apps of the plugin share: they serve pages of the lake to users logged in to Airflow."""

from __future__ import annotations

from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse

from claude_batch.connections.gateways import open_lake
from include.enrichment.errors import EnrichmentError
from include.gateways.lake import Lake


def page_app() -> FastAPI:
    """Return an app that requires the Airflow login on every route, and gives reasons as plain text for people."""
    # On the app, not on each route: a route that forgot it would be public.
    app = FastAPI(dependencies=[Depends(requires_authenticated())], docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, _explain)
    return app


def _explain(request: Request, error: Exception) -> PlainTextResponse:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(error.detail, error.status_code, error.headers)


def lake_of_pages() -> Lake:
    """Return the lake of the connection ``aws_default``. Raises HTTPException with status 503 if it is not set up."""
    try:
        return open_lake("aws_default")
    except EnrichmentError as error:
        raise HTTPException(503, str(error)) from error


def page(lake: Lake, key: str, *, policy: str, missing: str) -> HTMLResponse:
    """
    Return a page of the lake. Raises HTTPException: 404 with the text ``missing``, or 503 if the lake cannot be read.

    :param policy: its Content-Security-Policy
    """
    try:
        found = lake.find(key)
    except EnrichmentError as error:
        raise HTTPException(503, str(error)) from error
    if found is None:
        raise HTTPException(404, missing)
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(found.data, headers=headers)
