from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from include.enrichment.batches.ledger import Entry, Fence, OpenChunk, OpenChunks, State
from include.enrichment.errors import LakeError
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger_store import Ledger, Recorded
from tests.fixtures.lake import delete
from tests.fixtures.s3 import Bucket
from tests.gateways.s3_proxy import on_s3

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)


def entry(
    run_id: str = "a", *, chunk_id: str = "c1", state: State = "submitting", batch_id: str | None = None
) -> Entry:
    return Entry(
        chunk_id=chunk_id,
        pipeline="p",
        chunk=f"chunks/p/{chunk_id}.parquet",
        requests=2,
        run_id=run_id,
        run_ids=[run_id],
        state=state,
        changed_at=NOW,
        batch_id=batch_id,
        fence=Fence(newest_batch=None, at=NOW),
    )


def opened(*chunk_ids: str, run_id: str = "a") -> OpenChunks:
    return OpenChunks(chunks={chunk_id: OpenChunk(folder=run_id, planned_at=NOW) for chunk_id in chunk_ids})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path)


@pytest.fixture
def ledger(lake: Lake) -> Ledger:
    return Ledger(lake, pipeline="p")


@pytest.fixture(params=["folder", "s3"])
def any_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    """A ledger on either kind of lake."""
    if request.param == "folder":
        return Ledger(Lake.in_folder(tmp_path), pipeline="p")
    bucket: Bucket = request.getfixturevalue("s3_bucket")
    return Ledger(on_s3(bucket.uri, bucket.endpoint_url), pipeline="p")


class TestEntries:
    def test_an_unrecorded_chunk_has_no_entry(self, ledger: Ledger) -> None:
        assert ledger.find("c1") is None

    def test_an_entry_passes_through_its_states(self, any_ledger: Ledger) -> None:
        claimed = any_ledger.write(entry(), over=None)
        assert claimed.value == entry()
        submitted = any_ledger.write(claimed.value.becomes("submitted", at=LATER, batch_id="b1"), over=claimed)
        assert any_ledger.find("c1") == submitted
        landed = any_ledger.write(submitted.value.becomes("landed", at=LATER), over=submitted)
        assert any_ledger.find("c1") == landed
        assert landed.value.batch_id == "b1"

    def test_the_second_of_two_runs_that_claim_a_chunk_gets_a_conflict(self, any_ledger: Ledger) -> None:
        first = any_ledger.write(entry("a"), over=None)
        with pytest.raises(Conflict):
            any_ledger.write(entry("b"), over=None)
        assert any_ledger.find("c1") == first

    def test_a_write_over_a_stale_entry_gets_a_conflict_and_changes_nothing(self, any_ledger: Ledger) -> None:
        stale = any_ledger.write(entry(), over=None)
        newer = any_ledger.write(stale.value.becomes("unclear", at=LATER), over=stale)
        with pytest.raises(Conflict):
            any_ledger.write(stale.value.becomes("submitted", at=LATER, batch_id="b1"), over=stale)
        assert any_ledger.find("c1") == newer

    @pytest.mark.parametrize("over", [True, False])
    def test_a_repeated_write_of_an_entry_is_recognized_as_our_own(self, any_ledger: Ledger, over: bool) -> None:
        before = any_ledger.write(entry("z"), over=None) if over else None
        first = any_ledger.write(entry("a"), over=before)
        assert any_ledger.write(entry("a"), over=before) == first
        assert any_ledger.write(entry("b"), over=first).value.run_id == "b"

    def test_an_entry_deleted_meanwhile_is_not_written_again(self, lake: Lake, ledger: Ledger) -> None:
        claimed = ledger.write(entry(), over=None)
        delete(lake, "ledger/p/c1.json")
        with pytest.raises(Conflict):
            ledger.write(claimed.value.becomes("unclear", at=LATER), over=claimed)
        assert ledger.find("c1") is None

    def test_exactly_one_of_many_simultaneous_claims_wins(self, ledger: Ledger) -> None:
        start, won = Barrier(8), []

        def claim(run_id: str) -> None:
            start.wait()
            with suppress(Conflict):
                won.append(ledger.write(entry(run_id), over=None))

        claims = [Thread(target=claim, args=[str(number)]) for number in range(8)]
        for thread in claims:
            thread.start()
        for thread in claims:
            thread.join()
        assert [ledger.find("c1")] == won

    def test_each_pipeline_has_its_own_ledger(self, lake: Lake, ledger: Ledger) -> None:
        ledger.write(entry(), over=None)
        ledger.write_open(opened("c1"), over=None)
        other = Ledger(lake, pipeline="p2")
        assert (other.find("c1"), other.find_open(), other.claimed_batches()) == (None, None, set())

    def test_several_entries_come_in_the_requested_order_with_none_for_a_missing_one(self, ledger: Ledger) -> None:
        known = [f"c{number:02}" for number in range(40)]
        for chunk_id in known:
            ledger.write(entry(chunk_id=chunk_id), over=None)
        asked = ["x", *known[::-1], "y", "c07", "z"]
        found = ledger.entries(asked)
        assert [one.chunk_id if one else None for one in found] == [None, *known[::-1], None, "c07", None]
        assert ledger.entries([]) == []

    def test_recently_written_entries_come_latest_first(self, ledger: Ledger) -> None:
        known = [str(number) * 22 for number in (1, 0, 2)]
        for chunk_id in known:
            ledger.write(entry(chunk_id=chunk_id), over=None)
            time.sleep(0.02)
        ledger.write_open(opened("c1"), over=None)
        assert ledger.changed_since(datetime.now(UTC) - timedelta(hours=1)) == known[::-1]
        assert ledger.changed_since(datetime.now(UTC) + timedelta(hours=1)) == []

    def test_the_address_of_an_entry_is_its_file(self, tmp_path: Path, ledger: Ledger) -> None:
        ledger.write(entry(), over=None)
        assert Path(ledger.locate("c1")).read_text().startswith("{")
        assert ledger.locate("c1") == f"{tmp_path}/ledger/p/c1.json"


class TestOpenChunks:
    def test_without_any_plan_there_are_no_open_chunks(self, ledger: Ledger) -> None:
        assert ledger.find_open() is None

    def test_open_chunks_are_read_as_they_were_written(self, any_ledger: Ledger) -> None:
        any_ledger.write_open(opened("c1"), over=None)
        first = any_ledger.find_open()
        assert first
        assert first.value == opened("c1")
        any_ledger.write_open(opened("c2"), over=first)
        second = any_ledger.find_open()
        assert second
        assert second.value == opened("c2")

    @pytest.mark.parametrize("over", [True, False])
    def test_the_second_of_two_simultaneous_plans_gets_a_conflict(self, any_ledger: Ledger, over: bool) -> None:
        before: Recorded[OpenChunks] | None = None
        if over:
            any_ledger.write_open(opened(), over=None)
            before = any_ledger.find_open()
        any_ledger.write_open(opened("c1", run_id="a"), over=before)
        with pytest.raises(Conflict):
            any_ledger.write_open(opened("c2", run_id="b"), over=before)
        found = any_ledger.find_open()
        assert found
        assert found.value == opened("c1", run_id="a")

    def test_an_added_chunk_joins_the_others_and_is_never_overwritten(self, any_ledger: Ledger) -> None:
        for number in (1, 2, 3):
            any_ledger.add_open("c1" if number != 2 else "c2", OpenChunk(folder=f"{number}", planned_at=NOW))
        found = any_ledger.find_open()
        assert found
        assert {chunk_id: chunk.folder for chunk_id, chunk in found.value.chunks.items()} == {"c1": "1", "c2": "2"}

    def test_none_of_many_simultaneous_additions_is_lost(self, ledger: Ledger) -> None:
        with ThreadPoolExecutor(8) as others:
            list(
                others.map(lambda number: ledger.add_open(f"c{number}", OpenChunk(folder="", planned_at=NOW)), range(8))
            )
        found = ledger.find_open()
        assert found
        assert len(found.value.chunks) == 8

    def test_a_repeated_write_is_recognized_as_our_own(self, ledger: Ledger) -> None:
        ledger.write_open(opened("c1"), over=None)
        ledger.write_open(opened("c1"), over=None)
        found = ledger.find_open()
        assert found
        assert set(found.value.chunks) == {"c1"}


class TestClaimedBatches:
    def test_they_are_the_batches_of_open_chunks_and_the_loaded_ones(self, lake: Lake, ledger: Ledger) -> None:
        ledger.write(entry(chunk_id="sent", state="submitted", batch_id="b_sent"), over=None)
        ledger.write(entry(chunk_id="landed", state="landed", batch_id="b_landed"), over=None)
        ledger.write(entry(chunk_id="claimed"), over=None)
        ledger.write_open(opened("sent", "landed", "claimed", "planned"), over=None)
        for key in ("results/p/b_loaded.parquet", "results/p/b_landed.parquet", "results/p2/b_other.parquet"):
            lake.write(key, b"")
        assert ledger.claimed_batches() == {"b_sent", "b_landed", "b_loaded"}

    def test_loaded_batches_are_claimed_even_if_no_chunk_was_ever_open(self, lake: Lake, ledger: Ledger) -> None:
        lake.write("results/p/b_loaded.parquet", b"")
        assert ledger.claimed_batches() == {"b_loaded"}

    def test_without_any_batch_none_is_claimed(self, ledger: Ledger) -> None:
        assert ledger.claimed_batches() == set()

    def test_an_unreadable_entry_of_an_open_chunk_is_an_error(self, lake: Lake, ledger: Ledger) -> None:
        """Another chunk could claim a batch that is missing here."""
        ledger.write_open(opened("c1"), over=None)
        lake.write("ledger/p/c1.json", b"{}")
        with pytest.raises(LakeError, match="is not a ledger entry"):
            ledger.claimed_batches()


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff", b"[]", b'{"version": 0}', b'{"cost_usd": 1}'])
@pytest.mark.parametrize(
    ("name", "find"),
    [
        ("c1", lambda ledger: ledger.find("c1")),
        ("c1", lambda ledger: ledger.entries(["c0", "c1"])),
        ("open", lambda ledger: ledger.find_open()),
        ("open", lambda ledger: ledger.claimed_batches()),
    ],
    ids=["find", "entries", "find_open", "claimed_batches"],
)
def test_an_unreadable_record_is_an_error_and_never_an_absent_one(
    lake: Lake, ledger: Ledger, name: str, find: Callable[[Ledger], object], garbage: bytes
) -> None:
    lake.write(f"ledger/p/{name}.json", garbage)
    with pytest.raises(
        LakeError, match=rf"(?s)ledger/p/{name}\.json is not a ledger entry.*It was left unchanged"
    ) as caught:
        find(ledger)
    assert not caught.value.retryable
    assert lake.read(f"ledger/p/{name}.json") == garbage
