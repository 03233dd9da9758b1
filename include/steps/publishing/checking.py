"""The checks of the answers that would be published. A row gets the best of its usable answers that passes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.evidence.quote import EVIDENCE_FIELDS
from include.enrichment.answers.table import ANSWERED_SCHEMA, CHECKED, DOCUMENTS, WARNINGS

if TYPE_CHECKING:
    from include.enrichment.answers.checks.checks import Checks, Judge, Verdict
    from include.enrichment.answers.evidence.grounding import Grounded
    from include.steps.publishing.grounding import Grounder

_SUCCEEDED = "succeeded"


class CheckedRows:
    """
    Rows and answers as join_rows() yields them, each row with the best of its answers that passes the checks. If none
    does, it has the best one as ``invalid``. Iterate once.

    :param failed: rows by the check that they fail
    :param warned: usable rows by the check that warns of them
    :param checks: None: the answers pass unchanged
    :param grounder: locates their evidence; None if the pipeline asks for none
    """

    def __init__(
        self,
        joined: Iterable[tuple[pa.Table, pa.Table, pa.Table]],
        checks: Checks | None,
        grounder: Grounder | None = None,
    ) -> None:
        self.failed: Counter[str] = Counter()
        self.warned: Counter[str] = Counter()
        self._joined = joined
        self._checks = checks
        self._judge = checks.new_judge() if checks else None
        self._grounder = grounder

    def __iter__(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Raises SpecError if an expression fails on an answer, LakeError if a document of a row is missing."""
        yield from ((rows, answered) for rows, answered, _ in self.with_candidates())

    def with_candidates(self) -> Iterator[tuple[pa.Table, pa.Table, pa.Table]]:
        """
        Iterate, once, with the answers that each portion of rows was checked with: each has the ``place`` of its row,
        and those of a row are in the order in which they are preferred.

        Raises the same errors.
        """
        for rows, answered, others in self._joined:
            own = answered.append_column("place", pa.array(range(len(answered)), pa.int64()))
            yield rows, self._checked(rows, answered, others), pa.concat_tables([own, others])

    def _checked(self, rows: pa.Table, answered: pa.Table, others: pa.Table) -> pa.Table:
        if self._checks and self._judge:
            return self._check(rows, answered, others, self._checks, self._judge)
        if self._grounder:
            usable = _usable(answered)
            outputs = answered["output"].filter(usable).to_pylist()
            return _with_evidence(answered, usable, _ground(outputs, rows.filter(usable), self._grounder))
        return answered

    def _check(self, rows: pa.Table, answered: pa.Table, others: pa.Table, checks: Checks, judge: Judge) -> pa.Table:
        taken = take_best(rows, answered, others, judge, grounder=self._grounder)
        verdicts = [verdict for _, verdict in taken.values()]
        for verdict in verdicts:
            self.failed.update(verdict.failed)
            self.warned.update(() if verdict.reason else verdict.warnings)
        numbers = [taken[place][0] if place in taken else place for place in range(len(answered))]
        answers = pa.concat_tables([answered, others.drop_columns("place")])
        best = answers.take(pa.array(numbers, pa.int64()))
        # The row bears the cost of all answers to its request, whichever it gets.
        best = best.set_column(best.schema.get_field_index("_cost_usd"), "_cost_usd", answered["_cost_usd"])
        usable = _usable(answered)
        checked = _with_verdicts(best, usable, verdicts, checks)
        if self._grounder is None:
            return checked
        return _with_evidence(checked, usable, [verdict.grounded for verdict in verdicts])


def take_best(
    rows: pa.Table,
    answered: pa.Table,
    others: pa.Table,
    judge: Judge,
    *,
    judged: pa.Array | None = None,
    grounder: Grounder | None = None,
) -> dict[int, tuple[int, Verdict]]:
    """
    Judge the usable answers of a portion that join_rows() yields, in source order, those of a row the best first.

    Return, by the place of each row with such an answer, the number of the best answer that passes, and its verdict; if
    none passes, those of the best one. Answers are numbered from 0: one for each row, then the others.

    :param judged: whether each row is to be judged; None for all
    :param grounder: locates the evidence of the answers; None if no verdict needs it
    """
    usable = _usable(answered)
    wanted = (usable if judged is None else pc.and_(usable, judged)).to_pylist()
    tried = sorted(
        [
            *((place, place) for place, is_wanted in enumerate(wanted) if is_wanted),
            *((place, at) for at, place in enumerate(others["place"].to_pylist(), len(answered)) if wanted[place]),
        ]
    )
    answers = pa.chunked_array([*answered["output"].chunks, *others["output"].chunks], pa.string())
    outputs = answers.take(pa.array([number for _, number in tried], pa.int64())).to_pylist()
    of_rows = [place for place, _ in tried]
    tried_rows = rows.take(pa.array(of_rows, pa.int64()))
    facts = tried_rows[CHECKED].to_pylist() if CHECKED in rows.column_names else [None] * len(outputs)
    request_ids = tried_rows["request_id"].to_pylist()
    taken: dict[int, tuple[int, Verdict]] = {}
    grounded = _ground(outputs, tried_rows, grounder) if grounder else None
    verdicts = judge.judge(facts, outputs, request_ids, of_rows, grounded)
    for (place, number), verdict in zip(tried, verdicts, strict=True):
        if place not in taken or (taken[place][1].reason and not verdict.reason):
            taken[place] = number, verdict
    return taken


def _usable(answered: pa.Table) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(answered["outcome"], _SUCCEEDED), False)


def _ground(outputs: Iterable[str], rows: pa.Table, grounder: Grounder) -> list[Grounded]:
    """
    :param rows: that of each output
    """
    return list(map(grounder.ground, outputs, rows[DOCUMENTS].to_pylist()))


def _with_evidence(answered: pa.Table, usable: pa.ChunkedArray, grounded: Sequence[Grounded | None]) -> pa.Table:
    """The answers with EVIDENCE_FIELDS, null where there is no usable answer."""
    # Not at the top: most pipelines ask for no evidence.
    from include.steps.publishing.grounding import evidence_columns

    for field, column in zip(EVIDENCE_FIELDS, evidence_columns(grounded), strict=True):
        answered = answered.append_column(field, _spread(column, usable))
    return answered


def _with_verdicts(answered: pa.Table, usable: pa.ChunkedArray, verdicts: list[Verdict], checks: Checks) -> pa.Table:
    """The answers with their outcome, reason and text after the checks, and with WARNINGS."""
    reasons = _spread(pa.array([verdict.reason for verdict in verdicts], pa.string()), usable)
    failed = pc.is_valid(reasons)
    written = [each and checks.as_written(each) for each in pc.if_else(failed, answered["output"], None).to_pylist()]
    warnings = pa.array([list(verdict.warnings) for verdict in verdicts], pa.list_(pa.string()))
    columns = {name: answered[name] for name in ANSWERED_SCHEMA.names} | {
        "outcome": pc.if_else(failed, "invalid", answered["outcome"]),
        "reason": pc.coalesce(reasons, answered["reason"]),
        "text": pc.coalesce(pa.array(written, pa.string()), answered["text"]),
        WARNINGS: _spread(warnings, usable),
    }
    return pa.table(columns)


def _spread(values: pa.Array, places: pa.ChunkedArray) -> pa.Array:
    """The values at the places that are true, in their order, and nulls at the others."""
    numbers = pc.subtract(pc.cumulative_sum(places.combine_chunks().cast(pa.int64())), 1)
    return values.take(pc.if_else(places.combine_chunks(), numbers, None))
