"""The outcomes of a run's requests in the result store, and what the next pass can do about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Set
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import is_settled, remedy

#: One line per request and batch.
FOUND_SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in ("request_id", "outcome", "error_type", "stop_reason", "batch_id")]
)


def select_outcomes(outcomes: pa.Table, wanted: pa.Array) -> pa.Table:
    """
    Return the outcomes whose ``request_id`` is wanted.

    :param wanted: request ids, sorted
    """
    ids = outcomes["request_id"]
    bounds = pc.min_max(ids)
    first = pc.search_sorted(wanted, bounds["min"]).as_py() or 0
    end = pc.search_sorted(wanted, bounds["max"], side="right").as_py() or 0
    if first == end:
        return outcomes.slice(0, 0)
    near = wanted.slice(first, end - first)
    if len(near) <= len(outcomes):
        return outcomes.filter(pc.is_in(ids, value_set=near))
    # Building a set of more ids than outcomes would take more time and memory than a search per outcome.
    at = pc.min_element_wise(pc.search_sorted(near, ids), pa.scalar(len(near) - 1, pa.uint64()))
    return outcomes.filter(pc.equal(near.take(at), ids))


class PriorResults:
    """
    The outcomes of some requests in all batches that held them.

    :param table: in FOUND_SCHEMA; a request that was never sent has no line
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __add__(self, other: PriorResults) -> PriorResults:
        return PriorResults(pa.concat_tables([self.table, other.table]))

    @cached_property
    def batches(self) -> list[str]:
        """The batches that hold any of the outcomes."""
        return sorted(pc.unique(self.table["batch_id"]).to_pylist())

    @cached_property
    def sent(self) -> set[str]:
        """The requests that have any outcome."""
        return set(self.table["request_id"].to_pylist())

    @cached_property
    def succeeded(self) -> set[str]:
        """The requests that have a usable answer."""
        return set(self._with("succeeded")["request_id"].to_pylist())

    @cached_property
    def settled(self) -> set[str]:
        """The requests that were paid for. They are never sent again unchanged."""
        paid = [name for name in pc.unique(self.table["outcome"]).to_pylist() if is_settled(name)]
        return set(self._with(*paid)["request_id"].to_pylist())

    @cached_property
    def retryable(self) -> set[str]:
        """The requests that a batch left without an answer for a transient reason."""
        return {line["request_id"] for line in self._unusable() if _remedy(line) == "again"}

    def failed_in(self, request_ids: Set[str]) -> dict[str, set[str]]:
        """Return the batches that left these requests without an answer, by request."""
        failed: defaultdict[str, set[str]] = defaultdict(set)
        for line in self._unusable():
            if line["request_id"] in request_ids and not is_settled(line["outcome"]):
                failed[line["request_id"]].add(line["batch_id"])
        return failed

    def repairable(self) -> dict[str, str]:
        """Return the requests whose only answers are invalid and may be repaired, each with a batch that has one."""
        return {
            line["request_id"]: line["batch_id"]
            for line in sorted(self._unusable(), key=lambda line: line["batch_id"], reverse=True)
            if line["request_id"] not in self.succeeded and _remedy(line) == "repair"
        }

    def _with(self, *outcomes: str) -> pa.Table:
        return self.table.filter(pc.is_in(self.table["outcome"], value_set=pa.array(outcomes, pa.string())))

    def _unusable(self) -> list[dict[str, str]]:
        lines: list[dict[str, str]] = self.table.filter(pc.not_equal(self.table["outcome"], "succeeded")).to_pylist()
        return lines


def _remedy(line: dict[str, str]) -> str | None:
    return remedy(line["outcome"], line["error_type"], line["stop_reason"])
