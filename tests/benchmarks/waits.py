"""
Many waits in one process, as in a triggerer: the number of API calls, the CPU time, and the longest time that the event
loop is blocked. ``python -m tests.benchmarks.waits --waits 1000 --interval 15 --seconds 60``
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from include.emulator.engine.batches import SECOND, Batch
from include.emulator.engine.store import Store
from include.emulator.http.server import workspace_of
from tests.benchmarks.measuring import measured
from tests.fixtures.emulator import EmulatorProcess

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

_DAY_SECONDS = 24 * 3600
_REQUESTS = 1_000
_API_KEY = "sk-ant-simulated-waits"
#: The number of triggers that a triggerer starts before other work has its turn (max_trigger_to_select_per_loop).
_STARTED_AT_ONCE = 50
_PROBE_SECONDS = 0.05


def main() -> None:
    """Measure, and print the figures as one line of JSON."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.waits", description=__doc__)
    arguments.add_argument("--who", choices=sorted(_WHO), default="ours")
    arguments.add_argument("--waits", type=int, default=1_000)
    arguments.add_argument("--interval", type=float, default=15.0, help="the pause between two polls, in seconds")
    arguments.add_argument("--seconds", type=float, default=60.0, help="how long the waits are watched")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "emulator"
        batches = _make_batches(state, options.waits)
        with EmulatorProcess(state, processing_seconds=_DAY_SECONDS) as emulator:
            connection = {"conn_type": "anthropic", "host": emulator.url, "password": _API_KEY}
            # Airflow reads its settings at its first import, which must come after this.
            os.environ |= {
                "AIRFLOW_HOME": str(Path(folder) / "airflow"),
                "AIRFLOW_CONN_ANTHROPIC_DEFAULT": json.dumps(connection),
            }
            import claude_batch.connections.claude_connection  # noqa: F401 # the imports of both are not measured

            # Otherwise garbage collection of all imported modules, which takes 200 ms, may happen during the waits and
            # distort their figures.
            gc.collect()
            gc.freeze()
            logging.disable(logging.INFO)  # the HTTP client logs each call
            waits = [_WHO[options.who](batch, options.interval) for batch in batches]
            with measured(who=options.who, waits=options.waits, interval_seconds=options.interval) as found:
                found |= asyncio.run(_watch(waits, options.seconds))
                found["calls"] = len(emulator.log()["calls"])


def _make_batches(state: Path, count: int) -> list[Batch]:
    """Create young batches in the emulator's state, as if each had been posted."""
    store = Store(state)
    now = time.time_ns() // 1_000
    made = [
        Batch(
            id=f"msgbatch_simulated_{uuid4().hex[:24]}",
            workspace=workspace_of(_API_KEY),
            created_at=now + number,
            size=_REQUESTS,
            version="2023-06-01",
            betas=frozenset(),
            duration=_DAY_SECONDS * SECOND,
            drain=0,
        )
        for number in range(count)
    ]
    for batch in made:
        (store.bodies / batch.id).touch()
        store.add_batch(batch)
    store.close()
    return made


def _ours(batch: Batch, interval_seconds: float) -> BaseTrigger:
    from claude_batch.triggers import ClaudeBatchTrigger

    return ClaudeBatchTrigger(
        batch_id=batch.id,
        anthropic_conn_id="anthropic_default",
        poke_interval=interval_seconds,
        deadline=datetime.fromtimestamp(batch.expires_at / SECOND, UTC).isoformat(),
    )


def _providers(batch: Batch, interval_seconds: float) -> BaseTrigger:
    from airflow.providers.anthropic.triggers.batch import AnthropicBatchTrigger

    return AnthropicBatchTrigger(
        conn_id="anthropic_default",
        batch_id=batch.id,
        poll_interval=interval_seconds,
        end_time=time.time() + _DAY_SECONDS,
    )


_WHO: dict[str, Callable[[Batch, float], BaseTrigger]] = {"ours": _ours, "provider": _providers}


async def _watch(waits: list[BaseTrigger], seconds: float) -> dict[str, float]:
    """
    Let them wait for this time, and return the longest time that the event loop was blocked, including _PROBE_SECONDS.

    It is given as wall time and as CPU time of the event loop's thread, which other processes do not affect.
    """
    until = time.monotonic() + seconds
    longest = {"longest_block_ms": 0.0, "longest_block_cpu_ms": 0.0}

    async def probe() -> None:
        while True:
            wall, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(_PROBE_SECONDS)
            for name, taken in zip(longest, (time.monotonic() - wall, time.thread_time() - cpu), strict=True):
                longest[name] = max(longest[name], taken * 1_000)

    probing = asyncio.create_task(probe())
    running = []
    for number, wait in enumerate(waits):
        running.append(asyncio.create_task(_first_event(wait)))
        if number % _STARTED_AT_ONCE == _STARTED_AT_ONCE - 1:
            await asyncio.sleep(0)
    await asyncio.sleep(until - time.monotonic())
    probing.cancel()
    ended = [task for task in running if task.done()]
    if ended:
        raise RuntimeError(f"{len(ended)} of {len(running)} waits ended, the first with {ended[0]!r}")
    for task in running:
        task.cancel()
    return longest


async def _first_event(wait: BaseTrigger) -> Any:
    return await anext(aiter(wait.run()))


if __name__ == "__main__":
    main()
