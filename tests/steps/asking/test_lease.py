"""lease.py: one process at a time asks a chunk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.enrichment.errors import NotYet
from include.enrichment.synchronous import lease
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.steps.asking.lease import Lease, take_lease
from include.steps.files.chunk_files import Chunk

CHUNK = Chunk(
    key="chunks/tickets/cccccccccccccccccccccc.parquet",
    chunk_id="c" * 22,
    pipeline="tickets",
    schema_text=None,
    request_ids=["r1", "r2"],
    body_bytes=10,
    partition="2026-11-21",
    pass_name="main",
    cached=None,
    attachments_connection=None,
    synchronous=True,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(Lake.in_folder(tmp_path), pipeline="tickets")


def take(ledger: Ledger, run_id: str = "run-1") -> Lease:
    return take_lease(CHUNK, ledger.find(CHUNK.chunk_id), ledger, run_id=run_id, batch_id="asked_c")


def test_of_two_that_take_the_lease_at_the_same_moment_one_gets_it(ledger: Ledger) -> None:
    take(ledger)
    with pytest.raises(NotYet, match="has just changed"):
        take_lease(CHUNK, None, ledger, run_id="run-2", batch_id="asked_c")


def test_a_lease_is_renewed_and_lost_once_another_process_has_taken_over(ledger: Ledger) -> None:
    held = take(ledger)
    held.renew()
    held.check()
    other = take(ledger, "run-2")
    with pytest.raises(NotYet, match=r"was taken over.*paid for twice"):
        held.renew()
    other.renew()


def test_the_run_that_asked_first_and_when_stay_recorded(ledger: Ledger) -> None:
    first = take(ledger).recorded.value
    second = take(ledger, "run-2").recorded.value
    assert (second.run_id, second.run_ids) == ("run-1", ["run-1", "run-2"])
    assert second.asked_since == first.asked_since
    assert second.batch_id == "asked_c"


def test_a_process_whose_lease_has_run_out_asks_nothing_more(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE", timedelta(seconds=-1))
    with pytest.raises(NotYet, match="has not been renewed in time"):
        take(ledger).check()


def test_a_lease_that_is_given_back_is_free(ledger: Ledger) -> None:
    held = take(ledger)
    held.give_back()
    found = ledger.find(CHUNK.chunk_id)
    assert found
    assert lease.free_at(found.value, now=datetime.now(UTC)) is None
