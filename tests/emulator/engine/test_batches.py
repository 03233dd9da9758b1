"""A batch's life by the clock: end, cancel, expiry, archive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import anthropic
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator

HOUR = 3600
DAY = 24 * HOUR


def test_a_batch_ends_when_its_time_has_passed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600}])
    batch = create(client, request())
    emulator.advance_clock(599)
    assert client.messages.batches.retrieve(batch.id).processing_status == "in_progress"
    emulator.advance_clock(1)
    done = ended(client, batch.id)
    assert done.ended_at == batch.created_at + timedelta(minutes=10)
    assert done.request_counts.succeeded == 1


def test_counts_stay_in_processing_until_the_end(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600}])
    batch = create(client, *[request()] * 10)
    emulator.advance_clock(300)
    assert client.messages.batches.retrieve(batch.id).request_counts.processing == 10


def test_leaky_counters_move_before_the_end(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600}, {"kind": "leaky_counters"}])
    batch = create(client, *[request()] * 10)
    emulator.advance_clock(310)
    counts = client.messages.batches.retrieve(batch.id).request_counts
    assert (counts.processing, counts.succeeded) == (5, 5)


def test_a_canceled_batch_ends_with_everything_canceled(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": HOUR}])
    batch = create(client, request(), request())
    client.messages.batches.cancel(batch.id)
    done = ended(client, batch.id)
    assert done.request_counts.canceled == 2
    assert done.cancel_initiated_at is not None
    assert {result["type"] for result in results(client, batch.id).values()} == {"canceled"}


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 30, 70), (1.0, 100, 100)])
def test_a_cancel_spares_requests_that_have_begun(
    emulator: Emulator, client: Anthropic, share: float, least: int, most: int
) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": HOUR}, {"kind": "unfinished", "share": share}])
    batch = create(client, *[request()] * 100)
    client.messages.batches.cancel(batch.id)
    counts = ended(client, batch.id).request_counts
    assert least <= counts.canceled <= most
    assert counts.canceled + counts.succeeded == 100


def test_an_ended_batch_cannot_be_canceled(client: Anthropic) -> None:
    batch = ended(client, create(client, request()).id)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.cancel(batch.id)


def test_unfinished_requests_expire_after_24_hours(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 2 * DAY}, {"kind": "unfinished", "share": 0.4}])
    batch = create(client, *[request()] * 100)
    emulator.advance_clock(DAY)
    done = ended(client, batch.id)
    assert done.ended_at == batch.expires_at
    assert 20 <= done.request_counts.expired <= 60
    assert done.request_counts.expired + done.request_counts.succeeded == 100


def test_a_stuck_batch_outlives_its_24_hours_and_ends_by_a_cancel(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    batch = create(client, request())
    emulator.advance_clock(3 * DAY)
    assert client.messages.batches.retrieve(batch.id).processing_status == "in_progress"
    client.messages.batches.cancel(batch.id)
    assert ended(client, batch.id).request_counts.canceled == 1


def test_after_29_days_a_batch_remains_without_its_results(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, request()).id)
    emulator.advance_clock(29 * DAY)
    archived = client.messages.batches.retrieve(batch.id)
    assert archived.archived_at == batch.created_at + timedelta(days=29)
    assert archived.results_url is None
    with pytest.raises(anthropic.NotFoundError):
        client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)


def test_one_list_call_shows_every_batch_as_it_is_now(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600, "times": 2}])
    for _ in range(3):
        create(client, request())
    states = [batch.processing_status for batch in client.messages.batches.list(limit=1000).data]
    assert states == ["ended", "in_progress", "in_progress"]
    emulator.advance_clock(600)
    assert {batch.processing_status for batch in client.messages.batches.list(limit=1000).data} == {"ended"}


def test_moving_one_workspaces_clock_leaves_the_others(emulator: Emulator, client: Anthropic) -> None:
    emulator.workspace().advance_clock(DAY)
    batch = create(client, request())
    assert abs(datetime.now(UTC) - batch.created_at) < timedelta(hours=1)


def test_lines_come_in_another_order_than_the_requests(client: Anthropic) -> None:
    batch = ended(client, create(client, *[request()] * 50).id)
    order = [line.custom_id for line in client.messages.batches.results(batch.id)]
    assert sorted(order) == sorted(f"r-{index}" for index in range(50))
    assert order != [f"r-{index}" for index in range(50)]


def test_the_same_request_gets_the_same_answer(client: Anthropic) -> None:
    one, other = (results(client, ended(client, create(client, request()).id).id) for _ in range(2))
    assert one == other
