"""keeping.py: of several candidates for a row the table keeps the best, and the others are samples."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.best import Best
from include.enrichment.answers.manifest import Manifest
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.answers.table import ANSWERED_SCHEMA, Shape, rows_batch, rows_schema
from include.enrichment.errors import LoadError, SpecError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.gateways.lake import Conflict, Lake
from include.steps.publish import publish
from include.steps.publishing import keeping
from include.steps.publishing.keeping import keep_best
from include.steps.publishing.table_files import write_tables
from tests.fixtures.flow import DAY, FILES, Flow, without_rows, write_pipeline, write_tickets
from tests.fixtures.publishing import MANIFEST, REJECTS, TABLE, table

SAMPLES = layout.samples("tickets", DAY)
#: The longest topic wins: `billing`, then `other`, then `bug`.
LONGEST = "len(topic)"
MANY = [(f"N{number:02}", f"Ticket {number}") for number in range(17)]
ORIGIN = ["_request_id", "_batch_id", "_model", "_cost_usd"]


def next_run(flow: Flow, folder: Path, best: str | None = LONGEST, more: str = "samples: 2\n", **files: str) -> None:
    """The next run of the day, with two answers for each row, of which the best is kept; None: both are published."""
    number = int(flow.folder.run_id.rpartition("_")[2]) + 1
    flow.folder = flow.run(f"manual__{number}")
    keep = f"keep:\n  best: {best}\n" if best else ""
    yaml = f"{FILES['pipeline.yaml']}limits: {{max_reject_ratio: 1}}\n{more}{keep}"
    files = {"pipeline_yaml": yaml} | files
    flow.pipeline = load_pipeline(write_pipeline(folder / flow.folder.run_id / "tickets", **files))


def run_both(flow: Flow, folder: Path) -> list[dict[str, Any]]:
    """Publish both answers of each of twenty rows."""
    write_tickets(flow.database, MANY)
    next_run(flow, folder, best=None)
    flow.run_all("main")
    both: list[dict[str, Any]] = flow.published().to_pylist()
    return both


def without_cost(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "_cost_usd"} for row in rows]


def chosen(both: list[dict[str, Any]], score: Any) -> list[dict[str, Any]]:
    """The better one of each pair, the first of two that are equal."""
    pairs = zip(both[::2], both[1::2], strict=True)
    return [one if score(one) >= score(other) else other for one, other in pairs]


def test_the_candidate_with_the_highest_score_is_published_and_the_other_becomes_a_sample(
    flow: Flow, tmp_path: Path
) -> None:
    both, sent = run_both(flow, tmp_path), flow.requests_sent()
    next_run(flow, tmp_path)
    manifest = flow.run_all("main")
    assert flow.requests_sent() == sent == 40
    published, samples = flow.published(), table(flow, SAMPLES)
    best = chosen(both, lambda row: len(row["topic"]))
    assert 0 < sum(row["_sample"] == 2 for row in best) < 20
    assert sum(row["topic"] == other["topic"] for row, other in zip(both[::2], both[1::2], strict=True)) > 0
    assert published.drop_columns("_score").to_pylist() == best
    assert published["_score"].to_pylist() == [float(len(row["topic"])) for row in best]
    assert published.column_names == ["ticket", "_sample", "topic", "urgent", "words", "_score", *ORIGIN]
    assert samples.column_names == [*published.column_names, "_outcome", "_reason"]
    assert samples.drop_columns(["_score", "_outcome", "_reason"]).to_pylist() == [
        row for row in both if row not in best
    ]
    assert samples["_score"].to_pylist() == [float(len(topic)) for topic in samples["topic"].to_pylist()]
    assert set(samples["_outcome"].to_pylist()) == {"succeeded"}
    assert flow.rejected().num_rows == 0
    assert (manifest.rows, manifest.published, manifest.rejected, manifest.not_kept) == (40, 20, 0, 20)
    assert manifest.samples == flow.lake.locate(SAMPLES)
    assert manifest.columns["_score"] == "double"
    assert list(manifest.sha256) == ["samples", "rejects", "table"]


def test_cost_and_counts_reconcile_over_table_rejects_and_samples(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    next_run(flow, tmp_path)
    flow.emulator.set_faults([{"kind": "violates_schema", "share": 0.5}])
    manifest = flow.run_all("main")
    parts = [table(flow, key) for key in (TABLE, REJECTS, SAMPLES)]
    assert [part.num_rows for part in parts] == [manifest.published, manifest.rejected, manifest.not_kept]
    assert all(part.num_rows for part in parts)
    assert sum(part.num_rows for part in parts) == manifest.rows == 40
    costs = [cost for part in parts for cost in part["_cost_usd"].to_pylist()]
    assert sum(costs, Decimal()) == manifest.partition_cost_usd == manifest.cost_usd
    keys = [(row["ticket"], row["_sample"]) for part in parts for row in part.select(["ticket", "_sample"]).to_pylist()]
    assert len(set(keys)) == 40


def test_only_a_row_without_any_usable_candidate_is_a_reject(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    next_run(flow, tmp_path)
    flow.emulator.set_faults([{"kind": "violates_schema", "share": 0.5}])
    manifest = flow.run_all("main")
    published, rejects, samples = flow.published(), flow.rejected(), table(flow, SAMPLES).to_pylist()
    kept = set(published["ticket"].to_pylist())
    assert len(kept) == published.num_rows
    assert kept.isdisjoint(rejects["ticket"].to_pylist())
    assert rejects.num_rows == 2 * len(set(rejects["ticket"].to_pylist()))
    unusable = [row for row in samples if row["_outcome"] != "succeeded"]
    assert unusable
    for row in unusable:
        assert (row["topic"], row["urgent"], row["words"], row["_score"]) == (None, None, None, None)
        assert row["_outcome"] == "invalid"
        assert row["_reason"]
        assert row["_cost_usd"] > 0
        assert row["_batch_id"] in manifest.batches
    assert {row["ticket"] for row in samples} <= kept
    assert manifest.rejected_by == {"invalid": rejects.num_rows}


def test_all_three_are_in_source_order_however_many_rows_are_read_at_once(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tickets(flow.database, MANY)
    next_run(flow, tmp_path)
    flow.emulator.set_faults([{"kind": "violates_schema", "share": 0.5}])
    flow.run_all("main")
    whole = [table(flow, key) for key in (TABLE, REJECTS, SAMPLES)]
    order = {name: place for place, name in enumerate(["T1", "T2", "T3", *(name for name, _ in MANY)])}
    for part in whole:
        places = [(order[row["ticket"]], row["_sample"]) for row in part.select(["ticket", "_sample"]).to_pylist()]
        assert places == sorted(places)
    monkeypatch.setattr(keeping, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(keeping, "_CANDIDATES_AT_ONCE", 7)
    flow.publish()
    assert [table(flow, key) for key in (TABLE, REJECTS, SAMPLES)] == whole


@pytest.mark.parametrize("nothing", ["null", "cast('nan' as double)"])
def test_a_candidate_without_a_score_is_the_worst(flow: Flow, tmp_path: Path, nothing: str) -> None:
    both = run_both(flow, tmp_path)
    next_run(flow, tmp_path, best=f"case when topic <> 'billing' then -len(topic) else {nothing} end")
    flow.run_all("main")
    scores = {"billing": -99, "other": -5, "bug": -3}
    assert without_cost(flow.published().drop_columns("_score").to_pylist()) == without_cost(
        chosen(both, lambda row: scores[row["topic"]])
    )
    without = flow.published().filter(pc.equal(flow.published()["topic"], "billing"))
    assert without.num_rows == without["_score"].null_count


def test_a_condition_is_a_score_too(flow: Flow, tmp_path: Path) -> None:
    both = run_both(flow, tmp_path)
    next_run(flow, tmp_path, best="urgent")
    flow.run_all("main")
    assert flow.published().drop_columns("_score").to_pylist() == chosen(both, lambda row: row["urgent"])


def test_fewest_warnings_win_and_the_warnings_of_the_published_rows_are_counted(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, MANY)
    checks = "- {name: only_billing, field: topic, pattern: '^billing$', warn: true}\n"
    next_run(flow, tmp_path, best="-len(_warnings)", checks_yaml=checks)
    manifest = flow.run_all("main")
    published, samples = flow.published(), table(flow, SAMPLES)
    assert published.column_names[-6:-4] == ["_warnings", "_score"]
    warned = [row["ticket"] for row in published.to_pylist() if row["_warnings"]]
    assert manifest.warned_checks == {"only_billing": len(warned)}
    assert 0 < len(warned) < sum(map(bool, [*published["_warnings"].to_pylist(), *samples["_warnings"].to_pylist()]))
    assert set(samples.filter(pc.is_in(samples["ticket"], pa.array(warned)))["topic"].to_pylist()) <= {
        "bug",
        "other",
    }


def test_one_value_of_for_each_can_be_kept_for_each_row(flow: Flow, tmp_path: Path) -> None:
    yaml = f"{FILES['pipeline.yaml']}for_each: {{tone: [calm, loud, odd]}}\nkeep: {{best: {LONGEST}, among: tone}}\n"
    next_run(flow, tmp_path, pipeline_yaml=yaml, user_md="{{ body }} {{ tone }}")
    manifest = flow.run_all("main")
    assert flow.published()["ticket"].to_pylist() == ["T1", "T2", "T3"]
    assert (manifest.published, manifest.not_kept) == (3, 6)


def test_texts_are_candidates_too(flow: Flow, tmp_path: Path) -> None:
    next_run(flow, tmp_path, best="len(ticket)")
    (folder := tmp_path / flow.folder.run_id / "tickets").joinpath("output.schema.json").unlink()
    settings = (folder / "pipeline.yaml").read_text().replace("len(ticket)", "len(text)")
    (folder / "pipeline.yaml").write_text(settings)
    flow.pipeline = load_pipeline(folder)
    assert flow.run_all("main").published == 3
    lost = dict(zip(*(table(flow, SAMPLES)[name].to_pylist() for name in ("ticket", "text")), strict=True))
    for row in flow.published().to_pylist():
        assert row["_score"] == len(row["text"]) >= len(lost[row["ticket"]])


def test_keys_of_any_type_and_columns_of_any_name_are_told_apart(tmp_path: Path) -> None:
    output = OutputSchema(
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {"reason": {"type": "string"}, "outcome": {"type": "integer"}},
        }
    )
    kinds = {'a "b"': pa.uuid(), "select": pa.decimal128(5, 2), "day": pa.timestamp("us", "UTC")}
    shape = Shape(keys=[pa.field(name, kind, nullable=False) for name, kind in kinds.items()], output=output)
    ids = [UUID(int=number) for number in (1, 1, 2, 2)]
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 1, 2)]
    answers = [{"outcome": "succeeded", "output": f'{{"reason": "r", "outcome": {n}}}'} for n in (5, 6)]
    lines = [*answers, {"outcome": "invalid", "reason": "bad"}, answers[0]]
    rows = rows_batch(
        [
            {'a "b"': one, "select": Decimal("1.50"), "day": day, "request_id": "r", "params": "{}", "problem": None}
            for one, day in zip(ids, days, strict=True)
        ],
        rows_schema(shape.keys),
    )
    answered = pa.Table.from_pylist(lines, schema=ANSWERED_SCHEMA)
    joined = [(pa.Table.from_batches([rows]).drop_columns("params"), answered)]
    files = write_tables(joined, shape, folder=tmp_path)
    kept = keep_best(files, shape, Best(text="outcome", among="day", location=""), folder=tmp_path)
    assert kept.samples
    table, rejects, samples = (pq.read_table(path) for path in (kept.table, kept.rejects, kept.samples))
    assert table.select(['a "b"', "day", "outcome", "_score"]).to_pylist() == [
        {'a "b"': ids[1], "day": days[1], "outcome": 6, "_score": 6.0},
        {'a "b"': ids[3], "day": days[3], "outcome": 5, "_score": 5.0},
    ]
    assert rejects.num_rows == 0
    assert samples.select(["day", "outcome", "reason", "_outcome", "_reason"]).to_pylist() == [
        {"day": days[0], "outcome": 5, "reason": "r", "_outcome": "succeeded", "_reason": None},
        {"day": days[2], "outcome": None, "reason": None, "_outcome": "invalid", "_reason": "bad"},
    ]
    assert table.schema.field('a "b"').type == pa.uuid()


def test_an_expression_that_fails_on_an_answer_names_its_line_and_costs_nothing(flow: Flow, tmp_path: Path) -> None:
    next_run(flow, tmp_path, best="cast(topic as integer)")
    with pytest.raises(SpecError, match=r"tickets/pipeline.yaml:6: keep.best: fails on an answer: Could not convert"):
        flow.run_all("main")
    assert not any(flow.lake.exists(key) for key in (TABLE, REJECTS, SAMPLES, MANIFEST))
    sent = flow.requests_sent()
    next_run(flow, tmp_path, best="coalesce(try_cast(topic as integer), len(topic))")
    assert flow.run_all("main").published == 3
    assert flow.requests_sent() == sent


def test_an_expression_that_does_not_fit_the_rows_is_found_before_anything_is_sent(flow: Flow, tmp_path: Path) -> None:
    next_run(flow, tmp_path, best="ticket || 'x'")
    with pytest.raises(SpecError, match=r"keep.best: is VARCHAR, not a number or a boolean.* Nothing was sent"):
        flow.extract()
    assert not flow.lake.exists(flow.folder.rows)


def test_memory_that_runs_out_is_an_error_that_can_be_tried_again(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_run(flow, tmp_path)
    monkeypatch.setattr(keeping, "_MEMORY", "1kB")
    with pytest.raises(LoadError, match=r"The best of 6 candidates could not be chosen: Out of Memory") as caught:
        flow.run_all("main")
    assert caught.value.retryable
    assert not any(flow.lake.exists(key) for key in (TABLE, REJECTS, SAMPLES, MANIFEST))


def test_a_day_without_rows_has_an_empty_table_with_a_score(flow: Flow, tmp_path: Path) -> None:
    next_run(flow, tmp_path)
    without_rows(flow, tmp_path)
    manifest = flow.run_all("main")
    assert (manifest.rows, flow.published().num_rows, table(flow, SAMPLES).num_rows) == (0, 0, 0)
    assert "_score" in flow.published().column_names


def test_a_trial_keeps_the_best_in_the_runs_folder(flow: Flow, tmp_path: Path) -> None:
    next_run(flow, tmp_path)
    flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
    manifest = flow.run_all("main")
    assert (manifest.published, manifest.not_kept) == (2, 2)
    assert manifest.samples == flow.lake.locate(flow.folder.samples)
    assert flow.lake.exists(flow.folder.samples)
    assert not flow.lake.exists(SAMPLES)


class TestAPipelineThatNoLongerKeepsTheBest:
    @pytest.fixture
    def kept(self, flow: Flow, tmp_path: Path) -> Flow:
        """The day was published with samples. The next run publishes all answers."""
        next_run(flow, tmp_path)
        flow.run_all("main")
        next_run(flow, tmp_path, best=None)
        flow.extract()
        flow.send("main")
        return flow

    def test_deletes_the_samples(self, kept: Flow) -> None:
        manifest = kept.publish()
        assert (manifest.published, manifest.not_kept, manifest.samples) == (6, 0, None)
        assert not kept.lake.exists(SAMPLES)

    def test_has_deleted_them_before_its_manifest_is_there(self, kept: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(Lake, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            kept.publish()
        assert not kept.lake.exists(SAMPLES)
        assert json.loads(kept.lake.read(MANIFEST))["samples"]
        monkeypatch.undo()
        assert kept.publish().samples is None

    def test_deletes_samples_that_a_run_has_left_without_a_manifest(self, kept: Flow) -> None:
        """A run that keeps the best may have been killed between its samples and its manifest."""
        kept.publish()
        kept.lake.write(SAMPLES, b"left")
        assert kept.publish().samples is None
        assert not kept.lake.exists(SAMPLES)


def test_samples_of_an_older_run_that_published_at_the_same_moment_are_replaced_by_those_of_the_newer(
    flow: Flow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_run(flow, tmp_path)
    flow.run_all("main")
    old = flow.folder
    next_run(flow, tmp_path, best=None)
    flow.extract()
    flow.send("main")
    newer, write_file = flow.folder, Lake.write_file

    def meanwhile(self: Lake, key: str, path: Path) -> None:
        """The newer run publishes before the older one writes its samples."""
        if key == SAMPLES:
            monkeypatch.setattr(Lake, "write_file", write_file)
            publish(newer, lake=flow.lake)
        write_file(self, key, path)

    monkeypatch.setattr(Lake, "write_file", meanwhile)
    with pytest.raises(Conflict):
        publish(old, lake=flow.lake)
    assert flow.lake.exists(SAMPLES)
    assert publish(old, lake=flow.lake).run_id == newer.run_id
    assert not flow.lake.exists(SAMPLES)
    assert flow.published().num_rows == 6


def test_too_many_rejects_leave_rejects_and_samples_in_the_runs_folder_and_only_the_rejects_are_asked_again(
    flow: Flow, tmp_path: Path
) -> None:
    write_tickets(flow.database, MANY)
    yaml = f"{FILES['pipeline.yaml']}samples: 2\nkeep: {{best: {LONGEST}}}\n"
    next_run(flow, tmp_path, pipeline_yaml=yaml)
    flow.emulator.set_faults([{"kind": "expired", "share": 0.5}])
    with pytest.raises(LoadError, match=r"of 40 rows .* were rejected"):
        flow.run_all("main")
    flow.emulator.set_faults([])
    rejects, samples = table(flow, flow.folder.rejects), table(flow, flow.folder.samples)
    unusable = samples.filter(pc.equal(samples["_outcome"], "expired")).num_rows
    assert unusable
    sent = flow.requests_sent()
    next_run(flow, tmp_path, pipeline_yaml=yaml)
    flow.pipeline = flow.pipeline.for_run(RunOptions(only_rejects=True))
    manifest: Manifest = flow.run_all("main", "retry")
    assert flow.requests_sent() == sent + rejects.num_rows
    assert (manifest.published, manifest.rejected, manifest.not_kept) == (20, 0, 20)
