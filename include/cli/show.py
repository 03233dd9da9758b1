"""`make show`: the published rows of a day, or its rejects, as a table for the terminal."""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from include.cli.output.published_day import with_lake
from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.table import SAMPLE
from include.enrichment.cost.prices import dollars, plain
from include.enrichment.errors import LakeError, ParamError, PartitionError, nearest
from include.enrichment.runs.partition import parse_partition
from include.enrichment.storage import layout
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.stack.folder import ROOT, StackFolder
from include.stack.progress import say

_COST = "_cost_usd"
#: A table whose columns would be narrower than this is shown as one block for each row.
_LEAST_WIDTH = 12
_GAP = 2
_SHOWN_DAYS = 3


def show(folder: StackFolder, pipeline: str, partition: str, *, rejects: bool, rows: int) -> int:
    """
    Print the first published rows of a partition, or its first rejects. Returns an exit status, see with_lake().

    :param rows: the most to show, 1 or more
    """

    def work(lake: Lake) -> None:
        if rows < 1:
            raise ParamError(f"ROWS is {rows}: give the most rows to show, 1 or more.")
        manifest = _manifest(lake, pipeline, partition)
        key = (layout.rejects if rejects else layout.table)(pipeline, parse_partition(partition, "PARTITION"))
        first = _first_rows(lake, key, rows)
        say(heading(manifest))
        say(rows_table(first, rejects=rejects))
        found = manifest.rejected if rejects else manifest.published
        shown = [f"{min(rows, found):,} of {found:,} {'rejects' if rejects else 'rows'}"]
        shown += ["ROWS=… shows more"] if rows < found else []
        shown += ["REJECTS=1 shows the rejects"] if manifest.rejected and not rejects else []
        say("; ".join(shown))

    return with_lake(folder, work)


def heading(manifest: Manifest) -> str:
    """What a partition holds: its counts, its run, its cost, and where it lies."""
    rejected = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(manifest.rejected_by.items()))
    lines = [
        f"{manifest.pipeline}, {manifest.partition}: {manifest.rows:,} rows read, {manifest.published:,} published,"
        f" {manifest.rejected:,} rejected{f' ({rejected})' if rejected else ''}",
        f"  published  {manifest.published_at:%Y-%m-%d %H:%M} UTC by run {manifest.run_id}",
        f"  cost       {dollars(manifest.partition_cost_usd)} for this day's answers,"
        f" {dollars(manifest.cost_usd)} of it spent by this run",
        f"  model      {manifest.model}, {manifest.requests:,} distinct requests",
        f"  table      {manifest.table}",
        f"  rejects    {manifest.rejects}",
    ]
    if manifest.simulated:
        lines.append("SIMULATED: the emulator answered, not Claude, and nobody is billed.")
    return "\n".join(map(_printable, lines)) + "\n"


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
    labels = ["cost, USD" if name == _COST else _printable(name) for name in names]
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
    text = _printable(_spell(value))
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
            return plain(value)
        case _:
            return str(value)


def _printable(text: str) -> str:
    """A row's text is data: what could steer the terminal, or turn its text around, becomes a space."""
    return "".join(char if char.isprintable() else " " for char in text)


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _first_rows(lake: Lake, key: str, rows: int) -> pa.Table:
    try:
        with lake.open(key) as file:
            parquet = pq.ParquetFile(file)
            first = next(parquet.iter_batches(batch_size=rows), None)
            return pa.Table.from_batches([] if first is None else [first], parquet.schema_arrow)
    except pa.ArrowInvalid as error:
        raise _damaged(lake, key, error) from error


def _manifest(lake: Lake, pipeline: str, text: str) -> Manifest:
    """The manifest of what is published. Raises ParamError or PartitionError if nothing is, with the nearest name."""
    published = _published_days(lake)
    if pipeline not in published:
        raise _nothing_published(lake, pipeline, published)
    days = published[pipeline]
    if not text:
        raise PartitionError(f"PARTITION is missing: {_usage(pipeline, days[-1])}")
    try:
        partition = parse_partition(text, "PARTITION")
    except PartitionError as error:
        raise PartitionError(f"PARTITION is {text!r}, which is not a date like {days[-1]}.") from error
    if partition.start not in days:
        near = sorted(sorted(days, key=lambda day: abs(day - partition.start))[:_SHOWN_DAYS])
        raise PartitionError(
            f"{pipeline} {partition} is not published on {lake.uri}.\n"
            f"Nearest published days: {', '.join(map(str, near))}.\n"
            f"To publish it: make run PIPELINE={pipeline} PARTITION={partition}"
        )
    key = layout.manifest(pipeline, partition)
    try:
        return parse(Manifest, lake.read(key), lake.locate(key))
    except ValidationError as error:
        raise _damaged(lake, key, error) from error


def _published_days(lake: Lake) -> dict[str, list[date]]:
    """By pipeline, in order."""
    days: defaultdict[str, list[date]] = defaultdict(list)
    for key in filter(layout.is_manifest, lake.list("manifests/")):
        days[key.split("/")[1]].append(date.fromisoformat(key.rpartition("dt=")[2].removesuffix(".json")))
    return days


def _nothing_published(lake: Lake, pipeline: str, published: Iterable[str]) -> ParamError:
    known = sorted({*published, *(path.parent.name for path in ROOT.glob("include/pipelines/*/pipeline.yaml"))})
    if not pipeline:
        return ParamError(f"PIPELINE is missing: {_usage('catalogue', date(2026, 11, 17))}\nKnown: {', '.join(known)}.")
    if pipeline not in known:
        return ParamError(
            f"No pipeline is called {pipeline!r}{nearest(pipeline, known) or '.'} Known: {', '.join(known)}."
        )
    return ParamError(
        f"No day of {pipeline} is published on {lake.uri}.\n"
        f"To publish one: make run PIPELINE={pipeline} PARTITION=2026-11-01"
    )


def _usage(pipeline: str, day: date) -> str:
    return f"make show PIPELINE={pipeline} PARTITION={day} [REJECTS=1] [ROWS=20]"


def _damaged(lake: Lake, key: str, error: Exception) -> LakeError:
    return LakeError(f"{lake.locate(key)} is damaged: {error}", retryable=False)
