"""The rows of a published day as a table for the terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.table import SAMPLE
from include.enrichment.cost.prices import format_decimal, format_usd

_COST = "_cost_usd"
#: A table whose columns would be narrower than this is shown as one block for each row.
_LEAST_WIDTH = 12
_GAP = 2


def heading(manifest: Manifest) -> str:
    """What a partition holds: its counts, its run, its cost, and where it lies."""
    rejected = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(manifest.rejected_by.items()))
    lines = [
        f"{manifest.pipeline}, {manifest.partition}: {manifest.rows:,} rows read, {manifest.published:,} published,"
        f" {manifest.rejected:,} rejected{f' ({rejected})' if rejected else ''}",
        f"  published  {manifest.published_at:%Y-%m-%d %H:%M} UTC by run {manifest.run_id}",
        f"  cost       {format_usd(manifest.partition_cost_usd)} for this day's answers,"
        f" {format_usd(manifest.cost_usd)} of it spent by this run",
        f"  model      {manifest.model}, {manifest.requests:,} distinct requests",
        f"  table      {manifest.table}",
        f"  rejects    {manifest.rejects}",
    ]
    if manifest.simulated:
        lines.append("SIMULATED: the emulator answered, not Claude, and nobody is billed.")
    return "\n".join(map(printable, lines)) + "\n"


def rows_table(rows: pa.Table, *, rejects: bool) -> str:
    """
    The rows as a table of the terminal's width, or as one block for each row if the columns would be too narrow.

    The key comes first, then the answer (of a reject: outcome and reason), then the cost. Long texts are cut.

    :param rows: of a published table or of its rejects
    """
    hidden = {"text"} if rejects else set()
    names = [
        name
        for name in rows.column_names
        if name not in hidden and (not name.startswith("_") or name in (SAMPLE, _COST))
    ]
    width = shutil.get_terminal_size().columns
    cells = [[_cell(row[name], width) for name in names] for row in rows.select(names).to_pylist()]
    labels = ["cost, USD" if name == _COST else printable(name) for name in names]
    least = [min(_LEAST_WIDTH, max(map(cell_len, column))) for column in zip(labels, *cells, strict=True)]
    if sum(least) + _GAP * (len(least) - 1) > width:
        return "\n\n".join(_block(labels, line, width) for line in cells) + "\n"
    table = Table(box=SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for name, label in zip(names, labels, strict=True):
        table.add_column(_one_line(label), justify="right" if _is_number(rows.schema.field(name).type) else "left")
    for line in cells:
        table.add_row(*map(_one_line, line))
    return _rendered(table, width)


def _block(labels: Sequence[str], cells: Sequence[str], width: int) -> str:
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(min_width=min(max(map(cell_len, labels)), width // 2))
    for label, cell in zip(labels, cells, strict=True):
        grid.add_row(Text(label, style="bold", no_wrap=True, overflow="ellipsis"), _one_line(cell))
    return _rendered(grid, width).rstrip()


def _rendered(table: Table, width: int) -> str:
    console = Console(file=sys.stdout, width=width)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _one_line(text: str) -> Text:
    """As a Text, so that rich reads no markup of its own in it."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _cell(value: Any, most: int) -> str:
    text = printable(_spell(value))
    return text if len(text) <= most else f"{text[:most]}…"


def _spell(value: Any) -> str:
    match value:
        case str():
            return value
        case list():
            return ", ".join(map(_spell, value))
        case None | bool() | dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case Decimal():
            return format_decimal(value)
        case _:
            return str(value)


def printable(text: str) -> str:
    """A row's text is data: what could steer the terminal, or turn its text around, becomes a space."""
    return "".join(char if char.isprintable() else " " for char in text)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))
