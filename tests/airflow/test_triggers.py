from __future__ import annotations

import asyncio
import importlib
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from claude_batch import triggers
from claude_batch.connections import open_claude
from claude_batch.triggers import ClaudeBatchTrigger
from include.enrichment import poll
from tests.fixtures.emulator import Emulator

PARAMS = {"model": "claude-haiku-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def make_batch() -> str:
    body = io.BytesIO(msgspec.json.encode({"requests": [{"custom_id": "r", "params": PARAMS}]}))
    with open_claude("anthropic_default") as claude:
        return claude.create(body, requests=1)


def trigger(batch_id: str, *, deadline: datetime | None = None, poke_interval: float = 0.2) -> ClaudeBatchTrigger:
    return ClaudeBatchTrigger(
        batch_id=batch_id,
        anthropic_conn_id="anthropic_default",
        poke_interval=poke_interval,
        deadline=(deadline or datetime.now(UTC) + timedelta(hours=24)).isoformat(),
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


def test_it_survives_being_stored_and_made_anew() -> None:
    path, arguments = trigger("b").serialize()
    again = _import(path)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_it_fires_with_the_counts_once_the_batch_has_ended(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 2}])
    event = fire(trigger(batch_id := make_batch()))
    assert event["batch_id"] == batch_id
    assert event["counts"]["succeeded"] == 1
    assert retrieves(emulator) >= 2


def test_it_tolerates_errors_for_as_long_as_the_batch_may_be_running(
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


def test_it_never_downloads_and_never_cancels(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
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


def test_a_refused_key_ends_the_wait_at_once(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_id = make_batch()
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 401}])
    assert "was refused" in fire(trigger(batch_id))["error"]


def test_a_connection_that_is_gone_ends_the_wait_with_its_name(connections: pytest.MonkeyPatch) -> None:
    connections.delenv("AIRFLOW_CONN_ANTHROPIC_DEFAULT")
    assert "'anthropic_default' cannot be used" in fire(trigger("b"))["error"]


def test_under_a_triggerer_the_first_event_waits_until_the_scheduler_has_seen_the_defer(
    connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    connections.setattr(triggers, "_FIRST_EVENT_SECONDS", 1.5)
    waiting = trigger(make_batch())
    waiting.trigger_id = 1
    began = datetime.now(UTC)
    fire(waiting)
    assert datetime.now(UTC) - began >= timedelta(seconds=1.5)
