"""The charts of a usage report: SVG without scripts, in a light and a dark version."""

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

#: The page shows two charts side by side if there is room. On a phone, one is as wide as the page and still readable.
_SIZE_INCHES = (5.0, 3.0)
#: The most expensive pipelines have a colour each; the others share one.
_COLOURED = 6
#: Colours for all kinds of colour vision (Okabe and Ito), on white and on black. The last one is for the others.
_LIGHT = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#98a0a9"]
_DARK = ["#4aa8e0", "#f0b429", "#1fc796", "#e29cc3", "#8fd0f5", "#f07d3c", "#8b939c"]
_LIGHT_INK, _DARK_INK = "#3a424c", "#cfd5dc"

#: Draws into the axes with these colours.
_Draw = Callable[[Axes, list[str]], None]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """
    A chart.

    :param text: its content in words, for people who cannot see it
    :param light: an SVG document, like ``dark``
    """

    title: str
    text: str
    light: bytes
    dark: bytes


def draw_charts(figures: Figures) -> list[Chart]:
    """Draw the charts of a report: none without batches, and no cache chart if nothing was cached."""
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

    top_day = max(figures.by_day, key=lambda day: figures.by_day[day].cost_usd)
    shares = {name: usd(totals.cost_usd) for name, totals in figures.by_pipeline.items()}
    text = f"The most expensive day is {top_day}, {usd(figures.by_day[top_day].cost_usd)}. {_listed(shares)}"
    return _chart("Cost per day, by pipeline", text, draw, figures.days)


def _synchronous(figures: Figures) -> Chart:
    def draw(axes: Axes, colours: list[str]) -> None:
        for label, colour, height in (
            ("synchronous, without a cache", colours[-1], lambda totals: float(totals.synchronous_usd)),
            ("as it was", colours[0], lambda totals: float(totals.cost_usd)),
        ):
            heights = _heights(figures.by_day, figures.days, height)
            axes.stairs(heights, _edges(figures.days), fill=True, color=colour, label=label)
        _dollars(axes)

    totals = figures.totals
    synchronous = figures.by_mode.get("synchronous")
    part = f" ({usd(synchronous.cost_usd)} of it synchronous)" if synchronous else ""
    text = f"{usd(totals.cost_usd)}{part}; {usd(totals.synchronous_usd)} as synchronous requests without a cache."
    return _chart("Cost, and cost of synchronous requests", text, draw, figures.days)


def _hit_rate(figures: Figures) -> Chart:
    cached = {name: totals for name, totals in figures.by_pipeline.items() if totals.hit_rate is not None}

    def draw(axes: Axes, colours: list[str]) -> None:
        # A pipeline has the same colour as in the cost chart. Those that share one there would be a tangle here.
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
    """Return the pipelines that share a colour, by their legend label."""
    if len(pipelines) <= _COLOURED + 1:
        return {name: [name] for name in pipelines}
    others = pipelines[_COLOURED:]
    return {name: [name] for name in pipelines[:_COLOURED]} | {f"{len(others)} others": others}


def _label(name: str) -> str:
    """Return a visible legend label: matplotlib hides labels that begin with an underscore."""
    return f" {name}" if name.startswith("_") else name


def _of(figures: Figures, day: date, pipeline: str) -> Totals | None:
    return figures.by_day_and_pipeline.get((day, pipeline))


def _rate(figures: Figures, day: date, pipeline: str) -> float | None:
    found = _of(figures, day, pipeline)
    return found.hit_rate if found else None


def _heights(by_day: Mapping[date, Totals], days: ReportDays, of: Callable[[Totals], float]) -> list[float]:
    return [of(by_day[day]) if day in by_day else 0.0 for day in days.all()]


def _edges(days: ReportDays) -> list[float]:
    """Return the start of each day and the end of the last one. The axis labels the middle of a day."""
    return [float(date2num(day)) - 0.5 for day in [*days.all(), days.last + timedelta(days=1)]]


def _dollars(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    # Enough places for the ticks that MaxNLocator chooses; cents unless they are whole dollars.
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
    # Text stays text in an available font and is never parsed as a formula; ids are reproducible.
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
        # With fewer than three ticks, a month would be one tick at its first day.
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
            # matplotlib mismeasures a letter without a font; the browser that shows it has one.
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
            figure.savefig(drawn := io.BytesIO(), format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()
