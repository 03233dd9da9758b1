"""The rows of a run with the answers so far, as publish would match them. Each batch is fetched once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from include.enrichment.answers.repair import Repair
from include.enrichment.batches.usage import BatchFacts, oldest_first
from include.enrichment.requests.request import Request
from include.enrichment.requests.request_ids import RequestIds
from include.gateways.result_store import ResultStore
from include.steps.files.extracted import read_requests
from include.steps.planning.plan_files import repairs_table


class RowAnswers:
    """
    The rows and their answers.

    :param rows: the run's rows, fetched. The results of each batch are fetched next to them
    """

    def __init__(self, rows: Path, store: ResultStore) -> None:
        self.rows, self.store = rows, store
        self._fetched: dict[str, BatchFacts | None] = {}

    def join(
        self, batches: Collection[str], repairs: Iterable[Repair]
    ) -> Iterator[tuple[pa.Table, pa.Table, pa.Table]]:
        """
        Yield the rows, their best answers and the other usable ones, as join_rows() does.

        Raises LoadError if memory or disk runs out.
        """
        # Not at the top: they load DuckDB, and most pipelines have no checks.
        from include.steps.publishing.joining import join_rows, write_by_position
        from include.steps.publishing.matching import match_rows

        (folder := self.rows.parent / "results").mkdir(exist_ok=True)
        paths = {batch_id: folder / f"{batch_id}.parquet" for batch_id in batches}
        self._fetched |= {
            batch_id: self.store.fetch(batch_id, path)
            for batch_id, path in paths.items()
            if batch_id not in self._fetched
        }
        results = {batch_id: paths[batch_id] for batch_id in oldest_first(self._fetched) if batch_id in paths}
        with match_rows(
            self.rows, list(results.values()), repairs_table(repairs), own=(), folder=self.rows.parent, others=True
        ) as matches:
            write_by_position(results, matches, folder=self.rows.parent)
        pa.default_memory_pool().release_unused()
        yield from join_rows(self.rows, folder=self.rows.parent)

    def requests(self, request_ids: Collection[str]) -> Iterator[Request]:
        """Yield these requests of the rows."""
        for batch in read_requests(self.rows, RequestIds(request_ids)):
            yield from (Request(**line) for line in batch.to_pylist())
