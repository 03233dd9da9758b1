"""What a play in containers found, as a row of the table that `make docker-test` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_HEAD = ("fault", "what was done", "the run", "rows", "lost", "billed twice", "orphans", "clears", "s")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    One run under one fault.

    :param done: what was done to it, and when
    :param state: of the run at its end
    :param lost: rows of the warehouse that are not published or rejected exactly once
    :param billed_twice: billings of a request beyond its first, counted by the emulated API
    :param orphans: batches that were billed and whose results nobody has read
    :param clears: how often somebody on call had to clear the failed tasks
    :param said: what a failed try said
    """

    fault: str
    done: str
    state: str
    rows: int
    lost: int
    billed_twice: int
    orphans: int
    clears: int
    seconds: float
    said: str = ""

    @property
    def clean(self) -> bool:
        """Whether it ended published, with every row accounted for and nothing paid twice or for nothing."""
        return self.state == "success" and not (self.lost or self.billed_twice or self.orphans)


def table(findings: Iterable[Finding]) -> str:
    """The findings in Markdown; beneath it, what failed tries said."""
    found = list(findings)
    rows = [
        (f.fault, f.done, f.state, *map(str, (f.rows, f.lost, f.billed_twice, f.orphans, f.clears, round(f.seconds))))
        for f in found
    ]
    aligned = ("---", "---", "---", *("---:" for _ in _HEAD[3:]))
    lines = [f"| {' | '.join(row)} |" for row in (_HEAD, aligned, *rows)]
    said = [f"{f.fault}: {f.said}" for f in found if f.said]
    return "\n".join([*lines, "", *said])
