"""A thousand deferred waits on two triggerers, one of which is killed."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx2

from include.stack.progress import say
from tests.docker.containers import Containers, OnCall, wait_for
from tests.docker.plays import LONG_SECONDS

DAG_ID = "waits"
STARTS_SECONDS = 3600
TAKEN_OVER_SECONDS = 300
COUNTING_SECONDS = 120
BODY: dict[str, object] = {
    "requests": [
        {
            "custom_id": "one",
            "params": {"model": "claude-haiku-5-5", "max_tokens": 1, "messages": [{"role": "user", "content": "?"}]},
        }
    ]
}


def play(up: Containers, api: OnCall, waits: int) -> tuple[bool, str]:
    """
    Start the waits, kill a triggerer, and let all batches end.

    Returns whether all waits succeeded, and a summary.
    """
    # A new emulator: after its clock has moved, every batch stays young for long, and young batches are polled more.
    up.compose("up", "--detach", "--no-build", "--no-deps", "--force-recreate", "emulator")
    up.wait_until_healthy()
    up.emulator.set_faults([{"kind": "duration", "seconds": LONG_SECONDS}])
    batches = _make_batches(up.stack.emulator_url, waits)
    api.unpause(DAG_ID)
    begun = time.monotonic()
    run_id = api.trigger(DAG_ID, {"batches": batches})
    wait_for(
        lambda: _waiting(up) >= waits,
        seconds=STARTS_SECONDS,
        what=lambda: f"{_waiting(up)} of {waits} waits",
    )
    started = time.monotonic() - begun
    say(f"  {waits} waits are deferred after {started:.0f} s; on {_spread(up)}")
    before, calls_before = _spread(up), _calls_per_minute(up)
    up.of("airflow-triggerer")[0].crash()
    wait_for(
        lambda: len(_spread(up).keys() & before.keys()) < 2,
        seconds=TAKEN_OVER_SECONDS,
        what=lambda: f"the killed triggerer still has waits: {_spread(up)}",
    )
    after, calls_after = _spread(up), _calls_per_minute(up)
    begun = time.monotonic()
    up.emulator.advance_clock(LONG_SECONDS)
    wait_for(
        lambda: api.run_state(DAG_ID, run_id) in ("success", "failed"),
        seconds=STARTS_SECONDS,
        what=lambda: f"{Counter(task['state'] for task in api.instances(DAG_ID, run_id))}",
    )
    up.emulator.set_faults([])
    ended = Counter(task["state"] for task in api.instances(DAG_ID, run_id) if task["task_id"] == "wait")
    summary = (
        f"{waits} waits: deferred after {started:.0f} s, by triggerer {before}; {calls_before:.1f} API calls a minute."
        f" One triggerer was killed: {after}; {calls_after:.1f} calls a minute. All batches ended: {dict(ended)} after"
        f" {time.monotonic() - begun:.0f} s."
    )
    return ended["success"] == waits, summary


def _make_batches(url: str, count: int) -> list[str]:
    with httpx2.Client(base_url=url, headers={"x-api-key": "sk-emulator", "anthropic-version": "2023-06-01"}) as http:

        def make(_: int) -> str:
            return str(http.post("/v1/messages/batches", json=BODY).raise_for_status().json()["id"])

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(make, range(count)))


def _calls_per_minute(up: Containers) -> float:
    calls_before = len(up.emulator.log()["calls"])
    time.sleep(COUNTING_SECONDS)
    return (len(up.emulator.log()["calls"]) - calls_before) * 60 / COUNTING_SECONDS


def _spread(up: Containers) -> dict[str, int]:
    """Count the triggers of each triggerer by job id. Airflow's API does not list them, so query its database."""
    query = "select coalesce(triggerer_id::text, 'none'), count(*) from trigger group by 1"
    (postgres,) = up.of("postgres")
    output = postgres.run("psql", "--username", "airflow", "--tuples-only", "--no-align", "--command", query)
    return {job: int(count) for job, count in re.findall(r"^(\w+)\|(\d+)$", output, re.MULTILINE)}


def _waiting(up: Containers) -> int:
    return sum(_spread(up).values())
