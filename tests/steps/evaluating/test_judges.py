"""Judges grade the answers of two variants and compare them, over HTTP, and the evaluation has what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.sources.published_table import PublishedTable
from include.steps.evaluate import evaluate
from include.steps.extract import extract
from tests.fixtures.flow import DAY, Flow, booked, write_pipeline, write_tickets
from tests.fixtures.judges import judge_schema

_TICKETS = """\
source: {connection: warehouse, key: {ticket: string}}
request: {model: claude-haiku-5-5, max_tokens: 200}
variants: {candidate: {model: claude-sonnet-5}}
"""
_GRADER = """\
source: {table: tickets, rename: {_variant: variant}, key: [ticket, variant]}
request: {model: claude-opus-5-5, max_tokens: 200}
"""
_PAIRS = """\
source: {table: tickets, pairs: {baseline: current}, key: [ticket, first, second]}
request: {model: claude-opus-5-5, max_tokens: 200}
"""
_EVALUATION = """\
metrics:
  topic: {grade: {pattern: ^bug$}}
  graded: {judge: grader, field: topic, grade: {points: {good: 1, poor: 0}}}
  preferred: {pairwise: pairs, field: topic}
"""
_COUNT = 40
_TRUTH = {f"No. {number}": "bug" for number in range(_COUNT)} | {"Another": "billing"}
#: The model of one variant is right, the other one half the time. The judges know that all tickets are bugs.
_ANSWERS: list[dict[str, Any]] = [
    {"kind": "accuracy", "field": "topic", "case": "Ticket: (.*)", "truth": _TRUTH, "model": "claude-sonnet-5"},
    {
        "kind": "accuracy",
        "field": "topic",
        "case": "Ticket: (.*)",
        "truth": _TRUTH,
        "model": "claude-haiku-5-5",
        "share": 0.5,
    },
    {
        "kind": "accuracy",
        "field": "grade",
        "case": "<answer>(.*?)</answer>",
        "truth": {"bug": "good", "billing": "poor"},
    },
    {"kind": "preference", "first": "<first>(.*?)</first>", "second": "<second>(.*?)</second>", "better": "bug"},
]


@pytest.fixture
def judged(flow: Flow, tmp_path: Path) -> Flow:
    """Forty tickets of two variants, graded and compared."""
    folder = tmp_path / "pipelines"
    flow.emulator.set_faults(_ANSWERS)
    flow.database = write_tickets(tmp_path / "more.db", [(f"T{number}", f"No. {number}") for number in range(_COUNT)])
    (write_pipeline(folder / "tickets", pipeline_yaml=_TICKETS) / "evaluation.yaml").write_text(_EVALUATION)
    flow.pipeline = load_pipeline(folder / "tickets")
    flow.run_all("main")
    for name, yaml, prompt, schema in (
        ("grader", _GRADER, "{{ topic | enclosed('answer') }}", judge_schema("grade", "good", "poor")),
        (
            "pairs",
            _PAIRS,
            "{{ first_topic | enclosed('first') }}\n{{ second_topic | enclosed('second') }}",
            judge_schema("verdict", "first", "second", "tie"),
        ),
    ):
        written = write_pipeline(folder / name, pipeline_yaml=yaml, user_md=prompt, output_schema_json=schema)
        (written / "extract.sql").unlink()
        judge = load_pipeline(written)
        source = judge.settings.source
        table = PublishedTable(flow.lake, pipeline="tickets", renaming=judge.renaming, pairs=source.pairs)
        run = replace(flow, pipeline=judge, folder=RunFolder(pipeline=name, partition=DAY, run_id="manual__1"))
        extract(judge, run.folder, source=table, lake=flow.lake)
        run.send("main")
        run.publish()
    return flow


def test_judges_find_what_is_true_of_the_answers(judged: Flow, tmp_path: Path) -> None:
    result = evaluate(tmp_path / "pipelines" / "tickets", DAY, lake=judged.lake)
    rows = judged.published().to_pylist()
    right = [row["topic"] == "bug" for row in rows if row["_variant"] == "current"]
    share = sum(right) / _COUNT
    assert 0.2 < share < 0.8
    values = {(one.metric, one.variant): one.value for one in result.metrics}
    assert values == {
        ("topic", "current"): pytest.approx(share),
        ("topic", "candidate"): 1,
        ("graded", "current"): pytest.approx(share),
        ("graded", "candidate"): 1,
        ("preferred", "candidate"): pytest.approx(1 - share / 2),
    }
    books = {line["variant"]: line for line in booked(judged) if line["pipeline"] == "tickets"}
    assert {one.variant: (one.input_tokens, one.output_tokens) for one in result.variants} == {
        name: (line["input_tokens"], line["output_tokens"]) for name, line in books.items()
    }
    (bias,) = result.position_bias
    assert (bias.judge, bias.pairs, bias.disagreements, bias.unscored) == ("pairs", _COUNT, 0, 0)
    (preferred,) = [one for one in result.comparisons if one.metric == "preferred"]
    assert (preferred.wins, preferred.losses, preferred.ties) == (_COUNT - sum(right), 0, sum(right))
