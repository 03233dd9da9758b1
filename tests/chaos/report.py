"""The findings of chaos runs, and the table of them that `make chaos` prints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields

_HEAD = ("who", "fault", "runs", "rows lost", "billed twice", "orphans")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    The same fault, over several runs.

    :param subject: whose runs these were
    :param rows_lost: source rows that are neither published nor rejected when all has ended, over all runs
    :param billed_twice: billings of a request beyond its first, counted by the emulated API
    :param may_be_billed_twice: the stated bound: what killed processes had open
    :param orphans: batches that were billed and that nobody has loaded, and objects that were written in half
    """

    subject: str
    fault: str
    runs: int
    rows_lost: int
    billed_twice: int
    orphans: int
    may_be_billed_twice: int = 0
    note: str = ""

    @property
    def clean(self) -> bool:
        """Return whether nothing was lost or left behind, and no more paid twice than stated."""
        return not (self.rows_lost or self.orphans) and self.billed_twice <= self.may_be_billed_twice

    def to_json(self) -> str:
        """Return the finding as one line of JSON."""
        return json.dumps(asdict(self))


def read_findings(lines: Iterable[str]) -> Iterator[Finding]:
    """Parse findings from lines of JSON; other lines and unknown members are ignored."""
    names = [field.name for field in fields(Finding)]
    for line in lines:
        if line.startswith("{"):
            found = json.loads(line)
            setting = found.get("setting", "defaults")
            found["fault"] += "" if setting == "defaults" else f" ({setting})"
            yield Finding(**{name: found[name] for name in names if name in found})


def table(findings: Iterable[Finding]) -> str:
    """Format the findings as an aligned table."""
    rows = [
        (f.subject, f.fault, f"{f.runs:,}", f"{f.rows_lost:,}", f"{f.billed_twice:,}", f"{f.orphans:,}", f.note)
        for f in findings
    ]
    widths = [max(len(row[column]) for row in [(*_HEAD, ""), *rows]) for column in range(len(_HEAD))]

    def line(row: tuple[str, ...]) -> str:
        texts = [f"{text:<{width}}" for text, width in zip(row[:2], widths, strict=False)]
        numbers = [f"{text:>{width}}" for text, width in zip(row[2 : len(_HEAD)], widths[2:], strict=True)]
        return "  ".join([*texts, *numbers, *row[len(_HEAD) :]]).rstrip()

    return "\n".join([line(_HEAD), line(tuple("-" * width for width in widths)), *map(line, rows)])
