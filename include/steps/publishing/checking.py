"""The checks of the answers that would be published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.table import ANSWERED_SCHEMA, CHECKED, WARNINGS

if TYPE_CHECKING:
    from include.enrichment.answers.checks.checks import Checks, Judge, Verdict

_SUCCEEDED = "succeeded"


class CheckedRows:
    """
    Rows and answers as join_rows() yields them, with an answer that fails a check as ``invalid``. Iterate once.

    :param failed: rows by the check that they fail
    :param warned: usable rows by the check that warns of them
    :param checks: None: the answers pass unchanged
    """

    def __init__(self, joined: Iterable[tuple[pa.Table, pa.Table]], checks: Checks | None) -> None:
        self.failed: Counter[str] = Counter()
        self.warned: Counter[str] = Counter()
        self._joined, self._checks = joined, checks

    def __iter__(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Raises SpecError if an expression fails on an answer."""
        judge = self._checks.new_judge() if self._checks else None
        for rows, answered in self._joined:
            yield rows, self._check(rows, answered, self._checks, judge) if self._checks and judge else answered

    def _check(self, rows: pa.Table, answered: pa.Table, checks: Checks, judge: Judge) -> pa.Table:
        usable = pc.fill_null(pc.equal(answered["outcome"], _SUCCEEDED), False)
        outputs = answered["output"].filter(usable).to_pylist()
        facts = rows[CHECKED].filter(usable).to_pylist() if checks.need_rows else [None] * len(outputs)
        verdicts = judge.judge(facts, outputs, rows["request_id"].filter(usable).to_pylist())
        for verdict in verdicts:
            self.failed.update(verdict.failed)
            self.warned.update(() if verdict.reason else verdict.warnings)
        return _with_verdicts(answered, usable, verdicts, can_warn=checks.can_warn)


def _with_verdicts(answered: pa.Table, usable: pa.ChunkedArray, verdicts: list[Verdict], *, can_warn: bool) -> pa.Table:
    """The answers with their outcome, reason and text after the checks, and with WARNINGS if there can be any."""
    reasons = _spread(pa.array([verdict.reason for verdict in verdicts], pa.string()), usable)
    failed = pc.is_valid(reasons)
    columns = {name: answered[name] for name in ANSWERED_SCHEMA.names} | {
        "outcome": pc.if_else(failed, "invalid", answered["outcome"]),
        "reason": pc.coalesce(reasons, answered["reason"]),
        "text": pc.if_else(failed, answered["output"], answered["text"]),
    }
    if can_warn:
        warnings = pa.array([list(verdict.warnings) for verdict in verdicts], pa.list_(pa.string()))
        columns[WARNINGS] = _spread(warnings, usable)
    return pa.table(columns)


def _spread(values: pa.Array, places: pa.ChunkedArray) -> pa.Array:
    """The values at the places that are true, in their order, and nulls at the others."""
    numbers = pc.subtract(pc.cumulative_sum(places.combine_chunks().cast(pa.int64())), 1)
    return values.take(pc.if_else(places.combine_chunks(), numbers, None))
