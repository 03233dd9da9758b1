"""
A picture of a whole run's time: one bar per task, from when it could have begun to its end.

``python -m tests.benchmarks.gantt run.json run.svg`` draws the output of whole_run.py as SVG or PNG. It needs only
matplotlib.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

INK, PALE = "#1f2430", "#5b6472"
GRID = "#e3e6ec"
#: Colour and meaning of each kind of span. The colours also differ in grey and for people with red-green blindness.
KINDS = {
    "waiting": ("#d9a441", "waiting for the scheduler"),
    "working": ("#2f6690", "working, on a worker"),
    "deferred": ("#a9c5d6", "deferred, in the triggerer"),
}
_HEAD_INCHES, _ROW_INCHES = 1.5, 0.34
#: Shares of the whole run; a narrower span has no label.
_LABEL_FROM = 0.025


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gantt", description=__doc__)
    parser.add_argument("run", type=Path, help="a file with the output of whole_run.py")
    parser.add_argument("picture", type=Path, help="the picture; its extension decides the format")
    options = parser.parse_args()
    draw(json.loads(options.run.read_text(encoding="utf-8").splitlines()[-1]), options.picture)


def draw(run: Mapping[str, Any], picture: Path) -> None:
    """
    Draw one run.

    :param run: the output of whole_run.py
    :param picture: a file that ends in .svg or .png
    """
    # Keep text as text in an SVG, and draw the same run as the same bytes every time.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gantt"}):
        padded = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12)
        figure = Figure(figsize=(11, _HEAD_INCHES + _ROW_INCHES * len(run["tasks"])), layout=padded)
        axes = figure.subplots()
        _bars(axes, run["tasks"], run["seconds"])
        _frame(axes, run["tasks"], run["seconds"])
        _words(axes, run)
        figure.savefig(picture, dpi=160, metadata={"Date": None} if picture.suffix == ".svg" else None)


def _bars(axes: Axes, tasks: Sequence[Mapping[str, Any]], whole: float) -> None:
    for row, task in enumerate(tasks):
        for kind, start, end in task["spans"]:
            axes.barh(row, end - start, left=start, height=0.62, color=KINDS[kind][0], linewidth=0)
            if kind != "waiting" and end - start >= _LABEL_FROM * whole:
                ink = "white" if kind == "working" else INK
                middle = (start + end) / 2
                axes.text(middle, row, f"{end - start:.1f}", ha="center", va="center", color=ink, fontsize=8)
        last = max(end for _, _, end in task["spans"])
        took = last - task["spans"][0][1]
        axes.text(last + 0.006 * whole, row, f"{took:.1f} s", ha="left", va="center", color=PALE, fontsize=8)


def _frame(axes: Axes, tasks: Sequence[Mapping[str, Any]], whole: float) -> None:
    axes.set_yticks(range(len(tasks)), _labels(tasks), fontsize=9, color=INK)
    axes.set_ylim(len(tasks) - 0.4, -0.6)
    axes.set_xlim(0, whole * 1.07)
    axes.set_xlabel("seconds since the run was triggered", fontsize=9, color=PALE)
    axes.tick_params(axis="x", labelsize=8, labelcolor=PALE, color=GRID)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.axvline(whole, color=INK, linewidth=1)


def _labels(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the task names without their pipeline's group, with the chunk's number if a pass has several chunks."""
    names = [task["task"].partition(".")[2].replace(".chunk.", ".") for task in tasks]
    if all(task["map_index"] <= 0 for task in tasks):
        return names
    numbered = zip(names, (task["map_index"] for task in tasks), strict=True)
    return [f"{name} [{index}]" if index >= 0 else name for name, index in numbered]


def _words(axes: Axes, run: Mapping[str, Any]) -> None:
    rows = run.get("of", "rows from trigger to published")
    title = f"{run['rows']:,} {rows} in {run['seconds']:.1f} s"
    counts = f"{run['published']:,} published, {run['rejected']:,} rejected, {run['batches']:,} batches"
    # From the left edge of the picture, because long names of tasks leave the axes little room.
    above: dict[str, Any] = {
        "xycoords": ("figure fraction", "axes fraction"),
        "textcoords": "offset points",
        "va": "bottom",
    }
    axes.annotate(title, (0.01, 1), (0, 30), fontsize=14, fontweight="bold", color=INK, **above)
    axes.annotate(counts, (0.01, 1), (0, 7), fontsize=9, color=PALE, **above)
    patches = [
        Patch(color=colour, label=f"{meaning}: {run['seconds_of'][kind]:.1f} s")
        for kind, (colour, meaning) in KINDS.items()
    ]
    axes.legend(
        handles=patches,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.2,
        ncols=len(patches),
        fontsize=9,
        frameon=False,
        labelcolor=INK,
        handlelength=1,
        columnspacing=1.4,
    )


if __name__ == "__main__":
    main()
