from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anthropic
import pytest

from claude_batch import poller
from claude_batch.connections import claude_connection as opening
from claude_batch.connections.claude_connection import open_claude
from include.enrichment.batches import poll_schedule
from include.enrichment.batches.poll import BatchPoll, Ended, GiveUp, Look, LookAgain
from include.enrichment.batches.poll_schedule import PAGE_WORTH
from include.enrichment.errors import ApiError
from include.gateways.async_claude import AsyncClaude
from tests.airflow.test_triggers import make_batch
from tests.fixtures.emulator import Emulator, Fault

T = TypeVar("T")
MANY = PAGE_WORTH + 1
WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@pytest.fixture
def running(connections: pytest.MonkeyPatch, emulator: Emulator) -> pytest.MonkeyPatch:
    """Batches run on until they are canceled, rounds follow quickly, and the SDK tries nothing twice by itself."""
    emulator.set_faults([{"kind": "stuck"}])
    connections.setattr(poll_schedule, "CALM_SECONDS", 0.2)
    connect(connections, emulator)
    return connections


def connect(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    connection = {
        "conn_type": "anthropic",
        "host": emulator.url,
        "password": emulator.api_key,
        "extra": {"anthropic_client_kwargs": {"max_retries": 0}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", json.dumps(connection))


def fail(emulator: Emulator, *faults: Fault) -> None:
    emulator.set_faults([{"kind": "stuck"}, *faults])


def end(batch_id: str) -> None:
    with open_claude("anthropic_default") as claude:
        claude.cancel(batch_id)


def wait(
    batch_id: str, *, interval_seconds: float = 0.2, on_trouble: Callable[[LookAgain], None] = lambda _: None
) -> Coroutine[Any, Any, Ended | GiveUp]:
    poll = BatchPoll(batch_id, deadline=datetime.now(UTC) + timedelta(days=1), interval_seconds=interval_seconds)
    return poller.wait(poll, connection="anthropic_default", on_trouble=on_trouble)


async def leave(*waits: asyncio.Task[Any]) -> None:
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def until(happened: Callable[[], object]) -> None:
    while not happened():
        await asyncio.sleep(0.02)


def in_a_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


def looks(emulator: Emulator) -> tuple[int, int]:
    """Return the number of list pages read and of batches retrieved."""
    paths = [call["path"] for call in emulator.log()["calls"] if call["method"] == "GET"]
    retrieves = sum("/batches/" in path for path in paths)
    return len(paths) - retrieves, retrieves


@pytest.fixture
def clients(connections: pytest.MonkeyPatch) -> list[anthropic.AsyncAnthropic]:
    """Return the clients that pollers have opened so far."""
    made: list[anthropic.AsyncAnthropic] = []
    really_open = opening.open_async_claude

    async def open_async_claude(connection: str) -> AsyncClaude:
        claude = await really_open(connection)
        made.append(claude._client)
        return claude

    connections.setattr(opening, "open_async_claude", open_async_claude)
    return made


def test_many_waits_share_one_client_and_one_call_to_the_list(
    running: pytest.MonkeyPatch, emulator: Emulator, clients: list[anthropic.AsyncAnthropic]
) -> None:
    batch_ids = [make_batch() for _ in range(50)]

    async def watch() -> None:
        waits = [asyncio.create_task(wait(batch_id)) for batch_id in batch_ids]
        await until(lambda: looks(emulator)[0] >= 2)
        await leave(*waits)

    in_a_loop(watch())
    pages, retrieves = looks(emulator)
    assert pages < len(batch_ids)
    assert retrieves == 0
    assert len(clients) == 1


def test_jitter_stretches_the_pause_between_rounds(running: pytest.MonkeyPatch, emulator: Emulator) -> None:
    running.setattr(poll_schedule, "JITTER", 5_000)
    running.setattr("random.random", lambda: 1.0)
    batch_ids = [make_batch() for _ in range(MANY)]

    async def watch() -> None:
        waits = [asyncio.create_task(wait(batch_id)) for batch_id in batch_ids]
        await until(lambda: looks(emulator) == (1, 0))
        await asyncio.sleep(1)  # five rounds, were they not stretched
        await leave(*waits)

    in_a_loop(watch())
    assert looks(emulator) == (1, 0)


def test_few_waits_do_not_read_the_list(running: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_ids = [make_batch() for _ in range(PAGE_WORTH)]

    async def watch() -> None:
        waits = [asyncio.create_task(wait(batch_id)) for batch_id in batch_ids]
        await until(lambda: sum(looks(emulator)) >= PAGE_WORTH)
        await leave(*waits)

    in_a_loop(watch())
    assert looks(emulator) == (0, PAGE_WORTH)


def test_batches_missing_from_the_list_are_retrieved(running: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_ids = [make_batch() for _ in range(MANY)]
    for batch_id in batch_ids:
        end(batch_id)
    fail(emulator, {"kind": "list_lag", "seconds": 600})

    async def watch() -> list[Ended | GiveUp]:
        return await asyncio.gather(*(wait(batch_id) for batch_id in batch_ids))

    assert all(isinstance(decision, Ended) for decision in in_a_loop(watch()))
    assert looks(emulator) == (1, MANY)


def test_an_ended_batch_ends_only_its_own_wait(running: pytest.MonkeyPatch) -> None:
    batch_ids = [make_batch() for _ in range(MANY)]

    async def watch() -> None:
        waits = [asyncio.create_task(wait(batch_id)) for batch_id in batch_ids]
        await asyncio.to_thread(end, batch_ids[2])
        done, others = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        assert done == {waits[2]}
        decision = waits[2].result()
        assert isinstance(decision, Ended)
        assert decision.status.batch_id == batch_ids[2]
        await leave(*others)

    in_a_loop(watch())


def test_two_waits_for_one_batch_both_end(running: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_id = make_batch()
    end(batch_id)

    async def watch() -> list[Ended | GiveUp]:
        return await asyncio.gather(*(wait(batch_id) for _ in range(2)))

    assert all(isinstance(decision, Ended) for decision in in_a_loop(watch()))
    assert looks(emulator) == (0, 1)


def test_a_new_wait_is_polled_at_once_while_others_pause(running: pytest.MonkeyPatch) -> None:
    running_on, ended = make_batch(), make_batch()
    end(ended)

    async def watch() -> None:
        other = asyncio.create_task(wait(running_on, interval_seconds=600))
        await asyncio.sleep(0.5)
        assert isinstance(await asyncio.wait_for(wait(ended), 500), Ended)
        await leave(other)

    in_a_loop(watch())


def test_a_canceled_wait_leaves_and_the_last_one_closes_the_client(
    running: pytest.MonkeyPatch, emulator: Emulator, clients: list[anthropic.AsyncAnthropic]
) -> None:
    batch_ids = [make_batch() for _ in range(2)]

    async def watch() -> None:
        first, last = [asyncio.create_task(wait(batch_id)) for batch_id in batch_ids]
        await until(lambda: looks(emulator) == (0, 2))
        await leave(first)
        assert [client.is_closed() for client in clients] == [False]
        await leave(last)
        assert [client.is_closed() for client in clients] == [True]
        assert not poller._pollers[asyncio.get_running_loop()]

    in_a_loop(watch())


def test_event_loops_share_nothing(running: pytest.MonkeyPatch, clients: list[anthropic.AsyncAnthropic]) -> None:
    """dag.test() runs each trigger in its own loop, which ends with the first event."""
    for batch_id in (make_batch(), make_batch()):
        end(batch_id)
        assert isinstance(in_a_loop(wait(batch_id)), Ended)
    assert [client.is_closed() for client in clients] == [True, True]
    assert not any(poller._pollers.values())


@pytest.mark.parametrize("canceled", [False, True])
def test_an_event_loop_that_ends_with_its_last_wait_does_not_cut_off_the_closing(
    running: pytest.MonkeyPatch, emulator: Emulator, clients: list[anthropic.AsyncAnthropic], canceled: bool
) -> None:
    batch_id = make_batch()
    really_close = AsyncClaude.close

    async def close_slowly(self: AsyncClaude) -> None:
        await asyncio.sleep(0.2)
        await really_close(self)

    running.setattr(AsyncClaude, "close", close_slowly)

    async def watch() -> None:
        one = asyncio.create_task(wait(batch_id))
        await until(lambda: looks(emulator) == (0, 1))
        if canceled:
            await leave(one)
        else:
            await asyncio.to_thread(end, batch_id)
            await one

    in_a_loop(watch())
    assert [client.is_closed() for client in clients] == [True]


def test_an_error_of_the_list_is_reported_to_every_wait_and_ends_none(
    running: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    batch_ids = [make_batch() for _ in range(MANY)]
    fail(emulator, {"kind": "http_error", "on": "list", "status": 529, "times": 1, "retry_after": 0.1})
    troubles: list[LookAgain] = []

    async def watch() -> None:
        waits = [asyncio.create_task(wait(batch_id, on_trouble=troubles.append)) for batch_id in batch_ids]
        await until(lambda: looks(emulator)[0] >= 2)
        await asyncio.sleep(0.1)
        assert not any(one.done() for one in waits)
        await leave(*waits)

    in_a_loop(watch())
    assert len(troubles) == MANY
    assert all("HTTP 529" in str(trouble.trouble) for trouble in troubles)


def test_retry_after_holds_for_every_wait(running: pytest.MonkeyPatch, emulator: Emulator) -> None:
    seen, *batch_ids = [make_batch() for _ in range(MANY + 1)]

    async def watch() -> None:
        waits = [asyncio.create_task(wait(seen))]
        await until(lambda: looks(emulator) == (0, 1))
        fail(emulator, {"kind": "http_error", "on": "list", "status": 429, "retry_after": 1.5, "times": 1})
        waits += [asyncio.create_task(wait(batch_id)) for batch_id in batch_ids]
        await until(lambda: looks(emulator)[0] >= 2)
        await leave(*waits)

    in_a_loop(watch())
    calls = [call for call in emulator.log()["calls"] if call["method"] == "GET"]
    refused = next(number for number, call in enumerate(calls) if call["status"] == 429)
    first, second = (datetime.fromisoformat(call["at"]) for call in calls[refused : refused + 2])
    assert second - first >= timedelta(seconds=1.5)


@pytest.mark.parametrize("count", [1, MANY])
def test_a_key_that_is_rejected_twice_ends_every_wait(
    running: pytest.MonkeyPatch, emulator: Emulator, clients: list[anthropic.AsyncAnthropic], count: int
) -> None:
    batch_ids = [make_batch() for _ in range(count)]
    fail(emulator, *({"kind": "http_error", "on": on, "status": 401} for on in ("list", "retrieve")))

    async def watch() -> list[Ended | GiveUp]:
        return await asyncio.gather(*(wait(batch_id) for batch_id in batch_ids))

    for decision in in_a_loop(watch()):
        assert isinstance(decision, GiveUp)
        assert "API rejected the key" in str(decision.error)
    assert sum(looks(emulator)) == 2
    assert [client.is_closed() for client in clients] == [True, True]


@pytest.mark.parametrize("count", [1, MANY])
def test_a_replaced_key_is_used_before_any_wait_fails(
    running: pytest.MonkeyPatch, emulator: Emulator, clients: list[anthropic.AsyncAnthropic], count: int
) -> None:
    batch_ids = [make_batch() for _ in range(count)]
    revoked = emulator.workspace()
    revoked.set_faults([{"kind": "http_error", "on": on, "status": 401} for on in ("list", "retrieve")])
    connect(running, revoked)
    told: list[LookAgain] = []
    really_look = AsyncClaude.look

    async def look(self: AsyncClaude, *arguments: Any, **options: Any) -> dict[str, Look]:
        found = await really_look(self, *arguments, **options)
        connect(running, emulator)
        return found

    running.setattr(AsyncClaude, "look", look)

    async def watch() -> None:
        waits = [asyncio.create_task(wait(batch_id, on_trouble=told.append)) for batch_id in batch_ids]
        await until(lambda: sum(looks(emulator)) >= 1)
        await asyncio.sleep(0.1)
        assert not any(one.done() for one in waits)
        await leave(*waits)

    in_a_loop(watch())
    assert sum(looks(revoked)) == 1
    assert (len(clients), told) == (2, [])


def test_a_batch_of_another_workspace_ends_only_its_own_wait(running: pytest.MonkeyPatch, emulator: Emulator) -> None:
    running.setattr("include.enrichment.batches.poll.NOT_FOUND_LOOKS", 2)
    known = make_batch()

    async def watch() -> None:
        other = asyncio.create_task(wait(known))
        decision = await wait("msgbatch_01AAAAAAAAAAAAAAAAAAAAAA")
        assert isinstance(decision, GiveUp)
        assert "another workspace" in str(decision.error)
        assert not other.done()
        await leave(other)

    in_a_loop(watch())


def test_an_error_is_reported_in_the_context_of_its_own_wait(running: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_ids = [make_batch() for _ in range(MANY)]
    fail(emulator, {"kind": "http_error", "on": "list", "status": 500, "retry_after": 0.1, "times": 1})
    told: list[tuple[str, str]] = []

    async def watch() -> None:
        async def as_a_trigger(batch_id: str) -> None:
            WHO.set(batch_id)
            await wait(batch_id, on_trouble=lambda _: told.append((WHO.get(), batch_id)))

        waits = [asyncio.create_task(as_a_trigger(batch_id)) for batch_id in batch_ids]
        await until(lambda: len(told) == MANY)
        await leave(*waits)

    in_a_loop(watch())
    assert sorted(told) == sorted((batch_id, batch_id) for batch_id in batch_ids)


def test_other_tasks_of_the_event_loop_run_between_two_slices_of_waits(
    running: pytest.MonkeyPatch,
) -> None:
    """3,000 waits on an API that cannot be reached: the error is reported to each of them."""
    running.setenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT", '{"conn_type": "anthropic", "password": "k"}')
    decided = 0
    really_decide = BatchPoll.decide

    async def look(self: AsyncClaude, batches: dict[str, datetime], **_: Any) -> dict[str, Look]:
        return dict.fromkeys(batches, ApiError("HTTP 529", retryable=True))

    def decide(self: BatchPoll, look: Look, *, now: datetime) -> Ended | LookAgain | GiveUp:
        nonlocal decided
        decided += 1
        return really_decide(self, look, now=now)

    running.setattr(AsyncClaude, "look", look)
    running.setattr(BatchPoll, "decide", decide)

    async def watch() -> list[int]:
        waits = [asyncio.create_task(wait(f"b{number}", interval_seconds=600)) for number in range(3_000)]
        in_a_turn = []
        while decided < len(waits):
            before = decided
            await asyncio.sleep(0)
            in_a_turn.append(decided - before)
        await leave(*waits)
        return in_a_turn

    assert max(in_a_loop(watch())) == poll_schedule.SLICE


def test_an_unexpected_failure_ends_every_wait(running: pytest.MonkeyPatch) -> None:
    batch_ids = [make_batch() for _ in range(MANY)]
    for batch_id in batch_ids:
        end(batch_id)

    async def look(*_: Any, **__: Any) -> dict[str, Look]:
        raise ZeroDivisionError("a mistake of ours")

    async def watch() -> None:
        with running.context() as broken:
            broken.setattr(AsyncClaude, "look", look)
            for end_of_it in await asyncio.gather(*map(wait, batch_ids), return_exceptions=True):
                assert isinstance(end_of_it, RuntimeError)
                assert "a mistake of ours" in str(end_of_it)
        assert all(isinstance(decision, Ended) for decision in await asyncio.gather(*map(wait, batch_ids)))

    in_a_loop(watch())
