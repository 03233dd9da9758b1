"""escalating.py on tables alone; whole runs are in tests/steps/planning/retrying/test_escalations.py."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.enrichment.answers.repair import ESCALATED_DEPTH
from include.enrichment.answers.schema.output import read_output
from include.enrichment.answers.table import ANSWERED_SCHEMA, Shape, rows_schema
from include.steps.publishing.checking import CheckedRows
from include.steps.publishing.escalating import write_both

KEY = pa.field("ticket", pa.string(), nullable=False)
SCHEMA = json.dumps(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["topic"],
        "properties": {"topic": {"type": "string"}},
    }
)
#: E1 is the escalated request of Q1, E2 that of Q2.
REPAIRS = pa.table(
    {"request_id": ["Q1", "Q2", "Q3"], "repair_id": ["E1", "E2", "R3"], "depth": [ESCALATED_DEPTH, ESCALATED_DEPTH, 1]}
)


def answers(*lines: tuple[str, str, str]) -> pa.Table:
    """The request, topic and outcome of each."""
    return pa.Table.from_pylist(
        [
            {
                "output": json.dumps({"topic": topic}) if outcome == "succeeded" else None,
                "outcome": outcome,
                "reason": None if outcome == "succeeded" else "bad",
                "_request_id": request_id,
                "_batch_id": "b",
                "_model": "large" if request_id.startswith("E") else "small",
                "_cost_usd": Decimal(1),
            }
            for request_id, topic, outcome in lines
        ],
        ANSWERED_SCHEMA,
    )


def test_the_other_answer_of_a_published_row_is_a_sample_without_cost(tmp_path: Path) -> None:
    schema = rows_schema([KEY])
    names = [name for name in schema.names if name != "params"]
    values = {"ticket": ["A", "B", "C", "D"], "request_id": ["Q1", "Q2", "Q3", "Q4"], "problem": [None] * 4}
    rows = pa.table({name: values[name] for name in names}, pa.schema([schema.field(name) for name in names]))
    answered = answers(
        ("E1", "dear", "succeeded"), ("Q2", "cheap", "succeeded"), ("R3", "ok", "succeeded"), ("Q4", "", "invalid")
    )
    others = answers(("Q1", "better", "succeeded"), ("Q1", "worse", "succeeded"), ("Q3", "old", "succeeded"))
    others = others.append_column("place", pa.array([0, 0, 2], pa.int64()))
    shape = Shape(keys=[KEY], output=read_output(SCHEMA), escalated=True)
    files = write_both(CheckedRows([(rows, answered, others)], None), shape, REPAIRS, folder=tmp_path)
    table = pq.read_table(files.table)
    assert table.select(["ticket", "topic", "_escalated"]).to_pylist() == [
        {"ticket": "A", "topic": "dear", "_escalated": True},
        {"ticket": "B", "topic": "cheap", "_escalated": False},
        {"ticket": "C", "topic": "ok", "_escalated": False},
    ]
    assert files.samples
    (sample,) = pq.read_table(files.samples).to_pylist()
    assert (sample["ticket"], sample["topic"], sample["_escalated"], sample["_model"]) == (
        "A",
        "better",
        False,
        "small",
    )
    assert (sample["_cost_usd"], sample["_outcome"]) == (0, "succeeded")
    assert (files.published, files.rejected_by.total(), files.not_kept) == (3, 1, 0)
    assert (files.escalated, files.beside, files.cost_usd) == (1, 1, Decimal(4))
