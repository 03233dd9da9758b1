from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import LakeError, SpecError
from include.enrichment.storage import layout
from include.steps.summarise import summarise
from tests.fixtures.flow import DAY, Flow


def publish_topics(flow: Flow, topics: Sequence[str | None]) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"topic": list(topics), "words": [["a"]] * len(topics)}), sink)
    flow.lake.write(layout.table("tickets", DAY), sink.getvalue().to_pybytes())


def test_the_values_of_a_column_are_counted_the_most_frequent_first(flow: Flow) -> None:
    publish_topics(flow, ["other", "billing", "login", "billing", "login"])
    counts = summarise("tickets", DAY, "topic", lake=flow.lake)
    assert list(counts.items()) == [("billing", 2), ("login", 2), ("other", 1)]
    assert json.loads(flow.lake.read("summaries/tickets/dt=2026-11-01/topic.json")) == [
        {"value": "billing", "rows": 2},
        {"value": "login", "rows": 2},
        {"value": "other", "rows": 1},
    ]


def test_a_missing_value_is_not_the_text_none_nor_null(flow: Flow) -> None:
    publish_topics(flow, ["None", None, "null", None, "null", ""])
    counts = summarise("tickets", DAY, "topic", lake=flow.lake)
    assert list(counts.items()) == [("null", 2), (None, 2), ("", 1), ("None", 1)]
    stored = json.loads(flow.lake.read(layout.summary("tickets", DAY, "topic")))
    assert {one["value"]: one["rows"] for one in stored} == counts


@pytest.mark.parametrize(
    ("column", "fact"),
    [
        ("topics", r"has no column 'topics'; did you mean 'topic'\? It has: topic, words"),
        ("Topic", r"has no column 'Topic'; did you mean 'topic'\?"),
        ("words.list", r"has no column 'words\.list'"),
        ("", r"has no column ''\. It has"),
        ("words", r"has list<.*string> in its column 'words', and only single values can be counted"),
    ],
)
def test_a_column_that_cannot_be_counted_is_reported_with_the_table(flow: Flow, column: str, fact: str) -> None:
    publish_topics(flow, ["other"])
    with pytest.raises(SpecError, match=rf"dt=2026-11-01/data\.parquet: the table {fact}.*Correct `column` in the Dag"):
        summarise("tickets", DAY, column, lake=flow.lake)
    assert flow.lake.list("summaries/") == []


def test_a_table_that_is_damaged_is_named(flow: Flow) -> None:
    flow.lake.write(layout.table("tickets", DAY), b"PAR1 and no table")
    with pytest.raises(LakeError, match=r"dt=2026-11-01/data\.parquet cannot be read: .*Clear the `publish`") as caught:
        summarise("tickets", DAY, "topic", lake=flow.lake)
    assert not caught.value.retryable


def test_a_partition_without_rows_has_no_counts(flow: Flow) -> None:
    publish_topics(flow, [])
    assert summarise("tickets", DAY, "topic", lake=flow.lake) == {}


def test_a_day_that_is_published_again_is_counted_again(flow: Flow) -> None:
    for topics in (["other"], ["login"]):
        publish_topics(flow, topics)
        summarise("tickets", DAY, "topic", lake=flow.lake)
    assert json.loads(flow.lake.read(layout.summary("tickets", DAY, "topic"))) == [{"value": "login", "rows": 1}]


def test_of_a_partition_that_is_not_published_nothing_is_counted(flow: Flow) -> None:
    with pytest.raises(
        LakeError, match=r"2026-11-01 of tickets is not published: .*Run tickets for that day"
    ) as caught:
        summarise("tickets", DAY, "topic", lake=flow.lake)
    assert not caught.value.retryable
