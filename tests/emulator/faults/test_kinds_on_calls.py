"""Faults on HTTP calls, as the real SDK sees them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (408, anthropic.APIStatusError),
        (409, anthropic.ConflictError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (503, anthropic.APIStatusError),
        (529, anthropic.APIStatusError),
    ],
)
def test_a_create_fails_with_a_status_and_makes_no_batch(
    emulator: Emulator, client: Anthropic, status: int, error: type[anthropic.APIStatusError]
) -> None:
    emulator.set_faults([{"kind": "http_error", "status": status, "times": 1}])
    with pytest.raises(error) as caught:
        create(client, request())
    assert caught.value.status_code == status
    assert "retry-after" not in caught.value.response.headers
    assert emulator.batches_made() == []
    create(client, request())


def test_a_429_may_have_a_retry_after(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 429, "retry_after": 30}])
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    assert caught.value.response.headers["retry-after"] == "30"


def test_a_spend_limit_is_a_429_with_its_error_code(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 429, "error_code": "enforced_spend_limit_reached"}])
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    body: Any = caught.value.body
    assert body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}


def test_a_workspace_without_human_review_rejects_only_creates(emulator: Emulator, client: Anthropic) -> None:
    made = create(client, request())
    emulator.set_faults([{"kind": "workspace_human_review_disabled"}])
    with pytest.raises(anthropic.BadRequestError) as caught:
        create(client, request())
    assert caught.value.error_code == "workspace_human_review_disabled"
    assert [batch.id for batch in client.messages.batches.list()] == [made.id]


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 529])
def test_any_error_may_come_after_the_batch_is_made(emulator: Emulator, client: Anthropic, status: int) -> None:
    emulator.set_faults([{"kind": "http_error", "status": status, "created": True, "times": 1}])
    with pytest.raises(anthropic.APIStatusError) as caught:
        create(client, request())
    assert caught.value.status_code == status
    assert len(emulator.batches_made()) == 1


@pytest.mark.parametrize(
    ("fault", "made"),
    [
        ({"kind": "reset_before_create"}, 0),
        ({"kind": "reset_before_create", "body_read": False}, 0),
        ({"kind": "reset_after_create"}, 1),
    ],
    ids=["before", "unread", "after"],
)
@pytest.mark.parametrize("text", ["small", "large " * 1_000_000], ids=["small", "large"])
def test_a_reset_create_looks_the_same_with_and_without_a_batch(
    emulator: Emulator, client: Anthropic, fault: dict[str, object], made: int, text: str
) -> None:
    emulator.set_faults([{**fault, "times": 1}])
    with pytest.raises(anthropic.APIConnectionError):
        create(client, request(text))
    assert len(emulator.batches_made()) == made
    assert len(client.messages.batches.list().data) == made


def test_the_sdks_own_retries_pay_twice(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "reset_after_create", "times": 2}])
    create(client.with_options(max_retries=2), request())
    assert [call["retry_count"] for call in emulator.creates()] == [0, 1, 2]
    assert [call["status"] for call in emulator.creates()] == [None, None, 200]
    assert len(emulator.batches_made()) == 3


def test_a_slow_create_makes_its_batch_even_if_the_client_gave_up(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "slow", "seconds": 0.5, "times": 1}])
    with pytest.raises(anthropic.APITimeoutError):
        create(client.with_options(timeout=0.2), request())
    while not emulator.creates():  # a busy server may read the request after its client has given up
        time.sleep(0.02)
    assert len(emulator.batches_made()) == 1


@pytest.mark.parametrize("on", ["retrieve", "results", "cancel", "list", "delete", "models", "messages"])
def test_any_call_can_fail(emulator: Emulator, client: Anthropic, on: str) -> None:
    batch = ended(client, create(client, request()).id)
    emulator.set_faults([{"kind": "http_error", "status": 503, "on": on, "times": 1}])
    batches = client.messages.batches
    calls: dict[str, Callable[[], object]] = {
        "retrieve": lambda: batches.retrieve(batch.id),
        "results": lambda: batches.results(batch.id),
        "cancel": lambda: batches.cancel(batch.id),
        "list": lambda: batches.list(),
        "delete": lambda: batches.delete(batch.id),
        "models": lambda: client.models.list(),
        "messages": lambda: client.messages.create(**request()),
    }
    with pytest.raises(anthropic.APIStatusError) as caught:
        calls[on]()
    assert caught.value.status_code == 503


def test_an_existing_batch_is_not_found_for_a_while_but_listed(emulator: Emulator, client: Anthropic) -> None:
    batch = create(client, request())
    emulator.set_faults([{"kind": "not_found", "times": 2}])
    for _ in range(2):
        with pytest.raises(anthropic.NotFoundError, match=f"Message Batch {batch.id} not found"):
            client.messages.batches.retrieve(batch.id)
    assert client.messages.batches.list().data[0].id == batch.id
    assert client.messages.batches.retrieve(batch.id).id == batch.id


def test_a_new_batch_is_listed_late(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "list_lag", "seconds": 60}])
    batch = create(client, request())
    assert client.messages.batches.list().data == []
    emulator.advance_clock(60)
    assert client.messages.batches.list().data[0].id == batch.id


def test_a_list_without_the_newest_batch_still_shows_the_others(emulator: Emulator, client: Anthropic) -> None:
    old = create(client, request())
    emulator.advance_clock(60)
    new = create(client, request())
    emulator.set_faults([{"kind": "list_lag", "seconds": 60}])
    assert [batch.id for batch in client.messages.batches.list(limit=1)] == [old.id]
    emulator.set_faults([])
    assert [batch.id for batch in client.messages.batches.list(limit=1)] == [new.id, old.id]


def test_a_new_batch_is_invisible_while_older_ones_are_visible(emulator: Emulator, client: Anthropic) -> None:
    old = create(client, request())
    emulator.advance_clock(60)
    emulator.set_faults([{"kind": "list_lag", "seconds": 60}, {"kind": "not_found", "seconds": 60}])
    new = create(client, request())
    assert [batch.id for batch in client.messages.batches.list()] == [old.id]
    assert client.messages.batches.retrieve(old.id).id == old.id
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(new.id)
    emulator.advance_clock(60)
    assert [batch.id for batch in client.messages.batches.list()] == [new.id, old.id]
    assert client.messages.batches.retrieve(new.id).id == new.id


def test_an_archived_batch_remains_without_its_results(emulator: Emulator, client: Anthropic) -> None:
    batch = ended(client, create(client, request()).id)
    emulator.set_faults([{"kind": "archived"}])
    for seen in (client.messages.batches.retrieve(batch.id), client.messages.batches.list().data[0]):
        assert (seen.processing_status, seen.archived_at, seen.results_url) == ("ended", batch.ended_at, None)
    with pytest.raises(anthropic.NotFoundError, match="has no available results"):
        client.get(f"/v1/messages/batches/{batch.id}/results", cast_to=object)
    emulator.set_faults([])
    assert len(results(client, batch.id)) == 1


def test_a_batch_in_progress_is_not_archived(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "archived"}, {"kind": "stuck"}])
    batch = create(client, request())
    assert client.messages.batches.retrieve(batch.id).archived_at is None


@pytest.mark.parametrize(("limit", "fits"), [({"requests": 5}, 2), ({"batches": 1}, 5)], ids=["requests", "batches"])
def test_a_create_beyond_the_queue_limit_is_rejected_until_there_is_room(
    emulator: Emulator, client: Anthropic, limit: dict[str, int], fits: int
) -> None:
    emulator.set_faults([{"kind": "queue_limit", **limit}, {"kind": "duration", "seconds": 600}])
    first = create(client, *[request()] * 3)
    with pytest.raises(anthropic.RateLimitError, match="in the processing queue") as caught:
        create(client, *[request()] * 3)
    assert "retry-after" not in caught.value.response.headers
    assert [batch["id"] for batch in emulator.batches_made()] == [first.id]
    emulator.advance_clock(600)
    ended(client, first.id)
    create(client, *[request()] * fits)


def test_a_create_up_to_the_queue_limit_is_accepted(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "queue_limit", "requests": 5, "retry_after": 30}, {"kind": "stuck"}])
    create(client, *[request()] * 3)
    create(client, *[request()] * 2)
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    assert caught.value.response.headers["retry-after"] == "30"


def test_the_queue_of_one_workspace_leaves_room_in_the_others(
    emulator: Emulator, client: Anthropic, client_of: Callable[[Emulator], Anthropic]
) -> None:
    other = emulator.workspace()
    for workspace in (emulator, other):
        workspace.set_faults([{"kind": "queue_limit", "batches": 1}, {"kind": "stuck"}])
    create(client, request())
    create(client_of(other), request())


def test_batch_calls_beyond_the_limit_per_minute_get_a_429(emulator: Emulator, client: Anthropic) -> None:
    emulator.advance_clock(60 - time.time() % 60)  # so that the test does not straddle two minutes
    emulator.set_faults([{"kind": "calls_per_minute", "calls": 3}])
    batch = create(client, request())
    client.messages.batches.retrieve(batch.id)
    client.messages.batches.list()
    with pytest.raises(anthropic.RateLimitError) as caught:
        create(client, request())
    headers = caught.value.response.headers
    assert (headers["anthropic-ratelimit-requests-limit"], headers["anthropic-ratelimit-requests-remaining"]) == (
        "3",
        "0",
    )
    assert len(emulator.batches_made()) == 1
    client.models.list()  # no batch call: it has a limit of its own
    assert 30 <= int(headers["retry-after"]) <= 60
    emulator.advance_clock(int(headers["retry-after"]))
    create(client, request())
