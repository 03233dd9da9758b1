from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from include.enrichment.errors import LakeError
from include.enrichment.ledger import Entry
from include.gateways.lake import Conflict, Lake
from include.gateways.ledger import Ledger

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)


def entry(run_id: str = "a") -> Entry:
    return Entry(chunk_id="c1", pipeline="p", chunk="k", requests=2, run_id=run_id, state="submitting", changed_at=NOW)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.in_folder(tmp_path)


def test_a_chunk_that_nobody_recorded_has_no_entry(lake: Lake) -> None:
    assert Ledger(lake).find("p", "c1") is None


def test_an_entry_goes_through_its_states(lake: Lake) -> None:
    ledger = Ledger(lake)
    claimed = ledger.write(entry(), over=None)
    submitted = ledger.write(claimed.entry.becomes("submitted", at=NOW, batch_id="b1"), over=claimed)
    found = ledger.find("p", "c1")
    assert found == submitted
    assert found.entry.batch_id == "b1"


def test_of_two_runs_that_claim_a_chunk_one_gets_a_conflict(lake: Lake) -> None:
    Ledger(lake).write(entry("a"), over=None)
    with pytest.raises(Conflict):
        Ledger(lake).write(entry("b"), over=None)


def test_a_write_whose_answer_was_lost_is_recognised_as_our_own(lake: Lake) -> None:
    first = Ledger(lake).write(entry("a"), over=None)
    assert Ledger(lake).write(entry("a"), over=None) == first


def test_a_write_over_a_stale_entry_gets_a_conflict(lake: Lake) -> None:
    ledger = Ledger(lake)
    stale = ledger.write(entry(), over=None)
    ledger.write(stale.entry.becomes("planned", at=NOW), over=stale)
    with pytest.raises(Conflict):
        ledger.write(stale.entry.becomes("submitted", at=NOW, batch_id="b1"), over=stale)


@pytest.mark.parametrize("garbage", [b"", b"{}", b'{"version": 2}'])
def test_an_entry_that_cannot_be_read_is_an_error_and_never_no_entry(lake: Lake, garbage: bytes) -> None:
    lake.write("ledger/p/c1.json", garbage)
    with pytest.raises(LakeError, match="is not a ledger entry"):
        Ledger(lake).find("p", "c1")
