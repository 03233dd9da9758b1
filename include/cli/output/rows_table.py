"""The rows of a published day, formatted as a table for the terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.reject_messages import check_lines
from include.enrichment.answers.table import OUTCOME, PAGES, PART, REASON, SAMPLE, SCORE, VARIANT, WARNINGS
from include.enrichment.cost.prices import format_decimal, format_usd

#: Lines that are not rows: of evidence_rows() or document_rows().
Lines = Literal["evidence", "documents"]

_COST = "_cost_usd"
_METADATA = (PART, PAGES, VARIANT, SAMPLE, WARNINGS, SCORE, OUTCOME, REASON, _COST)
#: If columns would be narrower than this, each row becomes a block of lines. The second is of texts that are wrapped.
_MIN_WIDTH, _MIN_WRAPPED = 12, 40
#: The same of lines of evidence or of documents. With these, 80 columns are enough.
_MIN_WIDTH_OF_LINES, _MIN_WRAPPED_OF_LINES = 7, 16
#: Their columns that are never cut, and those that take several lines.
_WHOLE = {"evidence": ("field", "found"), "documents": ("type", "pages", "sent_as")}
#: The longest beginning of a reject's answer, or of a quote, that is shown. The longest reason has 1,000 characters.
_TEXT_CHARACTERS, _REASON_CHARACTERS = 300, 1_000
_WRAPPED = {"evidence": {"quote": _TEXT_CHARACTERS}, "documents": {"why": _REASON_CHARACTERS}}
_GAP = 2


def heading(manifest: Manifest) -> str:
    """Return the counts, run, cost and addresses of a published partition."""
    rejected = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(manifest.rejected_by.items()))
    lines = [
        f"{manifest.pipeline}, {manifest.partition}: {manifest.rows_read}, {manifest.published:,} published,"
        f" {manifest.rejected:,} rejected{f' ({rejected})' if rejected else ''}{not_kept(manifest)}",
        *(f"  {line}" for line in check_lines(manifest)),
        f"  published  {manifest.published_at:%Y-%m-%d %H:%M} UTC by run {manifest.run_id}",
        f"  cost       {format_usd(manifest.partition_cost_usd)} for this day's answers,"
        f" {format_usd(manifest.cost_usd)} of it spent by this run",
        f"  model      {manifest.model}, {manifest.requests:,} distinct requests",
        f"  table      {manifest.table}",
        f"  rejects    {manifest.rejects}",
        *([f"  samples    {manifest.samples}"] if manifest.samples else []),
    ]
    if manifest.simulated:
        lines.append("SIMULATED: the emulator answered, not Claude, and nobody is billed.")
    return "\n".join(map(printable, lines)) + "\n"


def not_kept(manifest: Manifest) -> str:
    """Return how many rows were not kept, or escalated, to follow the other counts; empty without both settings."""
    escalated = f", {manifest.escalated:,} escalated" if manifest.escalated else ""
    return f", {manifest.not_kept:,} not kept" if manifest.keeps_best else escalated


def rows_table(rows: pa.Table, *, rejects: bool, lines: Lines | None = None) -> str:
    """
    Return the rows as a table of the terminal's width, or as a block per row if the columns would be too narrow.

    The key comes first, then the answer (for rejects: outcome, reason and the answer's text), then the cost. Long texts
    are cut. Only a reason, a quote and a reject's text take several lines.

    :param rows: of a published table, its rejects or its samples
    :param lines: if they are such lines, of what
    """
    names = [name for name in rows.column_names if not name.startswith("_") or name in _METADATA]
    width = shutil.get_terminal_size().columns
    wrapped = {"reason": _REASON_CHARACTERS, "text": _TEXT_CHARACTERS} if rejects else {REASON: _REASON_CHARACTERS}
    wrapped = _WRAPPED[lines] if lines else wrapped
    cells = [
        [_cell(row[name], wrapped.get(name, width), is_wrapped=name in wrapped) for name in names]
        for row in rows.select(names).to_pylist()
    ]
    labels = ["cost, USD" if name == _COST else printable(name) for name in names]
    whole = _WHOLE[lines] if lines else ()
    least, least_wrapped = (_MIN_WIDTH_OF_LINES, _MIN_WRAPPED_OF_LINES) if lines else (_MIN_WIDTH, _MIN_WRAPPED)
    longest = [
        max(cell_len(cell.plain) for cell in column) for column in zip(map(_one_line, labels), *cells, strict=True)
    ]
    min_widths = [
        length if name in whole else min(least_wrapped if name in wrapped else least, length)
        for name, length in zip(names, longest, strict=True)
    ]
    if sum(min_widths) + _GAP * (len(min_widths) - 1) > width:
        return "\n\n".join(_block(labels, line, width) for line in cells) + "\n"
    table = Table(box=SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    widths = _spread(min_widths, longest, width - _GAP * len(names)) if lines else [None] * len(names)
    for name, label, column_width in zip(names, labels, widths, strict=True):
        justify: JustifyMethod = "right" if _is_number(rows.schema.field(name).type) else "left"
        table.add_column(_one_line(label), justify=justify, width=column_width)
    for line in cells:
        table.add_row(*line)
    return _rendered(table, width)


def _spread(least: Sequence[int], longest: Sequence[int], width: int) -> list[int]:
    """Return the widths of columns: none is wider than its longest cell, and what is left over is shared evenly."""
    widths, spare = list(least), width - sum(least)
    while spare > 0 and (narrow := [place for place, most in enumerate(longest) if widths[place] < most]):
        for place in narrow[:spare]:
            widths[place] += 1
        spare -= len(narrow)
    return widths


def _block(labels: Sequence[str], cells: Sequence[Text], width: int) -> str:
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(min_width=min(max(map(cell_len, labels)), width // 2))
    for label, cell in zip(labels, cells, strict=True):
        grid.add_row(Text(label, style="bold", no_wrap=True, overflow="ellipsis"), cell)
    return _rendered(grid, width).rstrip()


def _rendered(table: Table, width: int) -> str:
    console = Console(file=sys.stdout, width=width)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _one_line(text: str) -> Text:
    """Wrap in a Text, in which rich does not interpret markup."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _cell(value: Any, max_length: int, *, is_wrapped: bool) -> Text:
    text = printable(_format(value))
    text = text if len(text) <= max_length else f"{text[:max_length]}…"
    return Text(text, overflow="fold") if is_wrapped else _one_line(text)


def _format(value: Any) -> str:
    match value:
        case str():
            return value
        case list():
            return ", ".join(map(_format, value))
        case None | bool() | dict():
            return json.dumps(value, ensure_ascii=False, default=str)
        case Decimal():
            return format_decimal(value)
        case _:
            return str(value)


def printable(text: str) -> str:
    """Replace unprintable characters by spaces: data must not control the terminal or reverse its text."""
    return "".join(char if char.isprintable() else " " for char in text)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))
