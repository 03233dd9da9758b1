"""
The web app that serves the reports of evaluations, and nothing else on the lake, to users logged in to Airflow.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from fastapi.responses import HTMLResponse

from claude_batch.ui.pages import lake_of_pages, page, page_app
from include.enrichment.storage.layout import EvaluationFolder

#: The page itself says, by hash, which script and style may run. The sandbox keeps them from Airflow's cookies.
_POLICY = "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-scripts"
#: One part of an address: never a folder further up.
_Name = Annotated[str, Path(pattern="^[A-Za-z0-9_-]+$")]

app = page_app()


@app.get("/{pipeline}/{evaluation_id}")
def report(pipeline: _Name, evaluation_id: _Name) -> HTMLResponse:
    """Return the report of this evaluation."""
    folder = EvaluationFolder(pipeline=pipeline, evaluation_id=evaluation_id)
    missing = f"There is no evaluation {evaluation_id} of {pipeline}. `make evaluate` makes one."
    return page(lake_of_pages(), folder.report, policy=_POLICY, missing=missing)
