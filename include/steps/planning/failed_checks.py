"""
The answers that fit the schema and fail a check. They are matched with the rows and judged as publish does it, so both
judge the same answers, in source order, and any number of texts can be judged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import pyarrow.compute as pc

from include.enrichment.answers.checks.checks import Checks
from include.enrichment.answers.repair import Repair
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.spec.pipeline import Pipeline
from include.steps.planning.retrying.row_answers import RowAnswers
from include.steps.publishing.checking import take_best
from include.steps.publishing.grounding import Grounder, open_grounder


class FailedAnswer(NamedTuple):
    """
    An answer that fails checks: whether only because it repeats another one, the complaint to Claude, its text, why it
    is unusable, the names of the checks.
    """

    repeats: bool
    complaint: str
    text: str
    reason: str
    checks: Sequence[str]


class FailedChecks:
    """
    Finds the rows of a run of whose usable answers none passes the checks.

    :param answers: the run's rows with their answers
    :param grounder: locates the evidence of the answers; None if no check needs it
    """

    def __init__(self, answers: RowAnswers, checks: Checks, grounder: Grounder | None = None) -> None:
        self._answers, self._checks, self._grounder = answers, checks, grounder
        #: Whether the verdict on an answer depends on the others.
        self.compare_answers = checks.compare_answers

    @classmethod
    def of(cls, pipeline: Pipeline, answers: RowAnswers, checks: Checks) -> FailedChecks:
        """Return those of a pipeline's run. If the checks need evidence, its documents are next to the rows."""
        return cls(answers, checks, open_grounder(pipeline, answers.rows) if checks.need_evidence else None)

    def find(
        self, of: RequestIds, batches: Collection[str], repairs: Collection[Repair] = (), *, for_every_row: bool = False
    ) -> dict[str, FailedAnswer]:
        """
        Return the best answer of each such row, by the request that it answers.

        :param of: the requests of the rows to judge
        :param batches: the batches with answers to them and to their repairs, and with all that they are compared with
        :param for_every_row: leave out the answers that pass for another row

        Raises LoadError if memory or disk runs out, SpecError if an expression fails on an answer.
        """
        if not of:
            return {}
        failed: dict[str, FailedAnswer] = {}
        passed: set[str] = set()
        judge = self._checks.new_judge()
        for rows, answered, others in self._answers.join(batches, repairs):
            wanted = pc.is_valid(of.find(rows["request_id"].combine_chunks()))
            judged = None if self.compare_answers else wanted
            ids, outputs = answered["_request_id"], answered["output"]
            taken = take_best(rows, answered, others, judge, judged=judged, grounder=self._grounder)
            for place, (_, verdict) in taken.items():
                request_id = ids[place].as_py()
                if not wanted[place].as_py():
                    continue
                if not verdict.reason:
                    passed.update([request_id] if for_every_row else ())
                    continue
                text = self._checks.as_written(outputs[place].as_py())
                found = FailedAnswer(verdict.repeats, verdict.complaint or "", text, verdict.reason, verdict.failed)
                # Rows with the same request may fail for different reasons. The choice must depend neither on their
                # order nor on other answers, as another complaint makes another repair, which is billed again.
                if request_id not in failed or found < failed[request_id]:
                    failed[request_id] = found
        return {request_id: answer for request_id, answer in failed.items() if request_id not in passed}
