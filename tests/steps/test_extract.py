from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.errors import SpecError, WarehouseError
from include.enrichment.requests.chunk import REQUEST_ID_CHARACTERS, body_bytes
from include.enrichment.requests.request import MAX_REQUEST_BYTES
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.steps.extract import extract
from include.steps.files.extracted import (
    read_extracted,
    read_pipeline,
)
from tests.fixtures.flow import FILES, Flow, with_min_rows, without_rows, write_pipeline, write_tickets


def run_extract(flow: Flow) -> list[dict[str, Any]]:
    extract(flow.pipeline, flow.folder, source=flow.warehouse, lake=flow.lake)
    return list(pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rows))).to_pylist())


def change(flow: Flow, tmp_path: Path, **files: str) -> None:
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "changed" / "tickets", **files))


def test_every_row_becomes_a_request_and_the_run_keeps_its_pipeline(flow: Flow) -> None:
    rows = run_extract(flow)
    assert [row["ticket"] for row in rows] == ["T1", "T2", "T3"]
    assert all(len(row["request_id"]) == 22 and row["problem"] is None for row in rows)
    assert read_pipeline(flow.lake, flow.folder) == flow.pipeline


def test_the_run_keeps_what_cache_auto_came_to_and_its_log_says_why(
    flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    yaml = FILES["pipeline.yaml"].replace("max_tokens: 200", "max_tokens: 200, cache: auto")
    with caplog.at_level(logging.INFO):
        for system, cache in (("Label the ticket." + " It is one of many." * 500, "1h"), ("Label the ticket.", "off")):
            change(flow, tmp_path, pipeline_yaml=yaml, system_md=system)
            run_extract(flow)
            assert read_pipeline(flow.lake, flow.folder).settings.request.cache == cache
    on, off = (record.getMessage() for record in caplog.records if "request.cache" in record.getMessage())
    assert on.startswith("request.cache: auto is 1h: the prefix has 1,903 to ")
    assert off.startswith("request.cache: auto is off: the prefix has ")


def test_a_row_gives_the_same_request_from_release_to_release(flow: Flow) -> None:
    """Another id would be another request, and what was paid for would be paid again."""
    write_tickets(flow.database, [("T4", 'He said "no"\n漢字 😀')])
    first, *_, last = run_extract(flow)
    assert first["request_id"] == "-ykaXNcwzsFeVtNEetmvt8"
    assert last["request_id"] == "Gsq-3SSybg5N6ImX4foyJs"
    assert last["params"].endswith(
        '"system":[{"type":"text","text":"Label the ticket."}],"messages":[{"role":"user","content":"Ticket: He said'
        r' \"no\"\n漢字 😀"}]}'
    )


class TestMinRows:
    """limits.min_rows: how few rows a day may have."""

    @pytest.mark.parametrize(("min_rows", "trial"), [(1, None), (3, None), (0, 2), (3, 2), (4, 3), (4, 1)])
    def test_as_many_rows_as_it_says_or_as_a_trial_reads_are_enough(
        self, flow: Flow, min_rows: int, trial: int | None
    ) -> None:
        with_min_rows(flow, min_rows)
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=trial))
        assert len(run_extract(flow)) == (trial or 3)

    @pytest.mark.parametrize(
        ("min_rows", "trial", "options"), [(4, None, {}), (5, 4, {}), (4, None, {"dry_run": True})]
    )
    def test_fewer_fail_the_task_which_may_be_retried_and_nothing_is_written(
        self, flow: Flow, min_rows: int, trial: int | None, options: dict[str, Any]
    ) -> None:
        with_min_rows(flow, min_rows)
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=trial, **options))
        with pytest.raises(WarehouseError) as caught:
            run_extract(flow)
        assert str(caught.value).startswith(
            "The source has 3 rows for partition 2026-11-01, but limits.min_rows in tickets/pipeline.yaml is"
            f" {min_rows}. Nothing was written or sent.\n"
        )
        assert caught.value.retryable
        assert flow.lake.list("") == []

    def test_a_day_without_rows_fails_although_the_type_of_its_key_is_not_known(
        self, flow: Flow, tmp_path: Path
    ) -> None:
        flow.database = write_tickets(tmp_path / "empty.db", [])
        with pytest.raises(WarehouseError, match=r"The source has 0 rows .* is 1\.(.|\n)*with 0 a day may be empty"):
            run_extract(flow)
        assert flow.lake.list("") == []

    def test_rows_are_counted_once_however_many_samples_there_are(self, flow: Flow, tmp_path: Path) -> None:
        change(flow, tmp_path, pipeline_yaml=FILES["pipeline.yaml"] + "samples: 2\nlimits: {min_rows: 4}\n")
        with pytest.raises(WarehouseError, match="The source has 3 rows"):
            run_extract(flow)

    def test_with_0_a_day_may_be_empty_and_the_log_warns_of_it(
        self, flow: Flow, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        without_rows(flow, tmp_path)
        assert run_extract(flow) == []
        (record,) = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage().startswith("The source has no rows for partition 2026-11-01. limits.min_rows is 0")


@pytest.mark.parametrize(
    ("rows", "fact"),
    [
        ([(None, "x")], "'ticket' is NULL in 1 of the last 4 rows"),
        ([("T1", "again")], r"not unique: 1 keys occur more than once, for example ticket='T1' \(2 times\)"),
        ([(7, "a number")], "has a value that is not string"),
    ],
)
def test_a_business_key_that_is_none_stops_the_run_and_leaves_nothing(flow: Flow, rows: Any, fact: str) -> None:
    write_tickets(flow.database, rows)
    with pytest.raises(WarehouseError, match=fact):
        run_extract(flow)
    assert flow.lake.list("runs/") == []


def test_a_key_that_is_repeated_in_another_portion_is_found(flow: Flow) -> None:
    write_tickets(flow.database, [*((f"N{n}", "x") for n in range(3_000)), ("N0", "x")])
    with pytest.raises(WarehouseError, match="ticket='N0'"):
        run_extract(flow)


def test_a_row_that_is_too_large_or_not_unicode_stays_with_its_reason(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, [("big", "x" * MAX_REQUEST_BYTES), ("nul", "a\x00b")])
    change(flow, tmp_path, user_md="{{ body }}{% if ticket == 'T2' %}{{ '\\ud800' }}{% endif %}")
    problems = {row["ticket"]: row["problem"] for row in run_extract(flow) if row["problem"]}
    assert problems.keys() == {"big", "T2"}
    assert "the limit of one request is 32,000,000" in problems["big"]
    assert "not valid Unicode" in problems["T2"]


@pytest.mark.parametrize(("missing_bytes", "rejected"), [(0, set()), (1, {"long"})])
def test_a_request_that_alone_has_more_bytes_than_a_batch_may_have_is_a_reject(
    flow: Flow, tmp_path: Path, missing_bytes: int, rejected: set[str]
) -> None:
    write_tickets(flow.database, [("long", "x" * 1_000)])
    size = max(len(row["params"]) for row in run_extract(flow))
    batch_bytes = body_bytes(["x" * REQUEST_ID_CHARACTERS], size) - missing_bytes
    yaml = f"{FILES['pipeline.yaml']}limits: {{batch_bytes: {batch_bytes}}}\n"
    change(flow, tmp_path, pipeline_yaml=yaml)
    problems = {row["ticket"]: row["problem"] for row in run_extract(flow) if row["problem"]}
    assert problems.keys() == rejected
    assert all(
        message
        == f"it renders to {size:,} bytes; limits.batch_bytes leaves {size - 1:,} for a request in its own batch"
        for message in problems.values()
    )


def test_a_prompt_that_names_no_column_is_found_before_the_first_row(flow: Flow, tmp_path: Path) -> None:
    change(
        flow, tmp_path, user_md="Ticket\n{{ bodi }}", extract_sql="select 1 as ticket, 2 as body where :partition_end"
    )
    with pytest.raises(SpecError, match=r"tickets/user\.md:2: the query has no column 'bodi'; did you mean 'body'\?"):
        run_extract(flow)


def test_a_template_that_fails_on_a_row_names_its_file(flow: Flow, tmp_path: Path) -> None:
    change(flow, tmp_path, user_md="{{ 1 / 0 }}{{ body }}")
    with pytest.raises(SpecError, match=r"user\.md:1: cannot be rendered .* ZeroDivisionError.*The row: ticket='T1'"):
        run_extract(flow)


def test_without_reuse_every_run_sends_all_requests_again(flow: Flow, tmp_path: Path) -> None:
    yaml = "source: {connection: w, key: [ticket]}\nrequest: {model: m, max_tokens: 9}\nreuse: false\n"
    change(flow, tmp_path, pipeline_yaml=yaml)
    first = {row["request_id"] for row in run_extract(flow)}
    flow.folder = flow.run("manual__2")
    assert first.isdisjoint({row["request_id"] for row in run_extract(flow)})


def test_a_binary_column_is_rejected_and_not_sent_as_an_address(flow: Flow, tmp_path: Path) -> None:
    sql = "select 'T1' as ticket, x'ff00' as body where :partition_start < :partition_end"
    change(flow, tmp_path, extract_sql=sql)
    with pytest.raises(SpecError, match=r"user\.md:1: .*binary value has no text: decode it in extract\.sql"):
        run_extract(flow)


def test_long_texts_are_written_in_portions_of_some_megabytes(flow: Flow) -> None:
    write_tickets(flow.database, [(f"N{n}", "x" * 9_000_000) for n in range(5)])
    run_extract(flow)
    assert pq.read_metadata(pa.BufferReader(flow.lake.read(flow.folder.rows))).num_row_groups == 3


def test_rows_are_written_a_thousand_at_a_time_in_their_order(flow: Flow) -> None:
    tickets = [f"N{n:04}" for n in range(2_500)]
    write_tickets(flow.database, [(ticket, "x") for ticket in tickets])
    assert [row["ticket"] for row in run_extract(flow)] == ["T1", "T2", "T3", *tickets]
    written = pq.read_metadata(pa.BufferReader(flow.lake.read(flow.folder.rows)))
    assert [written.row_group(number).num_rows for number in range(written.num_row_groups)] == [1_000, 1_000, 503]


def test_what_extract_did_counts_rows_and_those_that_cannot_be_sent(flow: Flow) -> None:
    write_tickets(flow.database, [("big", "x" * MAX_REQUEST_BYTES), *((f"N{n}", "x") for n in range(1_500))])
    run_extract(flow)
    extracted = read_extracted(flow.lake, flow.folder)
    assert (extracted.rows, extracted.unsendable) == (1_504, 1)


@pytest.mark.parametrize("portion", [0, 2])
def test_rows_that_cannot_be_written_stop_the_run_and_leave_nothing(
    flow: Flow, monkeypatch: pytest.MonkeyPatch, portion: int
) -> None:
    """They are written in another thread, also the last of them."""
    write_tickets(flow.database, [(f"N{n}", "x") for n in range(2_500)])
    write_batch = pq.ParquetWriter.write_batch
    written: list[int] = []

    def fail(self: pq.ParquetWriter, batch: pa.RecordBatch) -> None:
        if len(written) == portion:
            raise OSError("No space left on device")
        written.append(batch.num_rows)
        write_batch(self, batch)

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", fail)
    with pytest.raises(OSError, match="No space left"):
        run_extract(flow)
    assert flow.lake.list("runs/") == []


class TestTrial:
    """The first rows of the day."""

    @pytest.mark.parametrize("rows", [1, 2, 5, 1_000, 4_001])
    def test_it_has_so_many_of_the_first_rows(self, flow: Flow, rows: int) -> None:
        write_tickets(flow.database, [(f"N{n:04}", "x") for n in range(5_000)])
        every = ["T1", "T2", "T3", *(f"N{n:04}" for n in range(5_000))]
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=rows))
        assert [row["ticket"] for row in run_extract(flow)] == every[:rows]
        assert read_extracted(flow.lake, flow.folder).rows == rows

    def test_of_a_day_with_fewer_rows_it_has_all(self, flow: Flow) -> None:
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=99))
        assert len(run_extract(flow)) == 3

    def test_each_of_its_rows_has_all_samples(self, flow: Flow, tmp_path: Path) -> None:
        yaml = "source: {connection: w, key: [ticket]}\nrequest: {model: m, max_tokens: 9}\nsamples: 3\n"
        change(flow, tmp_path, pipeline_yaml=yaml)
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        assert [row["ticket"] for row in run_extract(flow)] == ["T1"] * 3 + ["T2"] * 3

    def test_it_sends_the_same_requests_as_a_full_run(self, flow: Flow) -> None:
        full = {row["ticket"]: row["request_id"] for row in run_extract(flow)}
        flow.pipeline = flow.pipeline.for_run(RunOptions(rows=2))
        assert {row["ticket"]: row["request_id"] for row in run_extract(flow)} == {
            ticket: full[ticket] for ticket in ("T1", "T2")
        }
