from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment import layout
from include.gateways.lake import ObjectMissing
from include.steps.summary import summarise
from tests.fixtures.flow import DAY, Flow


def publish_topics(flow: Flow, topics: list[str]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"topic": topics, "words": [["a"]] * len(topics)}), sink)
    flow.lake.write(layout.table("tickets", DAY), sink.getvalue().to_pybytes())


def test_the_values_of_a_column_are_counted_the_most_frequent_first(flow: Flow) -> None:
    publish_topics(flow, ["other", "billing", "login", "billing", "login"])
    counts = summarise("tickets", DAY, "topic", lake=flow.lake)
    assert list(counts.items()) == [("billing", 2), ("login", 2), ("other", 1)]
    assert json.loads(flow.lake.read("summaries/tickets/dt=2026-11-01/topic.json")) == counts


def test_a_partition_without_rows_has_no_counts(flow: Flow) -> None:
    publish_topics(flow, [])
    assert summarise("tickets", DAY, "topic", lake=flow.lake) == {}


def test_a_day_that_is_published_again_is_counted_again(flow: Flow) -> None:
    for topics in (["other"], ["login"]):
        publish_topics(flow, topics)
        summarise("tickets", DAY, "topic", lake=flow.lake)
    assert json.loads(flow.lake.read(layout.summary("tickets", DAY, "topic"))) == {"login": 1}


def test_of_a_partition_that_is_not_published_nothing_is_counted(flow: Flow) -> None:
    with pytest.raises(ObjectMissing, match="dt=2026-11-01"):
        summarise("tickets", DAY, "topic", lake=flow.lake)
