from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import LakeError, LoadError, SetupError
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.gateways.claude import Claude
from include.gateways.lake import Conflict, Lake
from include.steps import publish as steps
from include.steps.extract import extract
from include.steps.plan import plan
from include.steps.publish import publish
from tests.fixtures.disk import files_of_at_most
from tests.fixtures.flow import DAY, Flow, booked, with_min_rows, without_rows, write_pipeline, write_tickets
from tests.fixtures.publishing import LENIENT, MANIFEST, REJECTS, TABLE, lenient, run_all, table


def test_a_source_that_has_lost_all_its_rows_does_not_empty_the_table(flow: Flow, tmp_path: Path) -> None:
    run_all(flow)
    before = flow.lake.read(TABLE)
    with_min_rows(flow, 0)
    flow.database = write_tickets(tmp_path / "empty.db", [])
    flow.folder = flow.run("manual__2")
    with pytest.raises(LoadError, match=r"no rows for partition 2026-11-01, but run manual__1 published 3 .*delete"):
        run_all(flow)
    assert flow.lake.read(TABLE) == before


def test_a_run_that_was_extracted_again_publishes_what_it_holds_now(flow: Flow) -> None:
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
            extract(flow.pipeline, other, source=flow.warehouse, lake=flow.lake)
            plan(other, pass_name="main", lake=flow.lake)
            publish(other, lake=flow.lake)

    monkeypatch.setattr(Lake, "write_file", meanwhile)
    with pytest.raises(Conflict):
        publish(flow.folder, lake=flow.lake)
    assert publish(flow.folder, lake=flow.lake).run_id == "manual__3"


def test_the_manifest_shows_what_an_earlier_run_has_paid_for(flow: Flow) -> None:
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
def test_rejects_that_were_not_billed_are_reported_with_the_way_and_about_what_it_costs(
    flow: Flow, fault: dict[str, Any]
) -> None:
    with pytest.raises(LoadError) as caught:
        run_all(flow, [{**fault, "match": "invoice"}])
    answered = format_usd(sum(line["cost_usd"] for line in booked(flow)) / 2)
    about = f"about {answered}" if answered.startswith("$") else answered
    assert f"`only_rejects`; make run: ONLY_REJECTS=1): it sends only 1 request, for {about}." in str(caught.value)
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
        LoadError, match=r"(?s)1 of 4 rows .* was rejected \(1 invalid\).*allows.*Most common reasons:\n  not JSON"
    ) as caught:
        run_all(flow, [{"kind": "invalid_json", "share": 1.0}])
    assert {key: flow.lake.read(key) for key in before} == before
    assert table(flow, flow.folder.rejects).num_rows == 1
    assert flow.folder.rejects in str(caught.value)


def test_duplicate_rows_share_an_answer(flow: Flow) -> None:
    write_tickets(flow.database, [("T4", "Hello")])
    manifest = run_all(flow)
    assert (manifest.rows, manifest.requests) == (4, 3)
    ids = dict(zip(*(table(flow, TABLE)[name].to_pylist() for name in ("ticket", "_request_id")), strict=True))
    assert ids["T3"] == ids["T4"]


def test_a_chunk_without_a_batch_is_not_published_around(flow: Flow) -> None:
    extract(flow.pipeline, flow.folder, source=flow.warehouse, lake=flow.lake)
    plan(flow.folder, pass_name="main", lake=flow.lake)
    with pytest.raises(LoadError, match=r"no batch in the ledger.*Clear its `submit`"):
        publish(flow.folder, lake=flow.lake)
    assert not flow.lake.exists(TABLE)


def test_a_pipeline_without_attachments_needs_no_api(flow: Flow) -> None:
    """Its SDK would take a second, and more memory than many a partition."""
    run_all(flow)

    def fail() -> Claude:
        raise AssertionError("the API was opened")

    flow.lake.write("uploads/tickets/other.json", b"is read by nobody")
    assert publish(flow.folder, lake=flow.lake, open_claude=fail).published == 3
    code = "import sys, include.steps.publish; print('anthropic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"False\n"


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


def test_results_that_are_damaged_within_are_reported_with_the_remedy_and_nothing_is_published(flow: Flow) -> None:
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


@pytest.mark.parametrize("size_bytes", [100, 2_500])
def test_a_disk_that_fails_is_named_and_the_task_may_be_retried(flow: Flow, size_bytes: int) -> None:
    run_all(flow)
    before = flow.lake.read(TABLE)
    with (
        pytest.raises(SetupError, match=r"This machine's disk failed at .*File too large.*not published") as caught,
        files_of_at_most(size_bytes),
    ):
        publish(flow.folder, lake=flow.lake)
    assert caught.value.retryable
    assert flow.lake.read(TABLE) == before


class TestTrial:
    """The first rows of the day, published next to the table and not in it."""

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
