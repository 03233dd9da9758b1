"""The findings of plays in containers, and the table of them that `make docker-test` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_HEAD = ("fault", "what was done", "the run", "rows", "lost", "billed twice", "orphans", "clears", "s")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    One run under one fault.

    :param done: what was broken, and when
    :param state: the final state of the run
    :param lost: rows of the warehouse that are not published or rejected exactly once
    :param billed_twice: billings of a request beyond its first, counted by the emulated API
    :param orphans: billed batches whose results nobody has downloaded
    :param clears: how often the engineer on call cleared the failed tasks
    :param errors: the errors of failed tries
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
    errors: str = ""

    @property
    def clean(self) -> bool:
        """Return whether it ended published, without lost rows, repeated billings or orphans."""
        return self.state == "success" and not (self.lost or self.billed_twice or self.orphans)


def table(findings: Iterable[Finding]) -> str:
    """Format the findings as a Markdown table, followed by the errors of failed tries."""
    found = list(findings)
    rows = [
        (f.fault, f.done, f.state, *map(str, (f.rows, f.lost, f.billed_twice, f.orphans, f.clears, round(f.seconds))))
        for f in found
    ]
    aligned = ("---", "---", "---", *("---:" for _ in _HEAD[3:]))
    lines = [f"| {' | '.join(row)} |" for row in (_HEAD, aligned, *rows)]
    errors = [f"{f.fault}: {f.errors}" for f in found if f.errors]
    return "\n".join([*lines, "", *errors])
