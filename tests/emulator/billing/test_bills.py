"""The bills: what is billed, what is billed twice, and which batches nobody has downloaded."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path

import anthropic
import httpx2
import pytest
from anthropic import Anthropic

from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator, EmulatorProcess

ClientOf = Callable[[Emulator], Anthropic]


def _ended_batch(client: Anthropic, *texts: str, ids: list[str] | None = None) -> str:
    return ended(client, create(client, *map(request, texts), ids=ids).id).id


def test_only_requests_that_succeeded_are_billed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults(
        [
            {"kind": "errored", "custom_ids": ["r-0"]},
            {"kind": "expired", "custom_ids": ["r-1"]},
            {"kind": "canceled", "custom_ids": ["r-2"]},
            {"kind": "refusal", "custom_ids": ["r-3"]},
        ]
    )
    batch = ended(client, create(client, *map(request, "abcde"), request(max_tokens=0)).id)
    usages = [line["message"]["usage"] for line in results(client, batch.id).values() if line["type"] == "succeeded"]
    input_tokens, output_tokens = (sum(usage[f"{kind}_tokens"] for usage in usages) for kind in ("input", "output"))
    charge = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": 0,
    }
    bills = emulator.bills()
    assert Decimal(bills.pop("usd")) == Decimal(input_tokens + 5 * output_tokens) / 2_000_000
    (bill,) = bills.pop("bills")
    assert Decimal(bill.pop("usd")) == emulator.billed_usd()
    assert bills.pop("synchronous") == 0
    assert bills == {"batches": 1, "requests": 2, "distinct": 2, "billed_twice": 0, "twice": [], **charge}
    workspace = client.with_raw_response.models.list().headers["anthropic-workspace-id"]
    assert bill == {"id": batch.id, "workspace": workspace, "requests": 2, **charge}


def test_cache_reads_and_writes_are_billed(emulator: Emulator, client: Anthropic) -> None:
    marked = {"type": "text", "text": "long " * 20_000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    for _ in range(2):
        ended(client, create(client, *[request(system=[marked])] * 20).id)
    bills = emulator.bills()
    assert bills["cache_creation_input_tokens"] > 0
    assert bills["cache_read_input_tokens"] > 0


def test_writes_for_an_hour_and_for_five_minutes_are_billed_apart(emulator: Emulator, client: Anthropic) -> None:
    hour, minutes = (
        {"type": "text", "text": text * 5_000, "cache_control": {"type": "ephemeral", "ttl": ttl}}
        for text, ttl in (("hour", "1h"), ("five", "5m"))
    )
    ended(client, create(client, request(system=[hour, minutes])).id)
    ended(client, create(client, request(system=[hour])).id)
    first, second = emulator.bills()["bills"]
    assert (first["ephemeral_1h_input_tokens"], first["ephemeral_5m_input_tokens"]) == (5_000, 5_000)
    assert first["cache_creation_input_tokens"] == 10_000
    assert second["cache_read_input_tokens"] == 5_000


def test_the_bill_is_the_sum_of_the_batches_bills(emulator: Emulator, client: Anthropic) -> None:
    batches = [_ended_batch(client, *"abc"), _ended_batch(client, *"defg"), _ended_batch(client, "h")]
    bills = emulator.bills()
    assert [bill["id"] for bill in bills["bills"]] == batches
    assert [bill["requests"] for bill in bills["bills"]] == [3, 4, 1]
    for name in ("input_tokens", "output_tokens"):
        assert sum(bill[name] for bill in bills["bills"]) == bills[name]
    assert sum(Decimal(bill["usd"]) for bill in bills["bills"]) == Decimal(bills["usd"]) > 0


@pytest.mark.parametrize(("geo", "tenths"), [("us", 11), ("global", 10), (None, 10)])
def test_everything_costs_a_tenth_more_in_the_us(
    emulator: Emulator, client: Anthropic, geo: str | None, tenths: int
) -> None:
    batch = ended(client, create(client, request(model="claude-sonnet-4-6", inference_geo=geo)).id)
    usage = results(client, batch.id)["r-0"]["message"]["usage"]
    plain = Decimal(usage["input_tokens"] * 3 + usage["output_tokens"] * 15) / 2_000_000
    assert emulator.billed_usd() == plain * tenths / 10


def test_long_and_short_prompts_of_a_batch_have_their_own_prices(emulator: Emulator, client: Anthropic) -> None:
    texts = ("word" * 100_000, "word" * 100_001)
    params = [request(text, model="claude-haiku-5-5", thinking={"type": "disabled"}) for text in texts]
    batch = ended(client, create(client, *params).id)
    short, long = (results(client, batch.id)[name]["message"]["usage"] for name in ("r-0", "r-1"))
    assert (short["input_tokens"], long["input_tokens"]) == (100_000, 100_001)
    assert emulator.billed_usd() == (
        Decimal(short["input_tokens"] * 10 + short["output_tokens"] * 50) / 200_000_000
        + Decimal(long["input_tokens"] * 50 + long["output_tokens"] * 250) / 200_000_000
    )


def test_a_state_folder_with_bills_without_dollars_still_opens(tmp_path: Path, client_of: ClientOf) -> None:
    state = tmp_path / "state"
    with EmulatorProcess(state, processing_seconds=0) as process:
        server = process.workspace()
        _ended_batch(client_of(server), "a", "b")
        process.stop()
        with closing(sqlite3.connect(state / "emulator.db")) as database, database:
            names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
            (charge,) = (json.loads(text) for (text,) in database.execute("SELECT tokens FROM bills"))
            before = json.dumps({name: charge[name] for name in names}).encode()
            database.execute("UPDATE bills SET tokens = ?", (before,))
        process.start()
        new = _ended_batch(client_of(server), "c")
        bills = server.bills()
        assert (bills["requests"], bills["usd"], bills["ephemeral_1h_input_tokens"]) == (3, None, None)
        assert bills["input_tokens"] > charge["input_tokens"]
        old_bill, new_bill = bills["bills"]
        assert old_bill["usd"] is None
        assert new_bill["id"] == new
        assert Decimal(new_bill["usd"]) > 0


def test_nothing_is_billed_before_a_batch_ends(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600}])
    batch = create(client, request())
    assert (emulator.bills()["batches"], emulator.bills()["requests"], emulator.orphans()) == (0, 0, [])
    emulator.advance_clock(600)
    ended(client, batch.id)
    assert (emulator.bills()["batches"], emulator.bills()["requests"], emulator.orphans()) == (1, 1, [batch.id])


def test_a_batch_canceled_in_time_is_not_billed(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600}])
    batch = create(client, request())
    client.messages.batches.cancel(batch.id)
    ended(client, batch.id)
    assert (emulator.bills()["batches"], emulator.bills()["requests"], emulator.orphans()) == (1, 0, [])


def test_a_deleted_batch_stays_billed(emulator: Emulator, client: Anthropic) -> None:
    client.messages.batches.delete(_ended_batch(client, "a", "b"))
    assert emulator.bills()["requests"] == 2


def test_a_request_is_identified_by_its_params_not_its_custom_id(emulator: Emulator, client: Anthropic) -> None:
    first = _ended_batch(client, "a", "b", "c", ids=["z", "y", "x"])
    second = _ended_batch(client, "a", "b", "b", "d", ids=["other-0", "other-1", "other-2", "x"])
    third = _ended_batch(client, "b")
    bills = emulator.bills()
    assert (bills["requests"], bills["distinct"], bills["billed_twice"]) == (8, 4, 4)
    assert bills["twice"] == [
        {"custom_id": "y", "times": 4, "batches": [first, second, third]},
        {"custom_id": "z", "times": 2, "batches": [first, second]},
    ]
    assert emulator.billed_twice() == ["y", "z"]


def test_at_most_a_thousand_repeated_requests_are_listed_and_all_counted(emulator: Emulator, client: Anthropic) -> None:
    texts = [f"ticket {number}" for number in range(1100)]
    for _ in range(2):
        _ended_batch(client, *texts)
    assert emulator.bills()["billed_twice"] == 1100
    assert len(emulator.billed_twice()) == 1000


def test_a_lost_response_leaves_an_orphan_that_is_billed_twice(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "reset_after_create", "times": 1}])
    kept = create(client.with_options(max_retries=1), request())
    results(client, ended(client, kept.id).id)
    lost = [batch["id"] for batch in emulator.batches_made() if batch["id"] != kept.id]
    ended(client, lost[0])
    assert emulator.orphans() == lost
    assert emulator.billed_twice() == ["r-0"]


def test_the_log_lists_the_counts_of_a_batch(emulator: Emulator, client: Anthropic) -> None:
    emulator.set_faults([{"kind": "expired", "custom_ids": ["r-0"], "times": 1}, {"kind": "stuck", "after": 1}])
    batch_id = _ended_batch(client, "a", "b", "c")
    create(client, request())
    for _ in range(2):
        results(client, batch_id)
    done, running = emulator.batches_made()
    assert {name: done[name] for name in ("processing", "succeeded", "errored", "canceled", "expired")} == {
        "processing": 0,
        "succeeded": 2,
        "errored": 0,
        "canceled": 0,
        "expired": 1,
    }
    assert (done["ended"], done["downloads"]) == (True, 2)
    assert (running["ended"], running["processing"], running["downloads"]) == (False, 1, 0)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "cut_results"},
        {"kind": "cut_results", "at": "line_boundary"},
        {"kind": "missing_lines"},
        {"kind": "archived"},
        {"kind": "http_error", "on": "results", "status": 500},
        {"kind": "slow", "on": "results", "seconds": 0.6},
        {"kind": "stall_results", "seconds": 0.6},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
def test_a_download_counts_only_when_complete(emulator: Emulator, client: Anthropic, fault: dict[str, object]) -> None:
    batch_id = _ended_batch(client, "a", "b", "c", "d")
    emulator.set_faults([fault])
    with suppress(anthropic.AnthropicError, httpx2.HTTPError):
        results(client.with_options(timeout=0.3), batch_id)
    emulator.set_faults([])
    time.sleep(0.5 if "seconds" in fault else 0)  # until the server comes back to a client that gave up
    assert emulator.orphans() == [batch_id]
    results(client, batch_id)
    assert emulator.orphans() == []
    assert emulator.batches_made()[0]["downloads"] == 1


@pytest.mark.parametrize("kind", ["duplicate_lines", "foreign_lines", "gzip_results", "no_final_newline"])
def test_a_download_with_every_line_counts(emulator: Emulator, client: Anthropic, kind: str) -> None:
    batch_id = _ended_batch(client, "a", "b")
    emulator.set_faults([{"kind": kind}])
    list(client.messages.batches.results(batch_id))
    assert emulator.batches_made()[0]["downloads"] == 1


def test_without_a_key_the_bills_of_all_workspaces_are_listed_separately(tmp_path: Path, client_of: ClientOf) -> None:
    with EmulatorProcess(tmp_path / "state", processing_seconds=0) as process:
        one, other = process.workspace(), process.workspace()
        first = _ended_batch(client_of(one), "a", "b")
        second = _ended_batch(client_of(other), "a", "c")
        assert process.bills()["requests"] == 4
        assert process.billed_twice() == []
        assert (one.bills()["requests"], other.bills()["requests"]) == (2, 2)
        assert process.orphans() == [first, second]
        assert one.orphans() == [first]
