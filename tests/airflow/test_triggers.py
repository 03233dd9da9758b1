from __future__ import annotations

import asyncio
import importlib
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from claude_batch import triggers
from claude_batch.connections.claude_connection import open_claude
from claude_batch.connections.gateways import open_lake
from claude_batch.triggers import ClaudeBatchTrigger
from include.enrichment.batches import poll
from include.enrichment.batches.ledger import Entry
from include.enrichment.requests.chunk import Body
from include.enrichment.storage import layout
from include.gateways.ledger_store import Ledger
from tests.fixtures.emulator import Emulator

PARAMS = {"model": "claude-haiku-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def make_batch() -> str:
    body = msgspec.json.encode({"requests": [{"custom_id": "r", "params": PARAMS}]})
    with open_claude("anthropic_default") as claude:
        return claude.create(Body(pieces=[body], length=len(body), requests=1), since=datetime.now(UTC))


def trigger(
    batch_id: str, *, deadline: datetime | None = None, poke_interval: float = 0.2, **options: Any
) -> ClaudeBatchTrigger:
    return ClaudeBatchTrigger(
        batch_id=batch_id,
        anthropic_conn_id="anthropic_default",
        poke_interval=poke_interval,
        deadline=(deadline or datetime.now(UTC) + timedelta(hours=24)).isoformat(),
        **options,
    )


def fire(waiting: ClaudeBatchTrigger) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        async for event in waiting.run():
            return dict(event.payload)
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(asyncio.wait_for(first(), 20))


def _import(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def retrieves(emulator: Emulator) -> int:
    return sum(call["method"] == "GET" and "/batches/" in call["path"] for call in emulator.log()["calls"])


def test_it_survives_serialization() -> None:
    path, arguments = trigger("b", chunk="c", cancel_on_kill=True, aws_conn_id="my_aws").serialize()
    again = _import(path)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert arguments["cancel_on_kill"]


def test_a_trigger_stored_by_an_older_version_cancels_nothing() -> None:
    _, arguments = trigger("b").serialize()
    old = {name: arguments[name] for name in ("batch_id", "anthropic_conn_id", "poke_interval", "deadline")}
    older = ClaudeBatchTrigger(**old)
    assert (older.cancel_on_kill, older.switch_at) == (False, "")


def test_it_fires_with_the_counts_once_the_batch_has_ended(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 2}])
    event = fire(trigger(batch_id := make_batch()))
    assert event["batch_id"] == batch_id
    assert event["counts"]["succeeded"] == 1
    assert retrieves(emulator) >= 2


def test_it_tolerates_errors_while_the_batch_may_be_running(
    connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    batch_id = make_batch()
    emulator.set_faults(
        [
            {"kind": "http_error", "on": "retrieve", "status": 529, "times": 3},
            {"kind": "not_found", "times": 2},
            {"kind": "http_error", "on": "retrieve", "status": 429, "retry_after": 1, "times": 1},
        ]
    )
    connections.setenv(
        "AIRFLOW_CONN_ANTHROPIC_DEFAULT",
        json.dumps(
            {
                "conn_type": "anthropic",
                "host": emulator.url,
                "password": emulator.api_key,
                "extra": {"anthropic_client_kwargs": {"max_retries": 0}},
            }
        ),
    )
    assert fire(trigger(batch_id))["counts"]["succeeded"] == 1


def test_it_logs_each_transient_error_with_the_pause_after_it(
    connections: pytest.MonkeyPatch, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    batch_id = make_batch()
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 409, "times": 3}])
    fire(trigger(batch_id, poke_interval=1))
    assert f"Batch {batch_id}: Retrieving batch {batch_id} failed: HTTP 409" in (logged := capsys.readouterr().out)
    assert "Polling again in 1 s" in logged


def test_it_never_downloads_and_by_default_cancels_nothing(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    waiting = trigger(make_batch())
    fire(waiting)
    asyncio.run(waiting.cleanup())
    asyncio.run(waiting.on_kill())
    paths = [call["path"] for call in emulator.log()["calls"]]
    assert not [path for path in paths if path.endswith(("/results", "/cancel"))]


def test_it_gives_up_half_an_hour_after_the_deadline(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    batch_id = make_batch()
    connections.setattr(poll, "GRACE", timedelta(hours=-24))
    event = fire(trigger(batch_id))
    assert "24 hours after its creation" in event["error"]
    assert batch_id in event["error"]


def test_a_rejected_key_ends_the_wait_at_once(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_id = make_batch()
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 401}])
    assert "API rejected the key" in fire(trigger(batch_id))["error"]


def test_a_missing_connection_ends_the_wait_with_its_name(connections: pytest.MonkeyPatch) -> None:
    connections.delenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT")
    assert "'anthropic_default' cannot be used" in fire(trigger("b"))["error"]


def test_in_a_triggerer_it_does_not_fire_before_the_scheduler_has_seen_the_deferral(
    connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    connections.setattr(triggers, "SHORTEST_DEFERRAL", timedelta(seconds=1.5))
    waiting = trigger(make_batch())
    waiting.trigger_id = 1
    began = datetime.now(UTC)
    fire(waiting)
    assert datetime.now(UTC) - began >= timedelta(seconds=1.5)


RUN = "manual__2026-11-01"
CHUNK = layout.chunk("tickets", "abcdefghijklmnopqrstuv")


@pytest.fixture
def held(connections: pytest.MonkeyPatch, emulator: Emulator, tmp_path: Path) -> str:
    """Return a batch that runs until it is canceled and that only RUN needs. The lake is a folder."""
    connections.setenv("ENRICHMENT_LAKE", str(tmp_path / "lake"))
    emulator.set_faults([{"kind": "stuck"}])
    batch_id = make_batch()
    record(batch_id, RUN)
    return batch_id


def record(batch_id: str, *run_ids: str) -> None:
    """Write the ledger entry of CHUNK."""
    ledger = Ledger(open_lake("aws_default"), pipeline="tickets")
    chunk_id = layout.chunk_id_of(CHUNK)
    entry = Entry(
        chunk_id=chunk_id,
        pipeline="tickets",
        chunk=CHUNK,
        requests=1,
        run_id=run_ids[0],
        run_ids=list(run_ids),
        state="submitted",
        changed_at=datetime.now(UTC),
        batch_id=batch_id,
    )
    ledger.write(entry, over=ledger.find(chunk_id))


def kill(
    batch_id: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    state: str | Exception | None,
    map_index: int = -1,
    chunk: str | None = CHUNK,
    anonymous: bool = False,
) -> None:
    """Kill a cancel_on_kill wait as Airflow does, with its task instance in ``state``."""

    def get_task_states(
        dag_id: str, *, task_ids: list[str], run_ids: list[str], map_index: int
    ) -> dict[str, dict[str, str | None]]:
        # In the triggerer the response arrives through the event loop: a call on the loop's own thread would deadlock.
        assert threading.current_thread() is not threading.main_thread()
        assert (dag_id, task_ids, run_ids) == ("tickets", ["main.wait"], [RUN])
        if isinstance(state, Exception):
            raise state
        return {RUN: {"main.wait" if map_index < 0 else f"main.wait_{map_index}": state}} if state else {}

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", get_task_states)
    waiting = trigger(batch_id, chunk=chunk, cancel_on_kill=True)
    if not anonymous:
        mine = SimpleNamespace(dag_id="tickets", task_id="main.wait", run_id=RUN, map_index=map_index)
        waiting._task_instance = mine  # the triggerer's has these and many more
    asyncio.run(waiting.on_kill())


def continues(batch_id: str, emulator: Emulator) -> bool:
    """Return whether the batch is still running. Fails if a cancel call and the state contradict each other."""
    with open_claude("anthropic_default") as claude:
        ended = claude.retrieve(batch_id).ended
    cancel_called = any(call["path"].endswith("/cancel") for call in emulator.log()["calls"])
    assert ended == cancel_called
    return not ended


@pytest.mark.parametrize("state", ["failed", "success", "skipped"])
@pytest.mark.parametrize("map_index", [-1, 0, 7])
def test_cancel_on_kill_cancels_the_batch_with_its_task(
    held: str, connections: pytest.MonkeyPatch, emulator: Emulator, state: str, map_index: int
) -> None:
    kill(held, connections, state=state, map_index=map_index)
    assert not continues(held, emulator)


@pytest.mark.parametrize("state", ["running", "queued", "scheduled", "deferred", "up_for_retry"])
def test_a_clear_and_a_slow_triggerer_cancel_nothing(
    held: str, connections: pytest.MonkeyPatch, emulator: Emulator, state: str
) -> None:
    kill(held, connections, state=state)
    assert continues(held, emulator)


@pytest.mark.parametrize("state", [None, RuntimeError("the API server is away")])
def test_an_unknown_task_state_cancels_nothing(
    held: str, connections: pytest.MonkeyPatch, emulator: Emulator, state: Exception | None
) -> None:
    kill(held, connections, state=state)
    assert continues(held, emulator)


def test_a_trigger_without_a_task_cancels_nothing(
    held: str, connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    kill(held, connections, state="failed", anonymous=True)
    assert continues(held, emulator)


def test_a_batch_that_another_run_needs_is_not_canceled(
    held: str, connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    record(held, RUN, "another run")
    kill(held, connections, state="failed")
    assert continues(held, emulator)


def test_a_batch_that_is_not_in_the_ledger_is_not_canceled(
    held: str, connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    kill(held, connections, state="failed", chunk=layout.chunk("tickets", "another"))
    kill(held, connections, state="failed", chunk=None)
    record("msgbatch_another", RUN)
    kill(held, connections, state="failed")
    assert continues(held, emulator)


def test_an_unreadable_ledger_cancels_nothing(held: str, connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    open_lake("aws_default").write(layout.ledger_entry("tickets", layout.chunk_id_of(CHUNK)), b"not an entry")
    kill(held, connections, state="failed")
    assert continues(held, emulator)


def test_canceling_an_ended_batch_has_no_effect(held: str, connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([])
    done = make_batch()
    record(done, RUN)
    kill(done, connections, state="success")
    with open_claude("anthropic_default") as claude:
        assert claude.retrieve(done).counts["succeeded"] == 1


def test_a_canceled_batch_ends_its_wait(held: str, connections: pytest.MonkeyPatch) -> None:
    kill(held, connections, state="failed")
    assert fire(trigger(held))["counts"]["canceled"] == 1


def test_the_decision_and_its_reason_are_logged(
    held: str, connections: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kill(held, connections, state="running")
    assert f"batch {held} was killed, and the batch continues: its task is running" in capsys.readouterr().out
    kill(held, connections, state=RuntimeError("the API server is away"))
    logged = capsys.readouterr().out
    assert "the batch may not be canceled" in logged
    assert "the API server is away" in logged
    kill(held, connections, state="failed")
    assert f"Batch {held} was canceled: its task is marked as failed and no other run" in capsys.readouterr().out


def switching(batch_id: str, seconds: float = 0, **options: Any) -> ClaudeBatchTrigger:
    """A wait whose batch is canceled ``seconds`` from now."""
    switch_at = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    return trigger(batch_id, switch_at=switch_at, run_id=RUN, **({"chunk": CHUNK} | options))


def test_a_batch_that_has_not_ended_at_the_switch_time_is_canceled_and_waited_for(
    held: str, emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fire(switching(held, 1))["counts"]["canceled"] == 1
    assert not continues(held, emulator)
    assert f"Batch {held} was canceled to keep" in (logged := capsys.readouterr().out)
    assert "the next pass asks for the others synchronously" in logged


def test_a_batch_that_ends_before_the_switch_time_is_left_alone(
    connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    record(batch_id := make_batch(), RUN)
    assert fire(switching(batch_id, 30))["counts"]["succeeded"] == 1
    assert not any(call["path"].endswith("/cancel") for call in emulator.log()["calls"])


def test_a_batch_that_ends_at_the_moment_of_the_cancel_keeps_its_answers(
    connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    record(batch_id := make_batch(), RUN)
    assert fire(switching(batch_id))["counts"]["succeeded"] == 1


@pytest.mark.parametrize(
    ("holders", "chunk"),
    [([RUN, "another run"], CHUNK), (["another run"], CHUNK), ([RUN], layout.chunk("tickets", "unlisted"))],
)
def test_a_batch_that_another_run_needs_is_waited_for_beyond_the_switch_time(
    held: str, emulator: Emulator, capsys: pytest.CaptureFixture[str], holders: list[str], chunk: str
) -> None:
    record(held, *holders)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(anext(switching(held, chunk=chunk).run()), 1.5))
    assert continues(held, emulator)
    logged = capsys.readouterr().out
    assert logged.count("It is not canceled, because other runs may need it") == 1
    assert (", ".join(holders) if chunk == CHUNK else "the ledger does not list them") in logged


def test_a_cancel_that_fails_is_repeated(held: str, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}, {"kind": "http_error", "on": "cancel", "status": 503, "times": 1}])
    assert fire(switching(held))["counts"]["canceled"] == 1


def test_a_trigger_that_is_restarted_after_the_cancel_waits_for_the_end(held: str, emulator: Emulator) -> None:
    for _ in range(2):
        assert fire(switching(held))["counts"]["canceled"] == 1
