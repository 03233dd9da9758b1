from __future__ import annotations

import os
import resource
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from include.steps.files.chunk_files import read_chunk, request_ids_of
from tests.fixtures.flow import Flow, sizes, without_rows, write_tickets
from tests.fixtures.planning import change


def test_rows_that_render_alike_share_one_request(flow: Flow) -> None:
    write_tickets(flow.database, [("T4", "Hello"), ("T5", "Hello")])
    flow.extract()
    assert sizes(flow) == [3]


def test_a_partition_without_rows_needs_no_chunk(flow: Flow, tmp_path: Path) -> None:
    without_rows(flow, tmp_path)
    flow.extract()
    assert flow.plan("canary") == flow.plan() == flow.plan("retry") == []


def test_chunks_have_at_most_the_bytes_that_the_pipeline_allows(twenty: Flow, tmp_path: Path) -> None:
    change(twenty, tmp_path, "limits: {batch_bytes: 2000}")
    twenty.extract()
    chunks = twenty.plan()
    assert len(chunks) > 2
    assert sum(len(request_ids_of(twenty.lake, chunk)) for chunk in chunks) == 20
    assert all(read_chunk(twenty.lake, chunk).body_bytes <= 2_000 for chunk in chunks)


def test_chunks_hold_at_most_what_the_pipeline_allows(twenty: Flow, tmp_path: Path) -> None:
    change(twenty, tmp_path, "limits: {batch_requests: 8}")
    twenty.extract()
    assert sizes(twenty) == [8, 8, 4]


def test_the_same_rows_give_the_same_chunks_from_release_to_release(twenty: Flow, tmp_path: Path) -> None:
    """Other ids would be other chunks: a cleared task would send what its first try has sent already."""
    write_tickets(twenty.database, [("N17", 'He said "no"\n漢字 😀')])
    change(twenty, tmp_path, "limits: {batch_requests: 8}")
    twenty.extract()
    assert twenty.plan("canary") == ["chunks/tickets/kMD8eEe_9IG9kF0VPOfSlU.parquet"]
    twenty.send("canary")
    assert twenty.plan() == [
        "chunks/tickets/nnrxIx-bROqQaSmyb6WKTY.parquet",
        "chunks/tickets/hUDs20ysv8tJoN9o2uK1HD.parquet",
    ]


def test_a_chunk_holds_its_requests_in_the_order_of_the_rows_each_once(flow: Flow, tmp_path: Path) -> None:
    write_tickets(flow.database, [(f"N{n}", f"Ticket {n % 1_500}") for n in range(3_000)])
    change(flow, tmp_path, "limits: {batch_requests: 700}")
    flow.extract()
    rows = pq.read_table(pa.BufferReader(flow.lake.read(flow.folder.rows)))["request_id"].unique().to_pylist()
    chunks = [read_chunk(flow.lake, key).request_ids for key in flow.plan()]
    assert list(map(len, chunks)) == [700, 700, 103]
    assert sorted(rows) == [request_id for chunk in chunks for request_id in sorted(chunk)]
    for chunk in chunks:
        assert chunk == [request_id for request_id in rows if request_id in set(chunk)]


def test_a_row_that_cannot_be_sent_is_in_no_chunk(flow: Flow) -> None:
    write_tickets(flow.database, [("big", "x" * 33_000_000)])
    flow.extract()
    assert sizes(flow) == [3]


def test_the_order_of_the_rows_does_not_change_the_chunks(flow: Flow, tmp_path: Path) -> None:
    flow.extract()
    chunks = flow.plan()
    sql = "select ticket, body from tickets where day >= :partition_start order by ticket desc"
    change(flow, tmp_path, "", extract_sql=sql)
    flow.folder = flow.run("manual__2")
    flow.extract()
    assert flow.plan() == chunks


def test_a_plan_keeps_no_chunk_file_open(twenty: Flow, tmp_path: Path) -> None:
    """300 chunks must not need 300 open files; many systems allow a process 256."""
    write_tickets(twenty.database, [(f"M{number}", f"More {number}") for number in range(280)])
    change(twenty, tmp_path, "limits: {batch_requests: 1}")
    twenty.extract()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 40, hard))
    try:
        assert len(twenty.plan()) == 300
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
