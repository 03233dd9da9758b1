"""The outcomes of a run's requests in the result store, and what the next pass can do about them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import COULD_NOT_PROCESS, is_paid, remedy
from include.enrichment.requests.request_ids import Ids, RequestIds

#: One line per request and batch.
FOUND_SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in ("request_id", "outcome", "error_type", "stop_reason", "batch_id")]
)
#: Its columns with few distinct values, and FOUND_SCHEMA with these dictionary-encoded: half of the memory.
ALIKE = [name for name in FOUND_SCHEMA.names if name != "request_id"]
COMPACT_SCHEMA = pa.schema(
    [
        field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in ALIKE else field
        for field in FOUND_SCHEMA
    ]
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

    :param table: in COMPACT_SCHEMA; a request that was never sent has no line
    """

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __add__(self, other: PriorResults) -> PriorResults:
        return PriorResults(pa.concat_tables([self.table, other.table]))

    @property
    def batches(self) -> list[str]:
        """The batches that hold any of the outcomes."""
        return sorted(pc.unique(self.table["batch_id"]).to_pylist())

    @property
    def usable(self) -> RequestIds:
        """The requests with an answer that fits the output schema."""
        return RequestIds(self._usable())

    def usable_in(self, request_ids: Ids) -> list[str]:
        """Return the batches with an answer to any of these requests that fits the output schema."""
        usable = self.table.filter(pc.equal(self.table["outcome"], "succeeded"))
        found = pc.is_valid(RequestIds(request_ids).find(usable["request_id"].combine_chunks()))
        return sorted(pc.unique(usable["batch_id"].filter(found)).to_pylist())

    @property
    def paid(self) -> RequestIds:
        """The requests that were paid for. They are never sent again unchanged."""
        return RequestIds(self.table["request_id"].filter(self._is_paid()))

    @property
    def failed(self) -> RequestIds:
        """
        The requests that a batch left without an answer, none of them for a transient reason. If the API could not
        process a document, the reason counts as transient once, not twice.
        """
        unpaid = self._unpaid()
        again = {line["request_id"] for line in unpaid if _remedy(line) == "again"}
        refused = Counter(line["request_id"] for line in unpaid if line["error_type"] == COULD_NOT_PROCESS)
        again -= {request_id for request_id, times in refused.items() if times > 1}
        return RequestIds({line["request_id"] for line in unpaid} - again)

    def failed_in(self, request_ids: Iterable[str]) -> dict[str, set[str]]:
        """Return the batches that left these requests without an answer, by request."""
        failed: defaultdict[str, set[str]] = defaultdict(set)
        for line in self._unpaid():
            failed[line["request_id"]].add(line["batch_id"])
        return {request_id: failed[request_id] for request_id in RequestIds(failed) & request_ids}

    def repairable(self) -> dict[str, str]:
        """Return the requests whose only answers are invalid and may be repaired, each with a batch that has one."""
        others = self.table.filter(pc.not_equal(self.table["outcome"], "succeeded")).to_pylist()
        found = {
            line["request_id"]: line["batch_id"]
            for line in sorted(others, key=lambda line: line["batch_id"], reverse=True)
            if _remedy(line) == "repair"
        }
        for request_id in RequestIds(found) & self._usable():
            del found[request_id]
        return found

    def _usable(self) -> pa.ChunkedArray:
        return self.table["request_id"].filter(pc.equal(self.table["outcome"], "succeeded"))

    def _is_paid(self) -> pa.ChunkedArray:
        """Whether each outcome was paid for."""
        paid = [name for name in pc.unique(self.table["outcome"]).to_pylist() if is_paid(name)]
        return pc.is_in(self.table["outcome"], value_set=pa.array(paid, pa.string()))

    def _unpaid(self) -> list[dict[str, str]]:
        lines: list[dict[str, str]] = self.table.filter(pc.invert(self._is_paid())).to_pylist()
        return lines


def _remedy(line: dict[str, str]) -> str | None:
    return remedy(line["outcome"], line["error_type"], line["stop_reason"])
