"""The report of the benchmarks in Markdown: a summary, a verdict on each bound, and a table for each part."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.benchmarks.bounds import bounds
from tests.benchmarks.contenders import ALONE, PARTS, Contender
from tests.benchmarks.measurements import (
    FLOORS_OF_LOAD,
    FLOORS_OF_SUBMIT,
    FULL,
    WARMED,
    Found,
    Line,
    over_imports,
)

_HEAD = """| rows | what | wall s | CPU s | rows/s | MB/s | peak RSS, MB (over imports) | relative to ours |
|---:|---|---:|---:|---:|---:|---:|---:|"""


def render(lines: Sequence[Line], *, machine: str, pictures: Iterable[str] = ()) -> str:
    """
    Render the whole report.

    :param machine: where and when the measurements were taken
    :param pictures: names of image files in the same folder
    """
    found = Found(lines)
    verdicts = (
        f"| {bound.what} | {', '.join(_number(value) + bound.unit for value in bound.values)} | {bound.verdict} |"
        for bound in bounds(found)
    )
    sections = [
        "# Benchmarks",
        machine,
        "Medians, with min and max in brackets; 1 MB is 1,000,000 bytes. Each run is a process of its own, and the"
        " contenders of a part take turns. All talk to one emulator on the same machine, whose batches end at once, so"
        " trust the ratios. *Relative to ours* is the wall time divided by that of this project's first line at the"
        " same size. The 1,000,000 rows measure memory only: the emulator processes some batches while others arrive.",
        "## Summary",
        "\n".join(_summary(found)),
        "`make chaos` shows what is billed twice after a lost response, a kill or a 404.",
        "## Bounds",
        "\n".join(["| bound | found | |", "|---|---:|---|", *verdicts]),
        *tables(lines),
        *(f"![{picture}]({picture})" for picture in pictures),
    ]
    return "\n\n".join(sections) + "\n"


def tables(lines: Sequence[Line]) -> Iterator[str]:
    """Yield a heading and a table for each measured part."""
    found = Found(lines)
    for part, contenders in (PARTS | ALONE).items():
        ran = [contender for contender in contenders if found.sizes(contender.command)]
        if ran:
            measured_on = min(line["at"] for line in lines if line["command"] == ran[0].command)
            yield f"## {part.replace('-', ' ').capitalize()} ({measured_on})"
            if part == "money":
                yield from _money(ran, found)
            elif part == "accuracy":
                yield _accuracy(found.of(ran[0].command, 0)[-1])
            elif part == "evidence":
                yield _evidence(found.of(ran[0].command, 0)[-1])
            elif part == "statistics":
                yield from _certainty(found.of(ran[0].command, 0)[-1])
            else:
                yield _alone(ran, found) if part in ALONE else _part(ran, found)


def _summary(found: Found) -> Iterator[str]:
    """Yield the lines of the summary table."""

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
            *(f"{cost(*FLOORS_OF_SUBMIT)}: read, upload", cost("ours submit")),
        ),
        (
            f"load {FULL:,} results: to typed Parquet",
            *(cost("seed load"), f"{cost('common_ai load')} (JSON Lines)"),
            *(f"{cost(*FLOORS_OF_LOAD)}: download, decode, write", cost("ours load")),
        ),
        ("1,000 waits, a minute, 15 s apart", "–", f"{waits(' --who provider')} (the provider's)", "–", waits("")),
        (
            "cost of 10,000 documents with one system prompt, relative to synchronous calls without a cache",
            *("–", "–", "–"),
            _number(found.median(WARMED, "ratio", 0)),
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
    """Render every figure on a line of its own, with a column per contender."""
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
        f"The emulator stood in for Claude and billed at its own table of prices: {lines[0]['requests']:,} documents"
        " with the same system prompt of 6,000 tokens; labels for short texts with a system prompt of 300 tokens; pages"
        " about them with one of 1,500. A batch takes ten minutes of its clock. It assumes cache hits for 98 % of"
        " prefixes from an earlier batch, and for 30 % of those from the same batch. *Synchronous* is the cost of the"
        " same tokens in synchronous calls without a cache. *Expected* is the estimate of the main pass with its"
        " bounds. This project's usage records equal the bills to the last digit."
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


def _accuracy(line: Line) -> str:
    head = [
        "| fault | texts | planted | found | missed | false alarms | repaired | rejected |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    rows = (
        f"| `{check['kind']}` | {check['texts']} | {check['planted']:,} | {check['found']:,} |"
        f" {check['planted'] - check['found']:,} | {check['false_alarms']:,} of {check['good']:,} |"
        f" {check['repaired']:,} of {check['once']:,} | {check['rejected']:,} of {check['always']:,} |"
        for check in line["checks"]
    )
    return "\n".join([*head, *rows])


def _evidence(line: Line) -> str:
    head = [
        "| documents with | quotes | found on their page | on another one than named | not found | ungrounded values |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    rows = (
        f"| `{kind['kind']}` | {kind['quotes']:,} | {kind['right_page']:,} |"
        f" {kind.get('other_page', 0) + kind.get('ambiguous', 0):,} | {kind.get('None', 0):,} |"
        f" {kind['ungrounded']:,} of {kind['values']:,} |"
        for kind in line["kinds"]
    )
    return "\n".join([*head, *rows])


def _certainty(line: Line) -> Iterator[str]:
    coverage = (
        f"| {one['what']} | {one['method']} | {one['cases']:,} | {_share(one['covered'])} | {one['width']:.3f} |"
        for one in line["coverage"]
    )
    head = [
        f"| figure, 95 % interval, {line['coverage'][0]['evaluations']:,} evaluations each | method |"
        " cases or clusters | holds the truth | mean width |",
        "|---|---|---:|---:|---:|",
    ]
    yield "\n".join([*head, *coverage])
    power = (f"| {one['cases']:,} | {_share(one['paired'])} | {_share(one['unpaired'])} |" for one in line["power"])
    yield "\n".join(["| cases | paired test finds 3 % less | unpaired test finds it |", "|---:|---:|---:|", *power])
    gate = (
        f"| {one['cases']:,} | {one['planted']} | {_share(one['pass'])} | {_share(one['inconclusive'])} |"
        f" {_share(one['fail'])} | {_share(one['threshold_fails'])} |"
        for one in line["gate"]
    )
    head = [
        f"| cases | planted, {line['gate'][0]['seeds']:,} seeds each | gate passes | is inconclusive | fails |"
        " threshold on the difference fails |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    yield "\n".join([*head, *gate])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _figures(line: Line) -> Iterator[tuple[str, str]]:
    for name, value in line.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}: {inner}", figure) for inner, figure in _figures(value))
        elif isinstance(value, int | float) and name != "size":
            yield name.replace("_", " "), _number(value)


def _spread(runs: Sequence[Line], name: str) -> str:
    values = sorted(run[name] for run in runs)
    if len(values) == 1:
        return _number(values[0])
    return f"{_number(statistics.median(values))} ({_number(values[0])}–{_number(values[-1])})"


def _number(value: float) -> str:
    """Format a number with its significant digits."""
    if math.isnan(value):
        return "?"
    digits = next((digits for least, digits in ((100, 0), (10, 1), (0.1, 2)) if value >= least), 3)
    return f"{value:,.0f}" if value == round(value) else f"{value:,.{digits}f}"
