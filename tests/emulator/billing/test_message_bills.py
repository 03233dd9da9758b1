"""The bills of synchronous calls: what is billed, at which price, and what is billed twice."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import anthropic
import httpx2
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request
from tests.fixtures.emulator import Emulator, EmulatorProcess


def test_a_synchronous_answer_is_billed_at_the_full_price(emulator: Emulator, client: Anthropic) -> None:
    usage = client.messages.create(**request()).usage
    bills = emulator.bills()
    assert (bills["batches"], bills["requests"], bills["synchronous"], bills["billed_twice"]) == (0, 1, 1, 0)
    assert Decimal(bills["usd"]) == Decimal(usage.input_tokens + 5 * usage.output_tokens) / 1_000_000
    assert [bill["id"] for bill in bills["bills"]] == ["synchronous"]


def test_the_cache_of_synchronous_calls_is_billed(emulator: Emulator, client: Anthropic) -> None:
    system = [{"type": "text", "text": "long " * 20_000, "cache_control": {"type": "ephemeral"}}]
    usages = [client.messages.create(**request(text, system=system)).usage for text in "ab"]
    assert (usages[0].cache_creation_input_tokens, usages[1].cache_read_input_tokens) == (25_000, 25_000)
    written, read = Decimal("1.25") * 25_000, Decimal("0.1") * 25_000
    rest = sum(usage.input_tokens + 5 * usage.output_tokens for usage in usages)
    assert emulator.billed_usd() == (written + read + rest) / 1_000_000


def test_a_rejected_call_is_not_billed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 529, "on": "messages", "times": 1}])
    with pytest.raises(anthropic.OverloadedError):
        client.messages.create(**request())
    with pytest.raises(anthropic.BadRequestError):
        client.messages.create(**request(max_tokens=-1))
    assert emulator.bills()["requests"] == 0


@pytest.mark.parametrize("midway", [False, True])
def test_an_answer_that_is_lost_on_its_way_is_billed(emulator: Emulator, client: Anthropic, midway: bool) -> None:
    emulator.set_faults([{"kind": "lost_answer", "midway": midway, "times": 1}])
    with pytest.raises((anthropic.APIConnectionError, httpx2.RemoteProtocolError)):
        client.messages.create(**request())
    client.messages.create(**request())
    (twice,) = emulator.bills()["twice"]
    assert (twice["times"], twice["batches"]) == (2, ["synchronous"])


def test_an_error_may_follow_a_billed_answer(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "http_error", "status": 504, "on": "messages", "created": True, "times": 1}])
    with pytest.raises(anthropic.InternalServerError):
        client.messages.create(**request())
    assert emulator.bills()["requests"] == 1


def test_a_request_is_the_same_in_a_batch_and_in_a_call(emulator: Emulator, client: Anthropic) -> None:
    params = request()
    batch = ended(client, create(client, params).id)
    client.messages.create(**dict(reversed(params.items())), service_tier="standard_only")
    assert emulator.bills()["twice"] == [{"custom_id": "r-0", "times": 2, "batches": [batch.id, "synchronous"]}]


def test_a_call_is_billed_while_its_answer_is_on_its_way(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "slow", "seconds": 5, "on": "messages"}])
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.2).messages.create(**request())
    assert emulator.bills()["synchronous"] == 1


def test_bills_survive_a_kill(tmp_path: Path, client_of: Callable[[Emulator], Anthropic]) -> None:
    with EmulatorProcess(tmp_path / "state") as process:
        server = process.workspace()
        client_of(server).messages.create(**request())
        before = server.bills()
        process.kill()
        process.start()
        assert server.bills() == before
