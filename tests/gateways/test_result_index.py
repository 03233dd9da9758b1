"""The index may be missing, out of date or damaged; a lookup is then slower but never wrong."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.enrichment.answers.outcome import Outcome, OutcomeName, outcomes_batch
from include.enrichment.batches.prior_results import PriorResults
from include.enrichment.errors import LakeError
from include.enrichment.storage import compaction as deciding
from include.gateways import result_index
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.result_store import Received, ResultStore
from tests.fixtures.lake import delete
from tests.fixtures.usage import facts_of

Load = Callable[..., None]
FOLDER = "index/p/"


@pytest.fixture(autouse=True)
def small_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the thresholds of a hundred batches and a million rows."""
    monkeypatch.setattr(deciding, "_DUE_BATCHES", 3)
    monkeypatch.setattr(result_index, "_SORTED_ROWS", 4)
    monkeypatch.setattr(result_index, "_GROUP_ROWS", 2)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path / "lake")


@pytest.fixture
def store(lake: Lake) -> ResultStore:
    return ResultStore(lake, pipeline="p")


@pytest.fixture
def load(store: ResultStore) -> Load:
    def publish(batch_id: str, *request_ids: str, outcome: OutcomeName = "succeeded") -> None:
        with tempfile.TemporaryDirectory() as folder:
            with Received(Path(folder), facts=facts_of(batch_id)) as received:
                received.add(outcomes_batch([Outcome(request_id=each, outcome=outcome) for each in request_ids]))
            store.publish(batch_id, received)

    return publish


def lines(found: PriorResults) -> list[tuple[str, ...]]:
    return sorted((line["request_id"], line["outcome"], line["batch_id"]) for line in found.table.to_pylist())


@pytest.fixture
def six(load: Load, store: ResultStore) -> list[tuple[str, ...]]:
    """Load six batches into the index, and return all their outcomes."""
    for number in range(6):
        load(f"b{number}", *(f"r{number}-{line}" for line in range(3)), "everywhere", outcome="expired")
    before = lines(store.look_up(EVERY))
    assert len(before) == 24
    return before


EVERY = [*(f"r{number}-{line}" for number, line in itertools.product(range(6), range(3))), "everywhere", "nowhere"]


def make_unreadable(lake: Lake, batch_id: str) -> None:
    """Make results unreadable without changing their listing, so that any read fails."""
    path = Path(lake.locate(f"results/p/{batch_id}.parquet"))
    path.chmod(0o644)
    with path.open("r+b") as file:
        times = path.stat()
        file.write(b"\0" * times.st_size)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_lookup_in_the_index_equals_one_without(six: list[tuple[str, ...]], lake: Lake, store: ResultStore) -> None:
    assert len(lake.list(FOLDER)) == 2
    assert lines(store.look_up(EVERY)) == six
    assert lines(store.look_up(["r4-1"])) == [("r4-1", "expired", "b4")]


def test_indexed_results_are_not_read_again(six: list[tuple[str, ...]], lake: Lake, store: ResultStore) -> None:
    for number in range(6):
        make_unreadable(lake, f"b{number}")
    assert lines(store.look_up(EVERY)) == six


def test_each_row_group_of_the_index_is_small_and_sorted(six: list[tuple[str, ...]], lake: Lake) -> None:
    with pq.ParquetFile(Path(lake.locate(lake.list(FOLDER)[0]))) as stored:
        groups = [stored.read_row_group(number)["request_id"].to_pylist() for number in range(stored.num_row_groups)]
    assert all(group == sorted(group) and len(group) <= 2 for group in groups)


def test_batches_loaded_since_are_read_directly(
    six: list[tuple[str, ...]], load: Load, lake: Lake, store: ResultStore
) -> None:
    load("b6", "everywhere", "new")
    load("b7", "nowhere")
    found = store.look_up([*EVERY, "new"])
    assert set(lines(found)) - set(six) == {
        ("everywhere", "succeeded", "b6"),
        ("new", "succeeded", "b6"),
        ("nowhere", "succeeded", "b7"),
    }
    assert len(lake.list(FOLDER)) == 2


def test_results_written_again_since_are_read_directly(
    six: list[tuple[str, ...]], load: Load, store: ResultStore
) -> None:
    load("b2", "r2-0", outcome="succeeded")
    assert lines(store.look_up(["r2-0", "r2-1", "r3-0"])) == [("r2-0", "succeeded", "b2"), ("r3-0", "expired", "b3")]


def test_a_foreign_copy_of_results_is_ignored(
    six: list[tuple[str, ...]], load: Load, lake: Lake, store: ResultStore
) -> None:
    lake.write("results/p/old/b2.parquet", lake.read("results/p/b2.parquet"))
    lake.write("results/p/b3.parquet.old", lake.read("results/p/b3.parquet"))
    load("b2", "r2-0", outcome="succeeded")
    assert lines(store.look_up(["r2-0", "r3-0"])) == [("r2-0", "succeeded", "b2"), ("r3-0", "expired", "b3")]
    assert Ledger(lake, pipeline="p").loaded_batches() == {f"b{number}" for number in range(6)}


def test_deleted_results_are_not_found(six: list[tuple[str, ...]], lake: Lake, store: ResultStore) -> None:
    delete(lake, "results/p/b2.parquet")
    assert lines(store.look_up(EVERY)) == [line for line in six if line[2] != "b2"]


@pytest.mark.parametrize("gone", [[0], [1], [0, 1]], ids=str)
def test_a_deleted_index_is_built_again(
    six: list[tuple[str, ...]], lake: Lake, store: ResultStore, gone: list[int]
) -> None:
    before = lake.list(FOLDER)
    for number in gone:
        delete(lake, before[number])
    assert lines(store.look_up(EVERY)) == six
    assert lake.list(FOLDER) == before


def damaged(data: bytes, how: str) -> bytes:
    match how:
        case "empty":
            return b""
        case "cut":
            return data[: len(data) // 2]
        case "not Parquet":
            return b"PAR1 is how a Parquet file begins and ends PAR1"
        case "foreign Parquet":
            pq.write_table(pa.table({"x": [1]}), sink := pa.BufferOutputStream())
            return bytes(sink.getvalue())
        case "other columns" | "no batch names":
            batches = pq.read_metadata(pa.BufferReader(data)).metadata[b"batches"] if "columns" in how else b"5"
            other = pa.table({"request_id": [1]}).replace_schema_metadata({b"batches": batches})
            pq.write_table(other, sink := pa.BufferOutputStream())
            return bytes(sink.getvalue())
        case _:
            return data[:60] + bytes(byte ^ 0xFF for byte in data[60:120]) + data[120:]


@pytest.mark.parametrize(
    "how",
    ["empty", "cut", "not Parquet", "foreign Parquet", "other columns", "no batch names", "one page"],
)
def test_a_damaged_index_is_logged_and_built_again(
    six: list[tuple[str, ...]], lake: Lake, store: ResultStore, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = {key: lake.read(key) for key in lake.list(FOLDER)}
    key = next(iter(before))
    lake.write(key, damaged(before[key], how))
    assert lines(store.look_up(EVERY)) == six
    assert f"{lake.locate(key)} cannot be read" in caplog.text
    assert lines(store.look_up(EVERY)) == six
    assert {key: lake.read(key) for key in lake.list(FOLDER)} == before


def test_an_index_of_a_newer_version_is_rejected(
    six: list[tuple[str, ...]], lake: Lake, store: ResultStore, tmp_path: Path
) -> None:
    key = lake.list(FOLDER)[0]
    table = pq.read_table(Path(lake.locate(key)))
    newer = table.replace_schema_metadata({**table.schema.metadata, b"version": b"2"})
    pq.write_table(newer, tmp_path / "newer.parquet")
    lake.write_file(key, tmp_path / "newer.parquet")
    with pytest.raises(LakeError, match=r"has version 2.*Nothing was changed"):
        store.look_up(EVERY)


def test_simultaneous_indexing_leaves_the_same_files(load: Load, lake: Lake, store: ResultStore) -> None:
    for number in range(6):
        load(f"b{number}", "everywhere", f"r{number}-0")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: lines(ResultStore(lake, pipeline="p").look_up(EVERY)), range(4)))
    assert all(each == found[0] and len(each) == 12 for each in found)
    assert len(lake.list(FOLDER)) == 2
    assert lines(store.look_up(EVERY)) == found[0]


def test_overlapping_files_cause_no_duplicates(load: Load, lake: Lake, store: ResultStore) -> None:
    """They arise if two runs index at once and one of them has found one more batch."""
    load("b0", "everywhere")
    load("b2", "everywhere")
    load("b3", "everywhere")
    store.look_up(EVERY)
    (first,) = lake.list(FOLDER)
    kept = lake.read(first)
    delete(lake, first)
    load("b1", "everywhere")
    store.look_up(EVERY)
    lake.write(first, kept)
    assert len(lake.list(FOLDER)) == 2
    assert lines(store.look_up(EVERY)) == [("everywhere", "succeeded", f"b{number}") for number in range(4)]
