from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from include.enrichment.errors import LakeError, LoadError
from include.enrichment.outcome import Outcome
from include.enrichment.table import ANSWERS_SCHEMA
from include.gateways.lake import Lake
from include.gateways.results import Received, ResultStore, lines


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


def received(folder: Path, outcomes: list[Outcome]) -> Received:
    with Received(folder) as result:
        result.keep(b"raw bytes\n")
        for outcome in outcomes:
            result.add(outcome)
    return result


def test_what_was_received_comes_back_as_bytes_and_as_outcomes(lake: Lake, tmp_path: Path) -> None:
    store = ResultStore(lake, pipeline="p")
    outcomes = [Outcome(request_id=f"r{n}", outcome="succeeded", output="{}") for n in range(6_000)]
    store.publish("b1", received(tmp_path, [*outcomes, Outcome(request_id="x", outcome="expired", reason="24 h")]))
    ids = [outcome.request_id for outcome in outcomes]
    assert store.outcome_counts("b1", of=["x", *ids]) == {"succeeded": 6_000, "expired": 1}
    answers = store.answers("b1")
    assert answers.schema.equals(ANSWERS_SCHEMA)
    assert answers["batch_id"].unique().to_pylist() == ["b1"]
    raw = pa.CompressedInputStream(pa.BufferReader(lake.read("raw/p/b1.jsonl.zst")), "zstd")
    assert raw.read() == b"raw bytes\n"


def test_a_batch_that_was_not_loaded_has_no_counts_and_no_answers(lake: Lake) -> None:
    store = ResultStore(lake, pipeline="p")
    assert store.outcome_counts("b1", of=["x"]) is None
    with pytest.raises(LakeError, match="does not exist"):
        store.answers("b1")


def test_the_results_of_other_requests_are_not_taken_for_a_chunks_own(lake: Lake, tmp_path: Path) -> None:
    store = ResultStore(lake, pipeline="p")
    store.publish("b1", received(tmp_path, [Outcome(request_id="x", outcome="succeeded", output="{}")]))
    with pytest.raises(LoadError, match="batch b1 is not its batch"):
        store.outcome_counts("b1", of=["y"])


def test_results_that_cannot_be_read_are_told_with_the_remedy(lake: Lake) -> None:
    lake.write("results/p/b1.parquet", b"garbage")
    store, told = ResultStore(lake, pipeline="p"), r"b1\.parquet cannot be read.*clear the chunk's `load`"
    with pytest.raises(LakeError, match=told):
        store.answers("b1")
    with pytest.raises(LakeError, match=told):
        store.outcome_counts("b1", of=[])


def test_results_without_a_line_are_an_empty_table(lake: Lake, tmp_path: Path) -> None:
    store = ResultStore(lake, pipeline="p")
    store.publish("b1", received(tmp_path, []))
    assert store.outcome_counts("b1", of=[]) == {}
    assert store.answers("b1").num_rows == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_the_same_wherever_the_pieces_end(size: int) -> None:
    body = "a\n\u2028b\r\n\nc".encode()
    pieces = iter([body[start : start + size] for start in range(0, len(body), size)])
    assert list(lines(pieces)) == [b"a\n", "\u2028b\r\n".encode(), b"c"]
