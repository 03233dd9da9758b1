"""
``python -m tests.benchmarks.chart all.jsonl growth.svg``: draw time and memory by the number of rows. Runs in
.venv-benchmarks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib
from matplotlib import pyplot

from tests.benchmarks.contenders import MEMORY_SIZE, PARTS, SIZES
from tests.benchmarks.measurements import Found, Value, over_imports

_STYLES = {"ours": "o-", "peer": "s--", "floor": "x:"}
_SHOWN = ("submit", "load")


def main() -> None:
    """Draw a column per measured part: seconds above, memory below. Without measurements, draw nothing."""
    matplotlib.use("agg")
    found = Found([json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()])
    shown = [part for part in _SHOWN if any(found.sizes(contender.command) for contender in PARTS[part])]
    if not shown:
        return
    figure, axes = pyplot.subplots(2, len(shown), figsize=(7 * len(shown), 9), squeeze=False)
    values: tuple[tuple[str, str | Value], ...] = (("seconds", "seconds"), ("MB over the imports", over_imports))
    for column, part in enumerate(shown):
        for row, (what, value) in enumerate(values):
            for contender in PARTS[part]:
                # Above these sizes the emulator processes some batches while others arrive, so times mean nothing.
                most = max(SIZES) if value == "seconds" else MEMORY_SIZE
                sizes = [size for size in found.sizes(contender.command) if size <= most]
                heights = [found.median(contender.command, value, size) for size in sizes]
                label = contender.title.replace("*", "")
                axes[row][column].plot(sizes, heights, _STYLES[contender.role], label=label)
            axes[row][column].set(xscale="log", yscale="log", title=f"{part}: {what}", xlabel="rows")
        axes[0][column].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(sys.argv[2])


if __name__ == "__main__":
    main()
