"""
The answers that fit the schema and fail a check. They are matched with the rows and judged as publish does it, so both
judge the same answers, in source order, and any number of texts can be judged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.checks.checks import Checks
from include.enrichment.answers.repair import Repair
from include.enrichment.batches.usage import BatchFacts, oldest_first
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.spec.pipeline import Pipeline
from include.gateways.result_store import ResultStore
from include.steps.planning.plan_files import repairs_table
from include.steps.publishing.checking import take_best
from include.steps.publishing.grounding import Grounder, open_grounder
from include.steps.publishing.joining import join_rows, write_by_position
from include.steps.publishing.matching import match_rows


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

    :param rows: the run's rows, fetched. The results of each batch are fetched next to them, once
    :param grounder: locates the evidence of the answers; None if no check needs it
    """

    def __init__(self, rows: Path, checks: Checks, store: ResultStore, grounder: Grounder | None = None) -> None:
        self._rows, self._checks, self._store, self._grounder = rows, checks, store, grounder
        #: Whether the verdict on an answer depends on the others.
        self.compare_answers = checks.compare_answers
        self._fetched: dict[str, BatchFacts | None] = {}

    @classmethod
    def of(cls, pipeline: Pipeline, rows: Path, checks: Checks, store: ResultStore) -> FailedChecks:
        """Return those of a pipeline's run. If the checks need evidence, its documents are next to the rows."""
        return cls(rows, checks, store, open_grounder(pipeline, rows) if checks.need_evidence else None)

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
        self._match(batches, repairs)
        for rows, answered, others in join_rows(self._rows, folder=self._rows.parent):
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

    def _match(self, batches: Collection[str], repairs: Collection[Repair]) -> None:
        """Write the answers next to the rows, by the portion of rows that they belong to."""
        (folder := self._rows.parent / "results").mkdir(exist_ok=True)
        paths = {batch_id: folder / f"{batch_id}.parquet" for batch_id in batches}
        self._fetched |= {
            batch_id: self._store.fetch(batch_id, path)
            for batch_id, path in paths.items()
            if batch_id not in self._fetched
        }
        results = {batch_id: paths[batch_id] for batch_id in oldest_first(self._fetched) if batch_id in paths}
        with match_rows(
            self._rows, list(results.values()), repairs_table(repairs), own=(), folder=self._rows.parent, others=True
        ) as matches:
            write_by_position(results, matches, folder=self._rows.parent)
        pa.default_memory_pool().release_unused()
