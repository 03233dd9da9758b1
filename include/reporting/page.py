"""The page of a usage report: one self-contained HTML file without scripts or network access."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2

from include.enrichment.batches.ledger import Entry
from include.enrichment.cost.prices import prices
from include.reporting.charts import Chart
from include.reporting.figures import Figures
from include.reporting.wording import count, share, tokens, usd


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """
    Missing usage records.

    :param unrecorded: chunks that were or may have been submitted more than a day ago and were not loaded since
    :param of_earlier_versions: batches that a version without usage records has loaded
    """

    unrecorded: Sequence[Entry] = ()
    of_earlier_versions: int = 0


def render_page(figures: Figures, charts: Sequence[Chart], gaps: Gaps, *, made_at: datetime) -> str:
    """
    Render the page. Names of pipelines and models are data and are escaped.

    :param made_at: UTC
    """
    return _template().render(figures=figures, gaps=gaps, charts=charts, made_at=made_at, prices=prices())


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"usd": usd, "share": share, "count": count, "tokens": tokens, "data_uri": _data_uri}
    return environment.get_template("page.html")


def _data_uri(svg: bytes) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
