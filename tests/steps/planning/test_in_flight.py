"""in_flight.py: what waits for its batch; test_plan.py has what a plan makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from include.enrichment.batches.ledger import OpenChunk, OpenChunks
from include.enrichment.errors import LakeError, NotSent, NotYet
from include.enrichment.storage import layout
from include.gateways.ledger_store import Ledger
from include.steps.files.chunk_files import request_ids_of
from include.steps.planning.in_flight import find_in_flight
from tests.fixtures.flow import Flow, sizes, write_tickets
from tests.fixtures.lake import delete


def test_an_open_chunk_shows_its_requests_whose_it_is_and_whether_it_was_sent(twenty: Flow) -> None:
    twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
    (sent,) = twenty.plan()
    twenty.submit(sent)
    write_tickets(twenty.database, [("late", "Late")])
    twenty.extract()
    _, planned = twenty.plan()
    found = find_in_flight(twenty.ledger.find_open(), twenty.run("manual__2"), twenty.ledger, twenty.lake)
    assert {chunk.chunk_id: (len(chunk.request_ids), chunk.sent, chunk.own) for chunk in found.chunks} == {
        layout.chunk_id_of(sent): (20, True, False),
        layout.chunk_id_of(planned): (1, False, False),
    }
    own = find_in_flight(twenty.ledger.find_open(), twenty.folder, twenty.ledger, twenty.lake)
    assert [chunk.own for chunk in own.chunks] == [True, True]


def test_a_chunk_that_has_landed_is_over(twenty: Flow) -> None:
    twenty.send()
    found = find_in_flight(twenty.ledger.find_open(), twenty.folder, twenty.ledger, twenty.lake)
    assert (found.chunks, len(found.over)) == ([], 1)


def test_a_chunk_whose_create_is_unclear_counts_as_in_flight(twenty: Flow) -> None:
    (chunk,) = twenty.plan()
    twenty.emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    with pytest.raises(NotYet):
        twenty.submit(chunk)
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    assert twenty.plan() == [chunk]


def test_a_chunk_of_a_run_that_gave_up_long_ago_is_closed_and_cannot_be_sent(twenty: Flow) -> None:
    (old,) = twenty.plan()
    ledger = Ledger(twenty.lake, pipeline="tickets")
    long_ago = OpenChunk(folder="runs/tickets/2026-11-01/manual__0/", planned_at=datetime.now(UTC) - timedelta(days=8))
    ledger.write_open(OpenChunks(chunks={layout.chunk_id_of(old): long_ago}), over=ledger.find_open())
    write_tickets(twenty.database, [("late", "Late")])
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    assert sizes(twenty) == [21]
    with pytest.raises(NotSent):
        twenty.submit(old)


@pytest.mark.parametrize("damaged", [True, False])
@pytest.mark.parametrize("sent", [True, False])
def test_a_chunk_whose_file_is_gone_or_damaged_counts_only_if_it_was_sent(
    twenty: Flow, sent: bool, damaged: bool
) -> None:
    (chunk,) = twenty.plan()
    if sent:
        twenty.emulator.set_faults([{"kind": "duration", "seconds": 3600}])
        twenty.submit(chunk)
    if damaged:
        twenty.lake.write(chunk, b"PAR1")
    else:
        delete(twenty.lake, chunk)
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    if sent:
        with pytest.raises(LakeError, match=r"submitted in the ledger.*Restore the file.*open\.json"):
            twenty.plan()
    else:
        assert twenty.plan() == [chunk]
        assert len(request_ids_of(twenty.lake, chunk)) == 20


def test_outcomes_that_were_deleted_are_not_paid_for_again_while_there_is_a_raw_copy(twenty: Flow) -> None:
    (chunk,) = twenty.plan()
    twenty.load(chunk)
    (results,) = twenty.lake.list("results/tickets/")
    delete(twenty.lake, results)
    twenty.folder = twenty.run("manual__2")
    twenty.extract()
    with pytest.raises(LakeError, match=r"(?s)Outcomes were deleted .*\(1 of them\).*Nothing was sent.*`load`"):
        twenty.plan()
    twenty.load(chunk)
    assert twenty.plan() == []
    assert twenty.requests_sent() == 20
