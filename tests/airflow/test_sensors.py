from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from claude_batch.sensors import ClaudeBatchSensor
from claude_batch.triggers import ClaudeBatchTrigger
from tests.airflow.test_triggers import CHUNK, RUN, make_batch, record
from tests.fixtures.emulator import Emulator


def sensor(batch_id: str, **options: Any) -> ClaudeBatchSensor:
    return ClaudeBatchSensor(task_id="wait", batch_id=batch_id, **options)


def test_an_ended_batch_needs_no_wait(connections: pytest.MonkeyPatch) -> None:
    assert sensor(make_batch()).execute({})["succeeded"] == 1


def test_a_running_batch_is_deferred_to_the_trigger(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "duration", "seconds": 600}])
    with pytest.raises(TaskDeferred) as deferred:
        sensor(make_batch(), poke_interval=7).execute({})
    waiting = deferred.value.trigger
    assert isinstance(waiting, ClaudeBatchTrigger)
    assert (waiting.poke_interval, deferred.value.method_name) == (7, "execute_complete")


def test_an_api_that_is_down_at_first_is_waited_out(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_id = make_batch()
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 503}])
    with pytest.raises(TaskDeferred):
        sensor(batch_id).execute({})


def test_the_triggers_event_becomes_counts_or_an_error() -> None:
    counts = {"succeeded": 3, "errored": 1}
    assert sensor("b").execute_complete({}, {"batch_id": "b", "counts": counts}) == counts
    with pytest.raises(AirflowFailException, match="too late"):
        sensor("b").execute_complete({}, {"batch_id": "b", "error": "too late"})


def test_without_deferral_it_pokes_in_mode_reschedule(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    waiting = sensor(make_batch(), deferrable=False)
    assert waiting.mode == "reschedule"
    done = waiting.poke({})
    assert done
    assert done.xcom_value == {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
    emulator.set_faults([{"kind": "duration", "seconds": 600}])
    assert not sensor(make_batch(), deferrable=False).poke({})


def test_a_rejected_key_fails_at_once(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    batch_id = make_batch()
    emulator.set_faults([{"kind": "http_error", "on": "retrieve", "status": 403}])
    with pytest.raises(AirflowException, match="The batch is unchanged"):
        sensor(batch_id).execute({})


def test_the_batch_its_chunk_and_the_switch_time_are_templated() -> None:
    assert tuple(ClaudeBatchSensor.template_fields) == ("batch_id", "chunk", "switch_at")


def test_a_kill_cancels_nothing_by_default(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    with pytest.raises(TaskDeferred) as deferred:
        sensor(make_batch(), chunk="chunks/tickets/c.parquet").execute({})
    assert not deferred.value.trigger.cancel_on_kill


def test_the_trigger_gets_the_chunk_and_the_lake_for_a_kill(
    connections: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    with pytest.raises(TaskDeferred) as deferred:
        sensor(make_batch(), chunk="chunks/tickets/c.parquet", cancel_on_kill=True, aws_conn_id="my_aws").execute({})
    arguments = deferred.value.trigger.serialize()[1]
    assert arguments["cancel_on_kill"]
    assert (arguments["chunk"], arguments["aws_conn_id"]) == ("chunks/tickets/c.parquet", "my_aws")


@pytest.mark.parametrize("options", [{}, {"chunk": "chunks/tickets/c.parquet", "deferrable": False}])
def test_cancel_on_kill_requires_a_chunk_and_a_trigger(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="wait: cancel_on_kill needs `chunk`"):
        sensor("b", cancel_on_kill=True, **options)


def waiting_until(switch_at: datetime, batch_id: str, **options: Any) -> ClaudeBatchSensor:
    return sensor(batch_id, chunk=CHUNK, switch_at=switch_at.isoformat(), **options)


CONTEXT: Any = {"dag_run": SimpleNamespace(run_id=RUN)}


def test_the_trigger_gets_the_switch_time_and_the_run(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    with pytest.raises(TaskDeferred) as deferred:
        waiting_until(switch_at := datetime.now(UTC), make_batch()).execute(CONTEXT)
    arguments = deferred.value.trigger.serialize()[1]
    assert (arguments["switch_at"], arguments["run_id"]) == (switch_at.isoformat(), RUN)


def test_a_switch_time_requires_a_chunk() -> None:
    with pytest.raises(ValueError, match="wait: switch_at needs `chunk`"):
        sensor("b", switch_at=datetime.now(UTC).isoformat())


@pytest.mark.parametrize(
    ("seconds", "holders", "canceled"), [(-1, [RUN], True), (60, [RUN], False), (-1, [RUN, "another run"], False)]
)
def test_without_deferral_a_poke_cancels_after_the_switch_time(
    connections: pytest.MonkeyPatch, emulator: Emulator, seconds: int, holders: list[str], canceled: bool
) -> None:
    emulator.set_faults([{"kind": "stuck"}])
    record(batch_id := make_batch(), *holders)
    switch_at = datetime.now(UTC) + timedelta(seconds=seconds)
    waiting = waiting_until(switch_at, batch_id, deferrable=False)
    assert not waiting.poke(CONTEXT)
    assert bool(waiting.poke(CONTEXT)) == canceled
    cancels = [call for call in emulator.log()["calls"] if call["path"].endswith("/cancel")]
    assert len(cancels) == canceled


def test_without_deferral_a_cancel_that_fails_is_repeated(connections: pytest.MonkeyPatch, emulator: Emulator) -> None:
    emulator.set_faults([{"kind": "stuck"}, {"kind": "http_error", "on": "cancel", "status": 503, "times": 3}])
    record(batch_id := make_batch(), RUN)
    waiting = waiting_until(datetime.now(UTC), batch_id, deferrable=False)
    while not (done := waiting.poke(CONTEXT)):
        pass
    assert done.xcom_value == {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 1, "expired": 0}
