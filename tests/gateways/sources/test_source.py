"""source.py: a new kind of source is a class with read(); a whole run needs to know nothing else of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa

from include.enrichment.runs.partition import Partition
from include.gateways.sources.portions import Row, read_portions
from include.gateways.sources.source import Columns, Source
from include.steps.extract import extract
from tests.fixtures.flow import Flow


class Countdown:
    """A kind of source that no release has: a ticket for each number down to 1, about its day."""

    def __init__(self, start: int) -> None:
        self._start = start

    @contextmanager
    def read(
        self, partition: Partition, *, key: Sequence[str] = (), needed: Collection[str] | None = None
    ) -> Iterator[tuple[Columns, Iterator[Sequence[Row]]]]:
        """Count down."""
        rows = iter([{"ticket": f"T{n}", "body": f"{n} on {partition}"} for n in range(self._start, 0, -1)])
        portions = read_portions(
            lambda count: [row for _, row in zip(range(count), rows, strict=False)], rows_at_once=9, rows_a_fetch=3
        )
        yield {"ticket": pa.string(), "body": None}, portions


def test_a_source_of_a_new_kind_is_asked_and_published_like_any_other(flow: Flow) -> None:
    source: Source = Countdown(20)
    assert extract(flow.pipeline, flow.folder, source=source, lake=flow.lake).rows == 20
    flow.send("main")
    assert flow.publish().published == 20
    assert flow.published()["ticket"].to_pylist() == [f"T{n}" for n in range(20, 0, -1)]
