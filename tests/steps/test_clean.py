"""clean: what is deleted, what stays, and what a cleared task of a deleted run says."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError, SpecError
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.gateways.uploads.upload_records import UploadRecords
from include.steps.asking.parts import Parts, result_line
from include.steps.clean import clean, find_old
from tests.fixtures.flow import FILES, Flow, write_pipeline
from tests.fixtures.synchronous import ask_pass, open_one_call
from tests.fixtures.uploads import attachment, record, upload

DAY_SECONDS = 24 * 3600


def age(flow: Flow, days: float, *, below: str = "") -> None:
    """Make the objects on the lake look this many days old."""
    then = time.time() - days * DAY_SECONDS
    for path in Path(flow.lake.locate(below)).rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def found(flow: Flow, *, days: int = 30, raw_days: int | None = None) -> list[str]:
    old = find_old(flow.lake, days=days, raw_days=raw_days)
    return sorted(listed.key for objects in old.values() for listed in objects)


def left(flow: Flow) -> set[str]:
    return {key.split("/")[0] for key in flow.lake.list("")}


@pytest.fixture
def ended(flow: Flow) -> Flow:
    """A run that has published, 31 days ago."""
    flow.run_all()
    age(flow, 31)
    return flow


def test_working_files_and_chunk_files_go_and_all_that_was_paid_for_stays(ended: Flow) -> None:
    before = set(ended.lake.list(""))
    old = find_old(ended.lake, days=30)
    assert set(ended.lake.list("")) == before  # to look deletes nothing
    deleted = clean(ended.lake, old)
    gone = before - set(ended.lake.list(""))
    assert len(gone) == deleted == sum(map(len, old.values()))
    assert {key.split("/")[0] for key in gone} == {"runs", "chunks"}
    assert left(ended) == {"ledger", "manifests", "raw", "rejects", "results", "tables", "usage"}
    assert found(ended) == []


def test_the_record_of_an_uploaded_file_stays_while_the_api_may_have_the_file(ended: Flow) -> None:
    upload(ended, [attachment()])
    assert found(ended, days=2) == found(ended)
    records, known = UploadRecords(ended.lake, pipeline="tickets"), record(ended, attachment())
    key = layout.upload("tickets", known.content_id)
    age(ended, 9, below="uploads")
    assert key not in found(ended, days=2)  # it tells the time of the upload itself
    stored = records.find(known.content_id)
    assert stored
    records.write(known.deleted(at=datetime.now(UTC)), over=stored)
    assert key not in found(ended, days=2)
    age(ended, 3, below="uploads")
    assert key in found(ended, days=2)


def test_a_later_run_pays_for_nothing_again(ended: Flow) -> None:
    sent, table = ended.requests_sent(), ended.published()
    clean(ended.lake, find_old(ended.lake, days=30))
    ended.folder = ended.run("manual__2")
    assert ended.run_all().published == 3
    assert (ended.requests_sent(), ended.published()) == (sent, table)


def test_what_is_younger_stays(ended: Flow) -> None:
    assert found(ended, days=32) == []
    ended.folder = ended.run("manual__2")
    ended.extract()
    assert {key.split("/")[3] for key in found(ended) if key.startswith("runs/")} == {"manual__1"}


def test_one_young_file_keeps_all_of_its_run(ended: Flow) -> None:
    ended.plan("retry")
    assert not [key for key in found(ended) if key.startswith("runs/")]


def test_a_run_that_may_still_wait_keeps_its_files_whatever_their_age(flow: Flow) -> None:
    flow.extract()
    (chunk,) = flow.plan()
    flow.submit(chunk)
    age(flow, 31)
    assert found(flow) == []
    flow.load(chunk)
    age(flow, 31)
    assert chunk in found(flow)
    assert flow.folder.rows in found(flow)


def test_a_run_whose_batch_has_just_been_loaded_keeps_its_files_and_goes_on(flow: Flow) -> None:
    flow.extract()
    (chunk,) = flow.plan()
    flow.submit(chunk)
    age(flow, 31)
    flow.load(chunk)
    assert found(flow) == []
    assert flow.publish().published == 3


def test_what_somebody_else_has_put_there_stays(ended: Flow) -> None:
    strangers = ["runs/tickets/notes.txt", "runs/tickets/2026-11-01/notes.txt", "chunks/tickets/notes.txt"]
    strangers += ["chunks/tickets/more/notes.parquet", "raw/tickets/notes.txt", "raw/tickets/more/notes.jsonl.zst"]
    for key in strangers:
        ended.lake.write(key, b"x")
    age(ended, 31)
    clean(ended.lake, find_old(ended.lake, days=30, raw_days=30))
    assert set(strangers) <= set(ended.lake.list(""))


def test_raw_copies_go_only_where_that_was_requested_and_their_outcomes_are_there(ended: Flow) -> None:
    assert not [key for key in found(ended) if key.startswith("raw/")]
    raw = ended.lake.list("raw/")
    assert [key for key in found(ended, raw_days=30) if key.startswith("raw/")] == raw
    for path in Path(ended.lake.locate("results")).rglob("*.parquet"):
        path.unlink()
    assert not [key for key in found(ended, raw_days=30) if key.startswith("raw/")]


def test_what_was_written_again_since_it_was_found_stays(ended: Flow) -> None:
    old = find_old(ended.lake, days=30)
    ended.extract()
    clean(ended.lake, old)
    assert ended.plan("main") == []
    assert ended.lake.exists(ended.folder.rows)


def test_killed_anywhere_it_leaves_runs_that_say_what_to_do(ended: Flow) -> None:
    old = find_old(ended.lake, days=30)
    ended.lake.delete(next(iter(old.values()))[0])  # the first of all that it deletes
    for clear in (lambda: ended.plan("main"), ended.publish):
        with pytest.raises(LakeError, match=r"does not exist.*Clear the run's `extract`"):
            clear()


@pytest.mark.parametrize("task", ["plan", "submit", "load", "publish"])
def test_a_cleared_task_of_a_deleted_run_says_what_to_do(ended: Flow, task: str) -> None:
    (chunk,) = [key for key in ended.lake.list("chunks/")]
    clean(ended.lake, find_old(ended.lake, days=30))
    act = {
        "plan": lambda: ended.plan("main"),
        "submit": lambda: ended.submit(chunk),
        "load": lambda: ended.load(chunk, "msgbatch_1"),
        "publish": ended.publish,
    }
    with pytest.raises(LakeError, match=r"does not exist.*Clear the run's `extract`") as caught:
        act[task]()
    assert not caught.value.retryable


def test_an_age_that_a_run_may_have_is_rejected(ended: Flow) -> None:
    for ages in ({"days": 1}, {"days": 30, "raw_days": 1}):
        with pytest.raises(SpecError, match="Nothing was deleted"):
            find_old(ended.lake, **ages)


def test_an_empty_lake_is_clean(flow: Flow) -> None:
    assert found(flow, raw_days=30) == []


def test_evaluations_stay_and_what_was_cut_before_its_summary_goes(flow: Flow) -> None:
    whole, cut, recent = (
        layout.EvaluationFolder(pipeline="tickets", evaluation_id=f"2026113{day}T030000000Z-0123abcd") for day in "012"
    )
    for folder in (whole, cut, recent):
        flow.lake.write(folder.scores, b"scores")
    flow.lake.write(whole.summary_json, b"{}")
    age(flow, 31)
    flow.lake.write(recent.metrics, b"metrics")
    assert found(flow) == [cut.scores]


def test_parts_of_synchronous_answers_stay_until_long_after_they_were_loaded(flow: Flow, tmp_path: Path) -> None:
    """A process that went on after it had lost its lease may leave one after the load."""
    yaml = FILES["pipeline.yaml"].replace("{model:", "{mode: synchronous, model:")
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "asked" / "tickets", pipeline_yaml=yaml))
    flow.extract()
    (key,) = flow.plan()
    parts = Parts(flow.lake, pipeline="tickets", chunk_id=layout.chunk_id_of(key))
    waits = open_one_call(flow.emulator, waits=lambda number: number == 1)[0]
    ask_pass(flow, open_answerer=waits)
    age(flow, 31)
    assert not [name for name in found(flow) if name.startswith("asked/")]
    ask_pass(flow)
    parts.write([result_line("r", b"{}")])
    age(flow, 31)
    assert len([name for name in found(flow) if name.startswith("asked/")]) == 1


def test_only_the_old_transcript_of_a_paid_row_goes_with_the_raw_copies(ended: Flow) -> None:
    (paid, *_) = ended.published()["_request_id"].to_pylist()
    keys = [layout.transcript_step("tickets", row, "001") for row in (paid, "w" * 22)]
    for key in keys:
        ended.lake.write(key, b"{}")
    assert not [key for key in found(ended, raw_days=30) if key in keys]
    age(ended, 31, below="transcripts/")
    assert [key for key in found(ended, raw_days=30) if key in keys] == keys[:1]
    assert not [key for key in found(ended) if key in keys]
