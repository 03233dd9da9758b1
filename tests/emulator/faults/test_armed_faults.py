"""When an armed fault strikes: after how many chances, how often, and in which workspace."""

from __future__ import annotations

from collections.abc import Callable

import anthropic
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request
from tests.fixtures.emulator import Emulator


def test_faults_are_listed_with_their_remaining_strikes_and_cleared(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 500, "times": 3}])
    with pytest.raises(anthropic.InternalServerError):
        create(client, request())
    assert emulator.faults()[0]["remaining"] == 2
    emulator.set_faults([])
    assert emulator.faults() == []


def _statuses(client: Anthropic, calls: int) -> list[int]:
    found = []
    for _ in range(calls):
        try:
            client.messages.batches.list()
            found.append(200)
        except anthropic.APIStatusError as error:
            found.append(error.status_code)
    return found


def test_a_fault_passes_its_first_chances_and_then_strikes_the_given_times(
    emulator: Emulator, client: Anthropic
) -> None:
    emulator.set_faults([{"kind": "http_error", "on": "list", "status": 503, "after": 2, "times": 3}])
    assert _statuses(client, 2) == [200, 200]
    assert [(fault["chances"], fault["remaining"]) for fault in emulator.faults()] == [(2, 3)]
    assert _statuses(client, 5) == [503, 503, 503, 200, 200]


def test_a_fault_that_does_not_strike_leaves_the_call_to_the_next_one(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults(
        [
            {"kind": "http_error", "on": "list", "status": 503, "after": 1, "times": 1},
            {"kind": "http_error", "on": "list", "status": 529, "times": 2},
        ]
    )
    assert _statuses(client, 4) == [529, 503, 529, 200]


def test_a_fault_strikes_at_random_but_at_the_same_calls_every_time(
    emulator: Emulator, client: Anthropic, client_of: Callable[[Emulator], Anthropic]
) -> None:
    other = emulator.workspace()
    fault = {"kind": "http_error", "on": "list", "status": 503, "chance": 0.3, "after": 5, "times": 12}
    emulator.set_faults([fault])
    other.set_faults([fault])
    statuses = _statuses(client, 60)
    assert statuses == _statuses(client_of(other), 60)
    assert statuses[:5] == [200] * 5
    assert 6 <= statuses.count(503) <= 12


def test_a_row_fault_has_one_chance_for_each_batch(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "errored", "chance": 0.5, "after": 1}])
    counts = [ended(client, create(client, *[request()] * 3).id).request_counts.errored for _ in range(20)]
    assert counts[0] == 0
    assert set(counts) == {0, 3}


def test_a_fault_of_one_workspace_leaves_the_others(emulator: Emulator, client: Anthropic) -> None:
    other = emulator.workspace()
    other.set_faults([{"kind": "slow", "seconds": 60}, {"kind": "http_error", "status": 500}])
    create(client, request())
    assert [fault["chances"] for fault in other.faults()] == [0, 0]
