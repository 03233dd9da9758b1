from __future__ import annotations

from pathlib import Path

from include.enrichment.spec import load_pipeline
from include.steps.chunks import open_chunk
from include.steps.extract import extract
from include.steps.plan import plan, planned_chunks
from tests.fixtures.flow import Flow, write_pipeline, write_tickets


def run_plan(flow: Flow) -> list[list[str]]:
    """The request ids of each chunk."""
    extract(flow.pipeline, flow.folder, warehouse=flow.warehouse, lake=flow.lake)
    chunks = []
    for key in plan(flow.folder, pass_name="main", lake=flow.lake):
        with open_chunk(flow.lake, key) as chunk:
            chunks.append(chunk.request_ids)
    return chunks


def test_rows_that_render_alike_share_one_request(flow: Flow) -> None:
    write_tickets(flow.database, [("T4", "Hello"), ("T5", "Hello")])
    (chunk,) = run_plan(flow)
    assert len(chunk) == len(set(chunk)) == 3


def test_a_partition_without_rows_needs_no_chunk(flow: Flow, tmp_path: Path) -> None:
    flow.database = write_tickets(tmp_path / "empty.db", [])
    assert run_plan(flow) == []


def test_chunks_hold_at_most_what_the_pipeline_allows(flow: Flow, tmp_path: Path) -> None:
    yaml = "source: {connection: w, key: [ticket]}\nrequest: {model: m, max_tokens: 9}\nlimits: {batch_requests: 2}\n"
    flow.pipeline = load_pipeline(write_pipeline(tmp_path / "tickets", pipeline_yaml=yaml))
    write_tickets(flow.database, [("T4", "Bye"), ("T5", "See you")])
    assert [len(chunk) for chunk in run_plan(flow)] == [2, 2, 1]


def test_planning_again_gives_the_same_chunks(flow: Flow) -> None:
    run_plan(flow)
    assert plan(flow.folder, pass_name="main", lake=flow.lake) == flow.lake.list(flow.folder.pass_prefix("main"))


def test_a_row_that_cannot_be_sent_is_in_no_chunk(flow: Flow) -> None:
    write_tickets(flow.database, [("big", "x" * 33_000_000)])
    assert [len(chunk) for chunk in run_plan(flow)] == [3]


def test_the_order_of_the_rows_does_not_change_the_chunks(flow: Flow, tmp_path: Path) -> None:
    yaml = "source: {connection: w, key: [ticket]}\nrequest: {model: m, max_tokens: 9}\nlimits: {batch_requests: 2}\n"
    chunks = []
    for order in ("asc", "desc"):
        sql = "select ticket, body from tickets where day >= :partition_start order by ticket"
        folder = write_pipeline(tmp_path / order / "tickets", pipeline_yaml=yaml, extract_sql=f"{sql} {order}")
        flow.pipeline, flow.folder = load_pipeline(folder), flow.run(f"manual__{order}")
        chunks.append([set(chunk) for chunk in run_plan(flow)])
    assert chunks[0] == chunks[1]


def test_a_pass_that_is_planned_anew_leaves_no_chunk_of_the_old_plan_in_it(flow: Flow) -> None:
    run_plan(flow)
    old = planned_chunks(flow.folder, lake=flow.lake)
    write_tickets(flow.database, [("T4", "Late")])
    run_plan(flow)
    assert len(planned_chunks(flow.folder, lake=flow.lake)) == 1
    assert planned_chunks(flow.folder, lake=flow.lake) != old
