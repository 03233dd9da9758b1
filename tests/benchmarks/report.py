"""What the benchmarks have found, as Markdown: the summary, a verdict on each bound, and a table for each part."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.contenders import ALONE, MEMORY_SIZE, PARTS, SIZES, Contender

#: What a process has printed, with the ``command`` of its contender and the ``size``, in rows, that it was run at (0
#: for what has no size).
Line = Mapping[str, Any]
Value = Callable[[Line], float]
FULL = max(SIZES)
_FLOORS_OF_SUBMIT = ("floors read-chunks", "floors upload")
_FLOORS_OF_LOAD = ("floors download", "floors decode-orjson", "floors write-outcomes")
_WARMED = "money --cache 1h --canary-rows 5"
ESTIMATED = (
    _WARMED,
    "money --workload labels --cache off --canary-rows 20",
    "money --workload pages --cache 5m --canary-rows 20",
)
_HEAD = """| rows | what | wall s | CPU s | rows/s | MB/s | peak RSS, MB (over imports) | beside ours |
|---:|---|---:|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True)
class Found:
    """All measurements. What was not measured is NaN, and so is whatever is worked out from it."""

    lines: Sequence[Line]

    def of(self, command: str, size: int = FULL) -> list[Line]:
        """The measurements of a contender."""
        return [line for line in self.lines if (line["command"], line["size"]) == (command, size)]

    def median(self, command: str, value: str | Value, size: int = FULL) -> float:
        """The median of a value of a contender's runs."""
        values = [_value(line, value) for line in self.of(command, size)]
        return statistics.median(values) if values else math.nan

    def sizes(self, command: str) -> list[int]:
        """The sizes that a contender was run at, in ascending order."""
        return sorted({line["size"] for line in self.lines if line["command"] == command})

    def seconds(self, *commands: str) -> float:
        """How long these take, one after the other."""
        return sum(self.median(command, "seconds") for command in commands)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """
    What the project has set itself.

    :param values: what was found, all of which are to be within the bound
    """

    what: str
    values: Sequence[float]
    unit: str = ""
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def verdict(self) -> str:
        """Whether it was reached."""
        if any(math.isnan(value) for value in self.values):
            return "not measured"
        return "met" if all(self.at_least <= value <= self.at_most for value in self.values) else "**not met**"


def over_imports(line: Line) -> float:
    """The most memory that was taken beyond the interpreter with its imports, in MB."""
    return float(line["rss_peak_mb"] - line["rss_before_mb"])


def _surprise(line: Line) -> float:
    """How far the bill is from what was expected, in per cent of the bill."""
    return float(100 * abs(line["expected_usd"] - line["billed_usd"]) / line["billed_usd"])


def _outside(line: Line) -> float:
    """By how much the bill lies outside of the bounds."""
    return float(max(line["low_usd"] - line["billed_usd"], line["billed_usd"] - line["high_usd"], 0))


def bounds(found: Found) -> list[Bound]:
    """The bounds of design and issue, with what was found."""
    submit, load = found.seconds("ours submit"), found.seconds("ours load")
    thousand, ten_thousand = (f"waits --waits {count} --interval 15 --seconds 60" for count in (1_000, 10_000))
    return [
        Bound(
            what=f"submit of {FULL:,} requests: ≥ 8 times as fast as the seed pattern",
            values=[found.seconds("seed submit") / submit],
            unit=" ×",
            at_least=8,
        ),
        Bound(
            what="submit: ≤ 2 times reading and uploading the same bytes",
            values=[submit / found.seconds(*_FLOORS_OF_SUBMIT)],
            unit=" ×",
            at_most=2,
        ),
        Bound(
            what="submit: ≤ 80 MB over the imports, the same at 10,000, 100,000 and 1,000,000 rows",
            values=[found.median("ours submit", over_imports, size) for size in (10_000, FULL, MEMORY_SIZE)],
            unit=" MB",
            at_most=80,
        ),
        Bound(
            what="submit: every create has its Content-Length",
            values=[100 * found.median("ours submit", "content_length")],
            unit=" %",
            at_least=100,
        ),
        Bound(
            what=f"load of {FULL:,} results, validated, typed, raw kept: ≥ 150,000 rows/s",
            values=[FULL / load],
            unit=" rows/s",
            at_least=150_000,
        ),
        Bound(
            what="load: ≥ 15 times as fast as LLMBatchOperator's landing",
            values=[found.seconds("common_ai load") / load],
            unit=" ×",
            at_least=15,
        ),
        Bound(
            what="load: ≤ 150 MB over the imports, the same at 100,000 and 1,000,000 rows",
            values=[found.median("ours load", over_imports, size) for size in (FULL, MEMORY_SIZE)],
            unit=" MB",
            at_most=150,
        ),
        Bound(
            what="extract: ≥ 50,000 rows/s",
            values=[FULL / found.seconds("ours extract")],
            unit=" rows/s",
            at_least=50_000,
        ),
        Bound(
            what="1,000 waits at a 15 s interval for a minute: ≤ 8 calls",
            values=[found.median(thousand, "calls", 0)],
            at_most=8,
        ),
        Bound(what="1,000 waits: ≤ 1 CPU s", values=[found.median(thousand, "cpu_seconds", 0)], unit=" s", at_most=1),
        Bound(
            what="10,000 waits: event loop never blocked for more than 100 ms",
            values=[found.median(ten_thousand, "longest_block_ms", 0)],
            unit=" ms",
            at_most=100,
        ),
        Bound(
            what="a Dag file: parsed in ≤ 200 ms beyond importing Airflow",
            values=[found.median("parse", "one_file_ms", 0)],
            unit=" ms",
            at_most=200,
        ),
        Bound(
            what="200 pipelines: parsed in ≤ 10 s",
            values=[found.median("parse", "all_files_seconds", 0)],
            unit=" s",
            at_most=10,
        ),
        Bound(
            what="documents, batched, the cache warmed: ≤ 0.25 of what synchronous calls without a cache cost",
            values=[found.median(_WARMED, "ratio", 0)],
            at_most=0.25,
        ),
        Bound(
            what="three workloads: the bill is within 15 % of what was expected of it",
            values=[found.median(command, _surprise, 0) for command in ESTIMATED],
            unit=" %",
            at_most=15,
        ),
        Bound(
            what="three workloads: the bill lies within the bounds that were told",
            values=[found.median(command, _outside, 0) for command in ESTIMATED],
            unit=" USD outside",
            at_most=0,
        ),
        Bound(
            what="second run of an unchanged partition: 0 requests",
            values=[found.median("ours again", "requests")],
            at_most=0,
        ),
    ]


def render(lines: Sequence[Line], *, machine: str, pictures: Iterable[str] = ()) -> str:
    """
    The whole report.

    :param machine: on what it was measured, and when
    :param pictures: names of image files beside it
    """
    found = Found(lines)
    verdicts = (
        f"| {bound.what} | {', '.join(_number(value) + bound.unit for value in bound.values)} | {bound.verdict} |"
        for bound in bounds(found)
    )
    sections = [
        "# Benchmarks",
        machine,
        "Medians, with min and max in brackets; 1 MB is 1,000,000 bytes. Each run is a process of its own, the"
        " contenders of a part take turns, and all talk to one emulator on the same machine, whose batches end at once:"
        " trust the ratios. *Beside ours* is the wall time in those of this project's first line at the same size."
        " 1,000,000 rows are there for the memory: the emulator works on some batches while it is sent others.",
        "## Summary",
        "\n".join(_summary(found)),
        "What is billed twice under a lost answer, a kill or a 404 is what `make chaos` shows.",
        "## Bounds",
        "\n".join(["| bound | found | |", "|---|---:|---|", *verdicts]),
        *tables(lines),
        *(f"![{picture}]({picture})" for picture in pictures),
    ]
    return "\n\n".join(sections) + "\n"


def tables(lines: Sequence[Line]) -> Iterator[str]:
    """A heading and a table for each part that was measured."""
    found = Found(lines)
    for part, contenders in (PARTS | ALONE).items():
        ran = [contender for contender in contenders if found.sizes(contender.command)]
        if ran:
            measured_on = min(line["at"] for line in lines if line["command"] == ran[0].command)
            yield f"## {part.replace('-', ' ').capitalize()} ({measured_on})"
            if part == "money":
                yield from _money(ran, found)
            else:
                yield _alone(ran, found) if part in ALONE else _part(ran, found)


def _summary(found: Found) -> Iterator[str]:
    """The numbers to reach of the design, as found."""

    def cost(*commands: str) -> str:
        memory = f", +{_number(found.median(commands[0], over_imports))} MB" if len(commands) == 1 else ""
        return f"{_number(found.seconds(*commands))} s{memory}"

    def waits(who: str) -> str:
        command = f"waits --waits 1000 --interval 15 --seconds 60{who}"
        calls, cpu_seconds = (_number(found.median(command, value, 0)) for value in ("calls", "cpu_seconds"))
        return f"{calls} calls, {cpu_seconds} CPU s"

    rows = [
        ("what", "seed pattern (SDK, pandas)", "LLMBatchOperator's code", "floor", "this project"),
        ("---", "---:", "---:", "---:", "---:"),
        (
            f"submit {FULL:,} requests: Parquet to accepted batch",
            *(cost("seed submit"), cost("common_ai submit")),
            *(f"{cost(*_FLOORS_OF_SUBMIT)}: read, upload", cost("ours submit")),
        ),
        (
            f"load {FULL:,} results: to typed Parquet",
            *(cost("seed load"), f"{cost('common_ai load')} (JSON Lines)"),
            *(f"{cost(*_FLOORS_OF_LOAD)}: download, decode, write", cost("ours load")),
        ),
        ("1,000 waits, a minute, 15 s apart", "–", f"{waits(' --who provider')} (the provider's)", "–", waits("")),
        (
            "cost of 10,000 documents with one system prompt, against synchronous calls without a cache",
            *("–", "–", "–"),
            _number(found.median(_WARMED, "ratio", 0)),
        ),
        (
            "second run of an unchanged partition",
            *("pays again", "pays again", "–"),
            f"{_number(found.median('ours again', 'requests'))} requests",
        ),
    ]
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _part(contenders: Sequence[Contender], found: Found) -> str:
    rows = [
        _row(contender, size, runs, found.median(contenders[0].command, "seconds", size))
        for size in sorted({size for contender in contenders for size in found.sizes(contender.command)})
        for contender in contenders
        if (runs := found.of(contender.command, size))
    ]
    return "\n".join([_HEAD, *rows])


def _row(contender: Contender, size: int, runs: Sequence[Line], ours: float) -> str:
    seconds = statistics.median(run["seconds"] for run in runs)
    cells = (
        f"{size:,}",
        contender.title,
        _spread(runs, "seconds"),
        _number(statistics.median(run["cpu_seconds"] for run in runs)),
        f"{size / seconds:,.0f}",
        f"{runs[0]['mb'] / seconds:,.0f}" if "mb" in runs[0] else "",
        f"{statistics.median(run['rss_peak_mb'] for run in runs):,.0f}"
        f" (+{statistics.median(over_imports(run) for run in runs):,.0f})",
        f"{_number(seconds / ours)} ×",
    )
    return f"| {' | '.join(cells)} |"


def _alone(contenders: Sequence[Contender], found: Found) -> str:
    """Every figure that was printed, each on a line, beside those of the others."""
    columns = [dict(_figures(found.of(contender.command, 0)[-1])) for contender in contenders]
    names = dict.fromkeys(name for column in columns for name in column)
    return "\n".join(
        [
            f"| | {' | '.join(contender.title for contender in contenders)} |",
            f"|---|{'---:|' * len(contenders)}",
            *(f"| {name} | {' | '.join(column.get(name, '') for column in columns)} |" for name in names),
        ]
    )


def _money(contenders: Sequence[Contender], found: Found) -> Iterator[str]:
    lines = [found.of(contender.command, 0)[-1] for contender in contenders]
    yield (
        f"The emulator answered, not Claude, and billed by a table of prices of its own: {lines[0]['requests']:,}"
        " documents with a system prompt of 6,000 tokens that is the same in all; labels for short texts, and pages"
        " about them, with one of 300 and of 1,500. A batch takes ten minutes of its clock. How often a cache is found"
        " is its assumption, too: 98 % of the time where an earlier batch has filled it, 30 % where requests of the"
        " same batch do. *Synchronous* is what the same tokens cost in calls of their own, without a cache; *expected*"
        " is what was told, with its bounds, when the main pass was planned. What this project booked is what was"
        " billed, to the last digit."
    )
    rows = (
        f"| {contender.title} | {line['input_tokens_each']:,.0f} / {line['output_tokens_each']:,.0f} |"
        f" {line['batches']} | {_share(line['cache_hits'])} |"
        f" {line['expected_usd']:,.2f} ({line['low_usd']:,.2f} to {line['high_usd']:,.2f}) |"
        f" {line['billed_usd']:,.2f} | {line['synchronous_usd']:,.2f} | {line['ratio']:.3f} |"
        for contender, line in zip(contenders, lines, strict=True)
    )
    head = [
        "| | tokens, in / out | batches | cache hits | expected, USD | billed, USD | synchronous, USD | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    yield "\n".join([*head, *rows])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _figures(line: Line) -> Iterator[tuple[str, str]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}: {inner}", figure) for inner, figure in _figures(value))
        elif isinstance(value, int | float) and name != "size":
            yield name.replace("_", " "), _number(value)


def _value(line: Line, value: str | Value) -> float:
    return float(line[value] if isinstance(value, str) else value(line))


def _spread(runs: Sequence[Line], name: str) -> str:
    values = sorted(run[name] for run in runs)
    if len(values) == 1:
        return _number(values[0])
    return f"{_number(statistics.median(values))} ({_number(values[0])}–{_number(values[-1])})"


def _number(value: float) -> str:
    """With as many digits as say something."""
    if math.isnan(value):
        return "?"
    digits = next((digits for least, digits in ((100, 0), (10, 1), (0.1, 2)) if value >= least), 3)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.{digits}f}"
