"""The charts of a usage report: SVG without a script, once for light and once for dark surroundings."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from include.enrichment.cost.report_days import ReportDays
from include.reporting.figures import Figures, Totals
from include.reporting.wording import share, usd

#: The page puts them side by side where it has the room; on a phone one is as wide as the page, and still readable.
_SIZE_INCHES = (5.0, 3.0)
#: So many pipelines have a colour of their own, the dearest; all others share one.
_COLOURED = 6
#: That people with any kind of sight tell apart (Okabe and Ito), on white and on black; the last one is for the rest.
_LIGHT = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#98a0a9"]
_DARK = ["#4aa8e0", "#f0b429", "#1fc796", "#e29cc3", "#8fd0f5", "#f07d3c", "#8b939c"]
_LIGHT_INK, _DARK_INK = "#3a424c", "#cfd5dc"

#: Draws into the axes, with these colours.
_Draw = Callable[[Axes, list[str]], None]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """
    A chart.

    :param text: what it shows, for whoever does not see it
    :param light: an SVG document, as is ``dark``
    """

    title: str
    text: str
    light: bytes
    dark: bytes


def charts(figures: Figures) -> list[Chart]:
    """The charts of a report: none where there are no batches, and none of the cache where nothing was cached."""
    if not figures.by_day:
        return []
    made = [_cost(figures), _synchronous(figures)]
    if figures.totals.hit_rate is not None:
        made.append(_hit_rate(figures))
    return [*made, _unusable(figures)]


def _cost(figures: Figures) -> Chart:
    groups = _groups(list(figures.by_pipeline))

    def draw(axes: Axes, colours: list[str]) -> None:
        top = [0.0] * len(figures.days)
        for (label, pipelines), colour in zip(groups.items(), colours, strict=False):
            base = top
            top = [
                below + sum(float(found.cost_usd) for name in pipelines if (found := _of(figures, day, name)))
                for below, day in zip(base, figures.days.all(), strict=True)
            ]
            axes.stairs(top, _edges(figures.days), baseline=base, fill=True, color=colour, label=_label(label))
        _dollars(axes)

    dearest = max(figures.by_day, key=lambda day: figures.by_day[day].cost_usd)
    shares = {name: usd(totals.cost_usd) for name, totals in figures.by_pipeline.items()}
    text = f"The dearest day is {dearest}, {usd(figures.by_day[dearest].cost_usd)}. {_listed(shares)}"
    return _chart("Cost per day, by pipeline", text, draw, figures.days)


def _synchronous(figures: Figures) -> Chart:
    def draw(axes: Axes, colours: list[str]) -> None:
        for label, colour, height in (
            ("one by one, without a cache", colours[-1], lambda totals: float(totals.synchronous_usd)),
            ("in batches, as it was", colours[0], lambda totals: float(totals.cost_usd)),
        ):
            heights = _heights(figures.by_day, figures.days, height)
            axes.stairs(heights, _edges(figures.days), fill=True, color=colour, label=label)
        _dollars(axes)

    totals = figures.totals
    text = f"{usd(totals.cost_usd)} in batches; {usd(totals.synchronous_usd)} one by one, at once and without a cache."
    return _chart("Cost, and what it would have been synchronously", text, draw, figures.days)


def _hit_rate(figures: Figures) -> Chart:
    cached = {name: totals for name, totals in figures.by_pipeline.items() if totals.hit_rate is not None}

    def draw(axes: Axes, colours: list[str]) -> None:
        # A pipeline has the colour that it has among the costs; those that share one there would be a tangle here.
        for (name, pipelines), colour in zip(_groups(list(figures.by_pipeline)).items(), colours, strict=False):
            if len(pipelines) > 1 or name not in cached:
                continue
            days = [day for day in figures.days.all() if _rate(figures, day, name) is not None]
            rates = [_rate(figures, day, name) or 0.0 for day in days]
            axes.plot(list(map(date2num, days)), rates, marker="o", markersize=3.5, color=colour, label=_label(name))
        axes.set_ylim(-0.04, 1.04)
        axes.yaxis.set_major_formatter(PercentFormatter(1))

    text = _listed({name: share(totals.hit_rate) for name, totals in cached.items()})
    return _chart("Cache hit rate per day, by pipeline", text, draw, figures.days)


def _unusable(figures: Figures) -> Chart:
    def draw(axes: Axes, colours: list[str]) -> None:
        heights = _heights(figures.by_day, figures.days, lambda totals: totals.unusable_share or 0.0)
        axes.stairs(heights, _edges(figures.days), fill=True, color=colours[5], label="of the day's requests")
        axes.set_ylim(0, 1.15 * max(*heights, 0.01))
        axes.yaxis.set_major_formatter(PercentFormatter(1))

    most = max(figures.by_day, key=lambda day: figures.by_day[day].unusable_share or 0.0)
    text = (
        f"{share(figures.totals.unusable_share)} of all requests; most on {most},"
        f" {share(figures.by_day[most].unusable_share)}."
    )
    return _chart("Requests without a usable answer", text, draw, figures.days)


def _groups(pipelines: list[str]) -> dict[str, list[str]]:
    """The pipelines that share a colour, by what the legend calls them."""
    if len(pipelines) <= _COLOURED + 1:
        return {name: [name] for name in pipelines}
    others = pipelines[_COLOURED:]
    return {name: [name] for name in pipelines[:_COLOURED]} | {f"{len(others)} others": others}


def _label(name: str) -> str:
    """As a legend takes it: one that begins with an underscore is private to matplotlib."""
    return f" {name}" if name.startswith("_") else name


def _of(figures: Figures, day: date, pipeline: str) -> Totals | None:
    return figures.by_day_and_pipeline.get((day, pipeline))


def _rate(figures: Figures, day: date, pipeline: str) -> float | None:
    found = _of(figures, day, pipeline)
    return found.hit_rate if found else None


def _heights(by_day: Mapping[date, Totals], days: ReportDays, of: Callable[[Totals], float]) -> list[float]:
    return [of(by_day[day]) if day in by_day else 0.0 for day in days.all()]


def _edges(days: ReportDays) -> list[float]:
    """Where each day begins, and the last one ends; its middle is what the axis calls the day."""
    return [float(date2num(day)) - 0.5 for day in [*days.all(), days.last + timedelta(days=1)]]


def _dollars(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    # Enough places for the marks that MaxNLocator chooses; cents, where it is not whole dollars.
    places = max(0, math.ceil(-math.log10(axes.get_ylim()[1] or 1)) + 2)
    places = 2 if places == 1 else places
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${value:,.{places}f}"))


def _listed(values: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in values.items()) + "."


def _chart(title: str, text: str, draw: _Draw, days: ReportDays) -> Chart:
    return Chart(
        title=title,
        text=text,
        light=_svg(draw, days, colours=_LIGHT, ink=_LIGHT_INK),
        dark=_svg(draw, days, colours=_DARK, ink=_DARK_INK),
    )


def _svg(draw: _Draw, days: ReportDays, *, colours: list[str], ink: str) -> bytes:
    # Text as text, in a font that is there, and never as a formula; ids that are the same at the next time.
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "usage",
        "text.parse_math": False,
        "font.size": 9.5,
    }
    inks = dict.fromkeys(["text.color", "xtick.color", "ytick.color", "axes.edgecolor", "grid.color"], ink)
    with matplotlib.rc_context(settings | inks):
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes, colours)
        axes.set_xlim(_edges(days)[0], _edges(days)[-1])
        # Fewer than three marks, and a month is one mark at its first day.
        locator = AutoDateLocator(minticks=min(3, len(days)), maxticks=6)
        if len(days) == 1:
            axes.set_xticks([float(date2num(days.first))], [str(days.first)])
        else:
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        if axes.get_legend_handles_labels()[0]:
            figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9)
        with warnings.catch_warnings():
            # A letter that matplotlib has no font for is measured badly; the browser that shows it has one.
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
            figure.savefig(drawn := io.BytesIO(), format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()
