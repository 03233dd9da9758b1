"""The cascade through whole runs: doubtful answers go to the dearer model, which has the last word."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import SpecError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.steps.planning.plan_files import read_plan
from tests.fixtures.flow import DAY, FILES, Flow, booked, write_pipeline, write_tickets
from tests.fixtures.publishing import REJECTS, TABLE, table

SAMPLES = layout.samples("tickets", DAY)
MANY = [(f"N{number:02}", f"Ticket {number}") for number in range(17)]
SMALL, LARGE = "claude-haiku-5-5", "claude-opus-5-5"
WHEN = "topic = 'other'"


def cascade(
    flow: Flow, folder: Path, when: str = WHEN, more: str = "limits: {max_reject_ratio: 1}\n", **files: str
) -> None:
    """The pipeline with this condition, in its next run."""
    number = int(flow.folder.run_id.rpartition("_")[2]) + 1
    flow.folder = flow.run(f"manual__{number}")
    yaml = FILES["pipeline.yaml"].replace(
        "max_tokens: 200", f'max_tokens: 200, escalate: {{to: {LARGE}, when: "{when}"}}'
    )
    folder = folder / flow.folder.run_id / "tickets"
    flow.pipeline = load_pipeline(write_pipeline(folder, pipeline_yaml=f"{yaml}{more}", **files))


@pytest.fixture
def many(flow: Flow) -> Flow:
    write_tickets(flow.database, MANY)
    return flow


def first_answers(flow: Flow) -> dict[str, dict[str, Any]]:
    """The published row of each ticket, without the cascade."""
    flow.run_all("main")
    return {row["ticket"]: row for row in flow.published().to_pylist()}


def test_doubtful_rows_get_the_dearer_answer_the_other_is_a_sample_and_a_second_run_costs_nothing(
    many: Flow, tmp_path: Path
) -> None:
    first = first_answers(many)
    doubtful = {ticket for ticket, row in first.items() if row["topic"] == "other"}
    assert 0 < len(doubtful) < 20
    cascade(many, tmp_path)
    manifest = many.run_all()
    assert many.requests_sent() == 20 + len(doubtful)  # the first answers were paid for before
    rows, samples = {row["ticket"]: row for row in many.published().to_pylist()}, table(many, SAMPLES)
    assert {ticket for ticket, row in rows.items() if row["_escalated"]} == doubtful
    assert {row["_model"] for row in rows.values() if row["_escalated"]} == {LARGE}
    assert {row["_model"] for row in rows.values() if not row["_escalated"]} == {SMALL}
    assert len(rows) == many.published().num_rows == 20
    columns = ["topic", "urgent", "words", "_request_id", "_batch_id", "_model"]
    kept = {row["ticket"]: [row[name] for name in columns] for row in samples.to_pylist()}
    assert kept == {ticket: [first[ticket][name] for name in columns] for ticket in doubtful}
    assert set(samples["_reason"].to_pylist()) == {"escalated: request.escalate.when is true of it"}
    assert (manifest.published, manifest.escalated, manifest.not_kept) == (20, len(doubtful), 0)
    assert manifest.model == f"{SMALL}, {LARGE}"
    published = many.published()
    cascade(many, tmp_path)
    again = many.run_all()
    assert many.requests_sent() == 20 + len(doubtful)
    assert (again.cost_usd, again.escalated) == (Decimal(0), manifest.escalated)
    assert many.published() == published


def test_the_books_have_the_cost_of_each_model_and_the_rows_bear_it_once(many: Flow, tmp_path: Path) -> None:
    cascade(many, tmp_path)
    manifest = many.run_all("main", "retry")
    by_model: Counter[str] = Counter()
    for line in booked(many):
        by_model[line["model"]] += line["cost_usd"]
    assert by_model.keys() == {SMALL, LARGE}
    costs = [cost for key in (TABLE, REJECTS, SAMPLES) for cost in table(many, key)["_cost_usd"].to_pylist()]
    assert sum(costs, Decimal()) == manifest.partition_cost_usd == manifest.cost_usd == by_model.total()
    assert Decimal(many.emulator.bills()["usd"]) == by_model.total()
    plan = read_plan(many.lake, many.folder, "retry", manifest.extracted_at)
    assert plan
    assert plan.estimate
    assert plan.estimate.variants[f"to {LARGE}"].requests == manifest.escalated


def test_an_escalated_request_is_the_same_request_to_the_other_model_in_a_chunk_of_its_own(
    many: Flow, tmp_path: Path
) -> None:
    cascade(many, tmp_path)
    many.extract()
    (main,) = many.plan("main")
    many.load(main)
    (retry,) = many.plan("retry")
    sent, escalated = (
        [json.loads(one) for one in pq.read_table(pa.BufferReader(many.lake.read(key)))["params"].to_pylist()]
        for key in (main, retry)
    )
    assert escalated
    assert all(params["model"] == LARGE and {**params, "model": SMALL} in sent for params in escalated)


def test_repairs_and_escalations_of_a_pass_are_in_chunks_of_one_model_each(many: Flow, tmp_path: Path) -> None:
    cascade(many, tmp_path)
    many.emulator.set_faults([{"kind": "violates_schema", "share": 0.3}])
    many.extract()
    many.send("main")
    chunks = many.plan("retry")
    models = []
    for key in chunks:
        params = pq.read_table(pa.BufferReader(many.lake.read(key)))["params"].to_pylist()
        models.append({json.loads(one)["model"] for one in params})
    assert sorted(models, key=str) == [{SMALL}, {LARGE}]
    many.emulator.set_faults([])
    assert Counter(many.send("retry")).keys() == {"succeeded"}
    assert many.publish().rejected == 0


def test_an_unusable_answer_of_the_dearer_model_leaves_the_first_one(many: Flow, tmp_path: Path) -> None:
    cascade(many, tmp_path)
    many.extract()
    many.send("main")
    many.emulator.set_faults([{"kind": "violates_schema", "share": 1.0}])
    many.send("retry")
    manifest = many.publish()
    assert (manifest.published, manifest.rejected, manifest.escalated) == (20, 0, 0)
    assert set(many.published()["_model"].to_pylist()) == {SMALL}
    assert sum(many.published()["_cost_usd"].to_pylist()) == manifest.cost_usd


def test_an_answer_that_fails_a_check_is_repaired_and_of_two_answers_the_one_that_passes_is_published(
    many: Flow, tmp_path: Path
) -> None:
    checks = "- {name: only_other, field: topic, pattern: '^other$', message: Only other.}\n"
    cascade(many, tmp_path, when="true", checks_yaml=checks)
    many.extract()
    many.send("main")
    usable = many.publish().published
    assert 0 < usable < 20
    chunks = many.plan("retry")
    sent = [len(pq.read_table(pa.BufferReader(many.lake.read(key)), columns=["params"])) for key in chunks]
    assert sorted(sent) == sorted([usable, 20 - usable])
    many.send("retry")
    manifest = many.publish()
    assert set(many.published()["topic"].to_pylist()) == {"other"}
    assert manifest.published + manifest.rejected == 20
    samples = table(many, SAMPLES)
    assert samples.num_rows == len(set(samples["ticket"].to_pylist())) <= usable


def test_a_changed_condition_judges_the_paid_answers_again(many: Flow, tmp_path: Path) -> None:
    cascade(many, tmp_path, when="true")
    assert many.run_all("main", "retry").escalated == 20
    sent = many.requests_sent()
    cascade(many, tmp_path)
    assert 0 < many.run_all("main", "retry").escalated < 20
    assert many.requests_sent() == sent
    cascade(many, tmp_path, when="urgent is null")
    assert many.run_all("main", "retry").escalated == 0


def test_a_budget_that_the_dearer_model_exceeds_leaves_the_first_answers(many: Flow, tmp_path: Path) -> None:
    first_answers(many)
    cascade(many, tmp_path, when="true", more="limits: {budget_usd: 0.000001}\n")
    manifest = many.run_all("main", "retry")
    assert (manifest.published, manifest.escalated, manifest.cost_usd) == (20, 0, Decimal(0))


def test_the_canary_and_a_run_of_the_dearer_model_escalate_nothing(many: Flow, tmp_path: Path) -> None:
    cascade(many, tmp_path, when="true")
    many.extract()
    assert many.send("canary") == {"succeeded": 5}
    cascade(many, tmp_path, when="true")
    yaml = (tmp_path / many.folder.run_id / "tickets" / "pipeline.yaml").read_text()
    (tmp_path / many.folder.run_id / "tickets" / "pipeline.yaml").write_text(
        yaml.replace("max_tokens", f"other_models: [{LARGE}], max_tokens")
    )
    many.pipeline = load_pipeline(tmp_path / many.folder.run_id / "tickets").for_run(RunOptions(model=LARGE))
    assert many.run_all("main", "retry").escalated == 0
    assert "_escalated" not in many.published().column_names


def test_a_condition_that_fails_on_an_answer_names_its_line(many: Flow, tmp_path: Path) -> None:
    cascade(many, tmp_path, when="cast(topic as integer) > 1")
    many.extract()
    many.send("main")
    with pytest.raises(SpecError, match=r"tickets/pipeline.yaml:2: request.escalate.when: fails on an answer: .*topic"):
        many.plan("retry")


def test_an_evaluation_compares_the_small_model_the_cascade_and_the_large_one(many: Flow, tmp_path: Path) -> None:
    variants = f"""
limits: {{canary_rows: 0}}
variants:
  small: {{}}
  cascade: {{escalate: {{to: {LARGE}, when: "{WHEN}"}}}}
  large: {{model: {LARGE}}}
"""
    many.folder = many.run("manual__2")
    yaml = FILES["pipeline.yaml"] + variants
    many.pipeline = load_pipeline(write_pipeline(tmp_path / "evaluation" / "tickets", pipeline_yaml=yaml))
    manifest = many.run_all("main", "retry")
    rows = many.published().to_pylist()
    of = {name: [row for row in rows if row["_variant"] == name] for name in ("small", "cascade", "large")}
    assert [len(found) for found in of.values()] == [20, 20, 20]
    escalated = {name: sum(row["_escalated"] for row in found) for name, found in of.items()}
    assert escalated == {"small": 0, "cascade": manifest.escalated, "large": 0}
    assert 0 < manifest.escalated < 20
    cost = {name: sum(row["_cost_usd"] for row in found) for name, found in of.items()}
    assert 0 < cost["small"] < cost["cascade"] < cost["small"] + cost["large"]
    assert sum(cost.values()) == manifest.cost_usd
    sent = many.requests_sent()
    many.folder = many.run("manual__3")
    assert many.run_all("main", "retry").cost_usd == 0
    assert many.requests_sent() == sent == 60 + manifest.escalated
