from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost import prices
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import LakeError, LoadError, SetupError
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Conflict, Lake
from include.steps import publish as steps
from include.steps.extract import extract
from include.steps.plan import plan
from include.steps.publish import publish
from include.steps.publishing import joining
from tests.fixtures.disk import files_of_at_most
from tests.fixtures.flow import DAY, Flow, booked, with_min_rows, without_rows, write_pipeline, write_tickets
from tests.fixtures.lake import delete

TABLE, REJECTS = layout.table("tickets", DAY), layout.rejects("tickets", DAY)
MANIFEST = layout.manifest("tickets", DAY)
LENIENT = (
    "source: {connection: w, key: {ticket: string}}\n"
    "request: {model: claude-haiku-5-5, max_tokens: 200}\nlimits: {max_reject_ratio: 1, batch_requests: 2}\n"
)


def run_all(flow: Flow, faults: Sequence[dict[str, Any]] = ()) -> Manifest:
    flow.emulator.set_faults(faults)
    return flow.run_all("main")


def table(flow: Flow, key: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(flow.lake.read(key)))


def lenient(flow: Flow, tmp_path: Path, **files: str) -> None:
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "lenient" / "tickets", pipeline_yaml=LENIENT, **files))


def test_every_row_is_published_with_its_key_first_and_typed_columns(flow: Flow) -> None:
    manifest = run_all(flow)
    published = table(flow, TABLE)
    assert published["ticket"].to_pylist() == ["T1", "T2", "T3"]
    assert {field.name: str(field.type) for field in published.schema} == {
        "ticket": "string",
        "topic": "string",
        "urgent": "bool",
        "words": "list<element: string>",
        "_request_id": "string",
        "_batch_id": "string",
        "_model": "string",
        "_cost_usd": "decimal128(18, 12)",
    }
    assert (manifest.rows, manifest.requests, manifest.published, manifest.rejected) == (3, 3, 3, 0)
    stored = Manifest.model_validate_json(flow.lake.read(layout.manifest("tickets", DAY)))
    assert stored == manifest


def test_the_object_opens_in_pandas_and_duckdb_with_its_types(flow: Flow, tmp_path: Path) -> None:
    run_all(flow)
    data = flow.lake.read(TABLE)
    frame = pd.read_parquet(io.BytesIO(data))
    assert frame["urgent"].dtype == bool
    (path := tmp_path / "data.parquet").write_bytes(data)
    described = duckdb.execute("describe select * from read_parquet(?)", [str(path)]).fetchall()
    assert [(name, kind) for name, kind, *_ in described][:4] == [
        ("ticket", "VARCHAR"),
        ("topic", "VARCHAR"),
        ("urgent", "BOOLEAN"),
        ("words", "VARCHAR[]"),
    ]


def test_an_empty_partition_is_an_empty_object_with_the_same_columns(flow: Flow, tmp_path: Path) -> None:
    run_all(flow)
    full = table(flow, TABLE).schema
    flow.lake = Lake.in_folder(tmp_path / "another lake")
    without_rows(flow, tmp_path)
    flow.folder = flow.run("manual__2")
    assert run_all(flow).rows == 0
    assert table(flow, TABLE).schema.equals(full)
    assert table(flow, REJECTS).num_rows == 0


def test_a_source_that_has_lost_all_its_rows_does_not_empty_the_table(flow: Flow, tmp_path: Path) -> None:
    run_all(flow)
    before = flow.lake.read(TABLE)
    with_min_rows(flow, 0)
    flow.database = write_tickets(tmp_path / "empty.db", [])
    flow.folder = flow.run("manual__2")
    with pytest.raises(LoadError, match=r"no rows for partition 2026-11-01, of which run manual__1 .* 3\..*delete"):
        run_all(flow)
    assert flow.lake.read(TABLE) == before


def test_a_run_that_was_extracted_anew_publishes_what_it_holds_now(flow: Flow) -> None:
    flow.extract()
    flow.plan()
    write_tickets(flow.database, [("T4", "Late")])
    assert run_all(flow).published == 4
    assert flow.requests_sent() == 4


def test_an_older_extract_does_not_replace_a_newer_one(flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    run_all(flow)
    write_tickets(flow.database, [("T4", "New")])
    old, flow.folder = flow.folder, flow.run("manual__2")
    newer = run_all(flow)
    assert publish(old, lake=flow.lake) == newer
    assert table(flow, TABLE).num_rows == 4
    assert "was published by run manual__2" in caplog.text


def test_of_two_runs_that_publish_at_once_the_last_word_is_one_runs(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_all(flow)
    flow.folder = flow.run("manual__2")
    run_all(flow)
    write_file = Lake.write_file

    def meanwhile(self: Lake, key: str, path: Path) -> None:
        """Another run publishes between this one's two objects."""
        write_file(self, key, path)
        if key == REJECTS:
            monkeypatch.setattr(Lake, "write_file", write_file)
            other = flow.run("manual__3")
            extract(flow.pipeline, other, warehouse=flow.warehouse, lake=flow.lake)
            plan(other, pass_name="main", lake=flow.lake)
            publish(other, lake=flow.lake)

    monkeypatch.setattr(Lake, "write_file", meanwhile)
    with pytest.raises(Conflict):
        publish(flow.folder, lake=flow.lake)
    assert publish(flow.folder, lake=flow.lake).run_id == "manual__3"


def test_the_manifest_tells_what_an_earlier_run_has_paid_for(flow: Flow) -> None:
    first = run_all(flow)
    assert (len(first.batches), first.reused) == (1, [])
    flow.folder = flow.run("manual__2")
    second = run_all(flow)
    assert second.reused == second.batches == first.batches


def test_a_row_without_an_answer_is_never_published_around(flow: Flow, tmp_path: Path) -> None:
    lenient(flow, tmp_path)
    run_all(flow)
    stale = [layout.results("tickets", batch["id"]) for batch in flow.emulator.batches_made()]
    empty = pq.read_table(pa.BufferReader(flow.lake.read(stale[0]))).slice(0, 0)
    pq.write_table(empty, path := tmp_path / "empty.parquet")
    flow.lake.write_file(stale[0], path)
    with pytest.raises(
        LoadError, match=r"2 of 3 requests of partition 2026-11-01 have no outcome.*Clear the first `plan`"
    ):
        publish(flow.folder, lake=flow.lake)


@pytest.mark.parametrize(
    "fault", [{"kind": "expired"}, {"kind": "errored", "error_type": "overloaded_error"}, {"kind": "canceled"}]
)
def test_rejects_that_were_not_billed_are_told_with_the_way_and_about_what_it_costs(
    flow: Flow, fault: dict[str, Any]
) -> None:
    with pytest.raises(LoadError) as caught:
        run_all(flow, [{**fault, "match": "invoice"}])
    answered = format_usd(sum(line["cost_usd"] for line in booked(flow)) / 2)
    about = f"about {answered}" if answered.startswith("$") else answered
    assert f"`only_rejects`; make run: ONLY_REJECTS=1): it sends 1 request and nothing else, for {about}." in str(
        caught.value
    )
    flow.emulator.set_faults([])
    assert flow.send("main") == {"succeeded": 1}


def test_a_share_of_rejects_that_is_just_allowed_is_allowed(flow: Flow, tmp_path: Path) -> None:
    yaml = LENIENT.replace("max_reject_ratio: 1", "max_reject_ratio: 0.29").replace(
        "batch_requests: 2", "batch_requests: 99"
    )
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "exact" / "tickets", pipeline_yaml=yaml))
    write_tickets(flow.database, [(f"N{n}", f"{'BAD' if n < 29 else 'good'} {n}") for n in range(97)])
    assert run_all(flow, [{"kind": "refusal", "match": "BAD"}]).rejected == 29


@pytest.mark.parametrize("name", ["pipeline_json", "extract_json"])
@pytest.mark.parametrize("damage", [b"", b'{"version": 0}', None])
def test_a_run_whose_files_are_damaged_says_which_task_to_clear(flow: Flow, name: str, damage: bytes | None) -> None:
    run_all(flow)
    key = getattr(flow.folder, name)
    if damage is None:
        Path(flow.lake.locate(key)).unlink()
    else:
        flow.lake.write(key, damage)
    with pytest.raises(LakeError, match="Clear the run's `extract`"):
        publish(flow.folder, lake=flow.lake)


def test_rows_and_rejects_add_up_whatever_becomes_of_the_requests(flow: Flow, tmp_path: Path) -> None:
    lenient(flow, tmp_path)
    write_tickets(flow.database, [(f"N{n}", f"Ticket {n % 40}") for n in range(80)])
    write_tickets(flow.database, [("big", "x" * 33_000_000)])
    manifest = run_all(
        flow,
        [{"kind": kind, "share": 0.15} for kind in ("errored", "expired", "canceled", "invalid_json", "refusal")],
    )
    published, rejected = table(flow, TABLE), table(flow, REJECTS)
    keys = published["ticket"].to_pylist() + rejected["ticket"].to_pylist()
    assert sorted(keys) == sorted(["T1", "T2", "T3", "big", *(f"N{n}" for n in range(80))])
    assert published.num_rows > 0
    assert {"errored", "expired", "canceled", "invalid"} == set(manifest.rejected_by)
    assert rejected["reason"].null_count == 0
    reasons = dict(zip(rejected["ticket"].to_pylist(), rejected["reason"].to_pylist(), strict=True))
    assert "not sent: it renders to 33," in reasons["big"]


def test_too_many_rejects_leave_the_partition_as_it_was(flow: Flow) -> None:
    run_all(flow)
    before = {key: flow.lake.read(key) for key in (TABLE, REJECTS, layout.manifest("tickets", DAY))}
    write_tickets(flow.database, [("T4", "New")])
    flow.folder = flow.run("manual__2")
    with pytest.raises(
        LoadError, match=r"(?s)1 of 4 rows .* was rejected \(1 invalid\).*allows.*Most common: not JSON"
    ) as caught:
        run_all(flow, [{"kind": "invalid_json", "share": 1.0}])
    assert {key: flow.lake.read(key) for key in before} == before
    assert table(flow, flow.folder.rejects).num_rows == 1
    assert flow.folder.rejects in str(caught.value)


def test_a_second_run_of_an_unchanged_partition_sends_nothing_and_publishes_the_same_bytes(flow: Flow) -> None:
    run_all(flow)
    before = flow.lake.read(TABLE)
    flow.folder = flow.run("manual__2")
    run_all(flow)
    assert flow.lake.read(TABLE) == before
    assert len(flow.emulator.creates()) == 1


def test_duplicate_rows_share_an_answer(flow: Flow) -> None:
    write_tickets(flow.database, [("T4", "Hello")])
    manifest = run_all(flow)
    assert (manifest.rows, manifest.requests) == (4, 3)
    ids = dict(zip(*(table(flow, TABLE)[name].to_pylist() for name in ("ticket", "_request_id")), strict=True))
    assert ids["T3"] == ids["T4"]


def test_a_chunk_without_a_batch_is_not_published_around(flow: Flow) -> None:
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    plan(flow.folder, pass_name="main", lake=flow.lake)
    with pytest.raises(LoadError, match=r"no batch in the ledger.*Clear its `submit`"):
        publish(flow.folder, lake=flow.lake)
    assert not flow.lake.exists(TABLE)


@pytest.mark.parametrize(
    ("select", "kind"),
    [
        ("7 as id", "int64"),
        ("'2026-11-01' as id", "string"),
    ],
)
def test_a_key_takes_its_type_from_the_rows(flow: Flow, tmp_path: Path, select: str, kind: str) -> None:
    flow.pipeline = load_pipeline(
        write_pipeline(
            tmp_path / "typed" / "tickets",
            pipeline_yaml="source: {connection: w, key: [id]}\nrequest: {model: claude-haiku-5-5, max_tokens: 200}\n",
            extract_sql=f"select {select}, 'x' as body where :partition_start < :partition_end",
        )
    )
    run_all(flow)
    assert str(table(flow, TABLE).schema.field("id").type) == kind


def test_a_second_run_of_a_published_partition_sends_nothing_and_publishes_the_same_bytes(flow: Flow) -> None:
    flow.emulator.set_faults(
        [{"kind": "violates_schema", "share": 0.3, "times": 2}, {"kind": "expired", "share": 0.3, "times": 2}]
    )
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(47)])
    flow.run_all()
    before = flow.lake.read(TABLE)
    made = len(flow.emulator.batches_made())
    flow.folder = flow.run("manual__2")
    manifest = flow.run_all()
    assert len(flow.emulator.batches_made()) == made
    assert flow.lake.read(TABLE) == before
    assert manifest.reused == manifest.batches
    assert (manifest.published, manifest.rejected) == (50, 0)


def test_after_three_rows_changed_three_requests_are_sent(flow: Flow) -> None:
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(47)])
    flow.run_all()
    with closing(sqlite3.connect(flow.database)) as connection, connection:
        connection.execute("update tickets set body = body || ' changed' where ticket in ('N1', 'N2', 'N3')")
    flow.folder = flow.run("manual__2")
    assert flow.run_all().published == 50
    assert flow.requests_sent() == 53


def test_of_a_batch_that_expired_only_the_unfinished_rows_are_sent_again(flow: Flow) -> None:
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(97)])
    flow.emulator.set_faults(
        [{"kind": "duration", "seconds": 90_000, "times": 1}, {"kind": "unfinished", "share": 0.3, "times": 1}]
    )
    flow.extract()
    (chunk,) = flow.plan()
    flow.submit(chunk)
    flow.emulator.advance_clock(86_500)
    expired = flow.load(chunk)["expired"]
    assert 15 < expired < 45
    assert flow.send("retry") == {"succeeded": expired}
    assert (flow.publish().published, flow.requests_sent()) == (100, 100 + expired)


def test_a_repaired_row_is_published_with_the_batch_that_repaired_it(flow: Flow) -> None:
    flow.extract()
    flow.emulator.set_faults([{"kind": "violates_schema", "times": 1}])
    flow.send()
    flow.send("retry")
    manifest = flow.publish()
    _, repairing = (batch["id"] for batch in flow.emulator.batches_made())
    assert set(flow.published()["_batch_id"].to_pylist()) == {repairing}
    assert manifest.batches == [repairing]


def test_what_stays_rejected_has_outcome_reason_text_batch_and_cost(flow: Flow, tmp_path: Path) -> None:
    lenient(flow, tmp_path)
    flow.extract()
    flow.emulator.set_faults(
        [
            {"kind": "errored", "match": "crashes", "error_type": "invalid_request_error", "message": "too long"},
            {"kind": "violates_schema", "match": "invoice"},
        ]
    )
    for pass_name in ("main", "retry"):
        flow.send(pass_name)
    flow.publish()
    invalid, errored = sorted(flow.rejected().to_pylist(), key=lambda line: str(line["ticket"]))
    assert (invalid["ticket"], invalid["outcome"]) == ("T1", "invalid")
    assert invalid["text"] is not None
    assert invalid["_cost_usd"] > 0
    assert (errored["ticket"], errored["outcome"], errored["_cost_usd"]) == ("T2", "errored", 0)
    assert errored["reason"] == "invalid_request_error: too long"
    last = [batch["id"] for batch in flow.emulator.batches_made()][-1]
    assert (invalid["_batch_id"] == last) is True


def test_rejects_within_the_ratio_are_published_with_a_warning(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lenient(flow, tmp_path)
    run_all(flow, [{"kind": "refusal", "match": "crashes"}])
    (warning,) = [record for record in caplog.records if record.name == steps.__name__]
    assert warning.levelname == "WARNING"
    lines = warning.getMessage().splitlines()
    assert lines[1:5] == [
        "3 rows read",
        "2 published",
        "1 rejected: 1 invalid",
        "  T2: invalid, refused: general_harms: simulated refusal",
    ]
    assert "simulated" in lines[5]


def test_each_sample_is_a_row_of_its_own(flow: Flow, tmp_path: Path) -> None:
    yaml = LENIENT.replace("limits: {", "samples: 3\nlimits: {").replace("batch_requests: 2", "batch_requests: 99")
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "samples" / "tickets", pipeline_yaml=yaml))
    manifest = flow.run_all()
    assert (manifest.rows, manifest.requests, manifest.published) == (9, 9, 9)
    keys = flow.published().select(["ticket", "_sample"]).to_pylist()
    assert keys[:4] == [{"ticket": "T1", "_sample": n} for n in (1, 2, 3)] + [{"ticket": "T2", "_sample": 1}]
    assert len({line["_request_id"] for line in flow.published().to_pylist()}) == 9


def test_a_chunk_that_was_never_submitted_is_not_published_around(flow: Flow) -> None:
    flow.extract()
    flow.plan()
    with pytest.raises(LoadError, match="has no batch in the ledger"):
        flow.publish()


def test_an_older_run_that_writes_between_a_newer_ones_objects_brings_those_back(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = flow.run("manual__old"), flow.run("manual__new")
    flow.folder = old
    flow.extract()
    flow.send()
    write_tickets(flow.database, [("T4", "New")])
    flow.folder = new
    flow.extract()
    flow.send()
    create = Lake.create

    def meanwhile(self: Lake, key: str, data: bytes) -> str:
        """The newer run has written its table; the older one writes both of its objects before the manifest."""
        if key == layout.manifest("tickets", DAY):
            monkeypatch.setattr(Lake, "create", late)
            with pytest.raises(Conflict):
                publish(old, lake=flow.lake)
            monkeypatch.setattr(Lake, "create", create)
        return create(self, key, data)

    def late(self: Lake, key: str, data: bytes) -> str:
        raise Conflict("the newer run's manifest is there")

    monkeypatch.setattr(Lake, "create", meanwhile)
    publish(new, lake=flow.lake)
    assert flow.published().num_rows == 3
    assert publish(old, lake=flow.lake).run_id == "manual__new"
    assert flow.published().num_rows == 4


def test_results_that_are_damaged_within_are_told_with_the_remedy_and_nothing_is_published(flow: Flow) -> None:
    write_tickets(flow.database, [(f"N{number}", f"Ticket {number}") for number in range(500)])
    run_all(flow)
    before = flow.lake.read(TABLE)
    (batch,) = flow.emulator.batches_made()
    stored = flow.lake.read(key := layout.results("tickets", batch["id"]))
    flow.lake.write(key, stored[:4] + b"\xff" * 4_000 + stored[4_004:])
    with pytest.raises(LakeError, match=r"(?s)cannot be read.*clear the chunk's `load`"):
        publish(flow.folder, lake=flow.lake)
    assert flow.lake.read(TABLE) == before


def test_a_batch_whose_results_are_gone_is_not_published_around(flow: Flow) -> None:
    run_all(flow)
    (batch,) = flow.emulator.batches_made()
    Path(flow.lake.locate(layout.results("tickets", batch["id"]))).unlink()
    with pytest.raises(LakeError, match="does not exist"):
        publish(flow.folder, lake=flow.lake)


def test_row_groups_are_as_large_as_is_good_to_read(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_PORTION_ROWS", 10)
    monkeypatch.setattr(steps, "_GROUP_ROWS", 30)
    write_tickets(flow.database, [(f"N{number:02}", f"Ticket {number}") for number in range(97)])
    run_all(flow)
    data = flow.lake.read(TABLE)
    metadata = pq.read_metadata(pa.BufferReader(data))
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [30, 30, 30, 10]
    keys = ["T1", "T2", "T3", *(f"N{number:02}" for number in range(97))]
    assert flow.published()["ticket"].to_pylist() == keys


@pytest.mark.parametrize("size_bytes", [100, 2_500])
def test_a_disk_that_lets_it_down_is_named_and_may_be_tried_again(flow: Flow, size_bytes: int) -> None:
    run_all(flow)
    before = flow.lake.read(TABLE)
    with (
        pytest.raises(
            SetupError, match=r"This machine's disk failed at .*File too large.*not become visible"
        ) as caught,
        files_of_at_most(size_bytes),
    ):
        publish(flow.folder, lake=flow.lake)
    assert caught.value.retryable
    assert flow.lake.read(TABLE) == before


class TestCost:
    """What the rows say of money is what the books say."""

    def test_the_first_of_duplicate_rows_bears_the_cost(self, flow: Flow) -> None:
        write_tickets(flow.database, [("T4", "Hello"), ("T5", "Hello")])
        manifest = run_all(flow)
        costs = dict(zip(*(flow.published()[name].to_pylist() for name in ("ticket", "_cost_usd")), strict=True))
        assert min(costs[ticket] for ticket in ("T1", "T2", "T3")) > 0
        assert costs["T4"] == costs["T5"] == 0
        assert manifest.cost_usd == manifest.partition_cost_usd == sum(costs.values())

    def test_a_run_that_sends_nothing_has_cost_nothing_and_the_rows_still_say_what_they_cost(self, flow: Flow) -> None:
        first = run_all(flow)
        flow.folder = flow.run("manual__2")
        second = run_all(flow)
        assert second.cost_usd == 0
        assert first.cost_usd == second.partition_cost_usd
        assert first.partition_cost_usd == second.partition_cost_usd

    def test_whatever_happens_rows_and_rejects_cost_what_the_books_have_for_the_partition(
        self, flow: Flow, tmp_path: Path
    ) -> None:
        lenient(flow, tmp_path)
        write_tickets(flow.database, [(f"N{number}", f"Ticket {number % 40}") for number in range(80)])
        flow.emulator.set_faults(
            [{"kind": kind, "share": 0.15} for kind in ("errored", "expired", "canceled", "invalid_json", "refusal")]
            + [{"kind": "violates_schema", "share": 0.3, "times": 10}]
        )
        first = flow.run_all()
        assert first.published
        assert first.rejected
        assert {line["pass_name"] for line in booked(flow)} == {"main", "canary", "retry"}
        assert first.cost_usd == first.partition_cost_usd == (paid := cost_of_rows(flow)) == cost_of_books(flow)
        flow.emulator.set_faults([])
        flow.folder = flow.run("manual__2")
        second = flow.run_all()
        assert second.rejected < first.rejected
        assert second.partition_cost_usd == cost_of_rows(flow) == cost_of_books(flow)
        assert second.cost_usd == cost_of_books(flow, run_id="manual__2") == cost_of_rows(flow) - paid > 0

    def test_what_another_partition_has_paid_for_is_free_and_names_its_batch(self, flow: Flow, tmp_path: Path) -> None:
        lenient(flow, tmp_path)
        flow.emulator.set_faults([{"kind": "violates_schema", "match": "crashes", "times": 1}])
        flow.run_all("main")
        write_tickets(flow.database, [("X1", "Hello"), ("X2", "It crashes"), ("X3", "New")], day="2026-11-02")
        flow.folder = RunFolder(pipeline="tickets", partition=Partition(start=date(2026, 11, 2)), run_id="manual__2")
        other = flow.run_all()
        table = pq.read_table(flow.lake.locate(layout.table("tickets", flow.folder.partition)).removeprefix("file://"))
        bought = {line["ticket"]: (line["_cost_usd"], line["_batch_id"]) for line in table.to_pylist()}
        partition_of = {line["batch_id"]: line["partition"] for line in booked(flow)}
        assert {ticket: partition_of[batch_id] for ticket, (_, batch_id) in bought.items()} == {
            "X1": "2026-11-01",
            "X2": "2026-11-02",
            "X3": "2026-11-02",
        }
        assert bought["X1"][0] == 0
        # Of X2 only the repair was bought here.
        assert other.cost_usd == other.partition_cost_usd == bought["X2"][0] + bought["X3"][0]
        assert other.cost_usd == cost_of_books(flow, partition="2026-11-02")
        assert other.cost_usd + cost_of_rows(flow) == cost_of_books(flow)

    def test_where_a_price_is_not_known_no_cost_is_guessed(self, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
        none = prices.prices().model_copy(update={"models": {}})
        monkeypatch.setattr(prices, "prices", lambda: none)
        manifest = run_all(flow)
        assert flow.published()["_cost_usd"].to_pylist() == [None] * 3
        assert manifest.cost_usd is manifest.partition_cost_usd is None

    def test_a_batch_that_is_not_booked_leaves_the_runs_cost_unknown(
        self, flow: Flow, caplog: pytest.LogCaptureFixture
    ) -> None:
        run_all(flow)
        (key,) = flow.lake.list("usage/")
        delete(flow.lake, key)
        manifest = flow.publish()
        assert manifest.cost_usd is None
        assert manifest.partition_cost_usd == cost_of_rows(flow) > 0
        assert "the books have no cost of msgbatch_" in caplog.text

    def test_a_trial_costs_what_it_sent(self, flow: Flow) -> None:
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        trial = run_all(flow)
        costs = table(flow, flow.folder.table)["_cost_usd"].to_pylist()
        assert trial.cost_usd == trial.partition_cost_usd == sum(costs) > 0


def cost_of_rows(flow: Flow) -> Decimal:
    return sum((sum(some["_cost_usd"].to_pylist()) for some in (flow.published(), flow.rejected())), Decimal(0))


def cost_of_books(flow: Flow, **of: str) -> Decimal:
    lines = [line for line in booked(flow) if of.items() <= line.items()]
    return sum((line["cost_usd"] for line in lines), Decimal(0))


class TestTrial:
    """The first rows of the day, beside the table and not in it."""

    def test_it_publishes_into_its_own_folder_and_leaves_the_day_as_it_is(self, flow: Flow) -> None:
        full = run_all(flow)
        before = {key: flow.lake.read(key) for key in (TABLE, REJECTS, MANIFEST)}
        flow.folder = flow.run("manual__2")
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        trial = run_all(flow)
        assert {key: flow.lake.read(key) for key in before} == before
        assert (trial.trial, trial.rows, trial.published, full.trial) == (2, 2, 2, None)
        assert trial.table == flow.lake.locate(flow.folder.table)
        assert table(flow, flow.folder.table)["ticket"].to_pylist() == ["T1", "T2"]
        assert table(flow, flow.folder.rejects).num_rows == 0
        assert Manifest.model_validate_json(flow.lake.read(flow.folder.manifest)) == trial

    def test_what_it_has_paid_for_a_full_run_does_not_pay_again(self, flow: Flow) -> None:
        whole = flow.pipeline
        flow.pipeline = whole.for_run(RunOptions(rows=2))
        run_all(flow)
        assert not flow.lake.exists(TABLE)
        flow.folder, flow.pipeline = flow.run("manual__2"), whole
        assert run_all(flow).published == 3
        assert [batch["size"] for batch in flow.emulator.batches_made()] == [2, 1]

    def test_however_many_of_its_few_rows_were_rejected_they_are_shown(self, flow: Flow) -> None:
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        trial = run_all(flow, [{"kind": "refusal", "match": "crashes"}])
        assert (trial.published, trial.rejected) == (1, 1)
        assert table(flow, flow.folder.rejects)["ticket"].to_pylist() == ["T2"]

    def test_it_may_be_published_again_and_is_the_same(self, flow: Flow) -> None:
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        first = run_all(flow)
        assert publish(flow.folder, lake=flow.lake).sha256 == first.sha256

    def test_where_its_rows_are_gone_its_own_manifest_is_named_and_not_the_days(
        self, flow: Flow, tmp_path: Path
    ) -> None:
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        run_all(flow)
        without_rows(flow, tmp_path)
        with pytest.raises(LoadError, match=re.escape(f"delete {flow.lake.locate(flow.folder.manifest)} and")):
            run_all(flow)

    def test_a_newer_publication_of_the_day_does_not_keep_it_from_being_shown(self, flow: Flow) -> None:
        trial, whole = flow.run("manual__2"), flow.pipeline
        flow.folder, flow.pipeline = trial, whole.for_run(RunOptions(rows=1))
        flow.extract()
        flow.send()
        flow.folder, flow.pipeline = flow.run("manual__3"), whole
        run_all(flow)
        assert publish(trial, lake=flow.lake).run_id == "manual__2"


def test_a_dry_run_publishes_nothing_not_even_an_empty_day(flow: Flow, tmp_path: Path) -> None:
    without_rows(flow, tmp_path)
    flow.pipeline = flow.pipeline.for_run(RunOptions(dry_run=True))
    flow.extract()
    with pytest.raises(LoadError, match="manual__1 is a dry run: it sent nothing and publishes nothing"):
        publish(flow.folder, lake=flow.lake)
    assert not flow.lake.exists(TABLE)
