"""
The faults, each in a run of a day that no other run has touched: what is broken, and at which moment.

A play waits for its moment in the run, does its harm, and the run goes on by itself; only if it fails are the failed
tasks cleared, as whoever is on call would.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import httpx2
import pyarrow.compute as pc
import pyarrow.parquet as pq

from include.cli.output.published_day import read_published, unaccounted
from include.enrichment.runs.partition import Partition
from include.stack.progress import say
from include.stack.sample_products import SAMPLE
from tests.docker.containers import Container, Containers, OnCall, wait_for
from tests.docker.report import Finding

RUN_SECONDS = 2400
MOMENT_SECONDS = 300
#: Until a hundred tasks have been started.
MANY_SECONDS = 1200
CLEARS = 3
#: How much later an answer comes that a container is to be killed in front of.
SLOW_SECONDS = 12
#: What a batch takes that is to end when the emulator's clock is moved, and not before.
LONG_SECONDS = 20_000
#: The batch after the canary's takes long enough for its wait to be deferred on a busy machine too.
SLOW_MAIN = [{"kind": "duration", "seconds": 60, "after": 1}]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A run that has been started, and everything that can be done to it."""

    up: Containers
    api: OnCall
    dag_id: str
    run_id: str

    def tasks(self, name: str, state: str) -> list[dict[str, str]]:
        """The run's instances of the tasks whose name ends so, in that state."""
        found = self.api.instances(self.dag_id, self.run_id)
        return [task for task in found if task["task_id"].endswith(name) and task["state"] == state]

    def moment(self, name: str, state: str, count: int = 1, seconds: float = MOMENT_SECONDS) -> list[dict[str, str]]:
        """Wait until so many such tasks are in that state."""
        found: list[dict[str, str]] = []

        def reached() -> bool:
            found[:] = self.tasks(name, state)
            return len(found) >= count

        wait_for(reached, seconds=seconds, what=lambda: f"{count} × {name} {state}: {len(found)}")
        return found

    def worker_of(self, name: str) -> Container:
        """The worker that runs such a task now, as soon as there is one."""
        found: list[Container] = []

        def runs() -> bool:
            hosts = {task["hostname"] for task in self.tasks(name, "running")}
            found[:] = [worker for worker in self.up.of("airflow-worker") if worker.host in hosts]
            return bool(found)

        wait_for(runs, seconds=MOMENT_SECONDS, what=lambda: f"no {name} is running")
        return found[0]


#: Does its harm to a run at its moment, and says what it was. Raises TimeoutError if the moment does not come.
Harm = Callable[[Scene], str]


def undisturbed(scene: Scene) -> str:
    """Nothing; but both workers take part."""
    workers = {worker.host for worker in scene.up.of("airflow-worker")}

    def hosts() -> set[str]:
        return {task["hostname"] for task in scene.api.instances(scene.dag_id, scene.run_id)}

    wait_for(lambda: workers <= hosts(), seconds=MOMENT_SECONDS, what=lambda: f"all tasks ran on {hosts()}")
    return f"nothing; its tasks ran on {len(workers)} workers"


def worker_killed_in_submit(scene: Scene) -> str:
    """The batch is made, its id is on the way, and the worker dies with all its processes."""
    made = len(scene.up.emulator.batches_made())
    # The first create is the canary's.
    scene.up.emulator.set_faults([{"kind": "slow", "on": "create", "seconds": SLOW_SECONDS, "times": 1, "after": 1}])
    worker = scene.worker_of("main.chunk.submit")
    wait_for(
        lambda: len(scene.up.emulator.batches_made()) > made + 1,
        seconds=MOMENT_SECONDS,
        what=lambda: "no batch was made",
    )
    worker.crash()
    return "SIGKILL of the worker between a batch and the word of it"


def worker_killed_in_load(scene: Scene) -> str:
    """The results are on the way."""
    scene.moment("main.chunk.wait", "deferred")
    scene.up.emulator.set_faults([{"kind": "slow", "on": "results", "seconds": SLOW_SECONDS, "times": 1}])
    worker = scene.worker_of("main.chunk.load")
    time.sleep(SLOW_SECONDS / 3)
    worker.crash()
    return "SIGKILL of the worker while results were read"


def scheduler_restarted(scene: Scene) -> str:
    """While a task is running, and again while one waits."""
    scene.moment("extract", "running")
    scene.up.restart("airflow-scheduler")
    scene.moment("main.chunk.wait", "deferred")
    scene.up.crash("airflow-scheduler")
    return "restart of the scheduler in extract, SIGKILL of it in wait"


def postgres_restarted(scene: Scene) -> str:
    """The metadata and the warehouse are away while rows are read, and while a batch is waited for."""
    scene.moment("extract", "running")
    scene.up.restart("postgres")
    scene.moment("main.chunk.wait", "deferred")
    scene.up.restart("postgres")
    return "restart of Postgres in extract and in wait"


def redis_restarted(scene: Scene) -> str:
    """The queue is away while a task runs, and while one waits."""
    scene.moment("canary.plan", "running")
    scene.up.restart("redis")
    scene.moment("main.chunk.wait", "deferred")
    scene.up.crash("redis")
    return "restart of Redis in plan, SIGKILL of it in wait"


def api_cut_off(seconds: float) -> Harm:
    """The API is off the network: once a batch is waited for, until long after it has ended."""

    def harm(scene: Scene) -> str:
        scene.moment("main.chunk.wait", "deferred")
        with scene.up.cut_off("emulator"):
            time.sleep(seconds)
        return f"network to the API cut for {seconds / 60:g} min in wait"

    return harm


def disk_full(scene: Scene) -> str:
    """The temporary folder of both workers has no byte left when results come, until a task has said so."""
    scene.moment("main.chunk.wait", "deferred")
    for worker in scene.up.of("airflow-worker"):
        worker.run("bash", "-c", "dd if=/dev/zero of=/tmp/full bs=64k 2>/dev/null; cat /dev/zero > /tmp/rest || true")
    scene.moment("main.chunk.load", "up_for_retry")
    for worker in scene.up.of("airflow-worker"):
        worker.run("rm", "-f", "/tmp/full", "/tmp/rest")
    return "temporary folder of both workers full in load"


def triggerer_killed(scene: Scene) -> str:
    """One of two triggerers dies with its share of a hundred waits, and then their batches end."""
    scene.up.emulator.set_faults([{"kind": "duration", "seconds": LONG_SECONDS, "after": 1}])
    waiting = scene.moment("main.chunk.wait", "deferred", count=90, seconds=MANY_SECONDS)
    scene.up.of("airflow-triggerer")[0].crash()
    scene.up.emulator.set_faults([])  # what is submitted after the clock has been moved must not take long as well
    scene.up.emulator.advance_clock(LONG_SECONDS)
    return f"SIGKILL of one of two triggerers, {len(waiting)} waits"


@dataclass(frozen=True, kw_only=True)
class Play:
    """
    A fault and the run that it meets.

    :param day: the partition, of which no other play knows
    """

    day: str
    harm: Harm
    dag_id: str = "faults"
    pipeline: str = "catalogue"


def plays(cut_seconds: float) -> dict[str, Play]:
    """
    By name, in the order in which they are best played.

    :param cut_seconds: how long the API is cut off
    """
    return {
        "none": Play(day="2026-11-17", harm=undisturbed, dag_id="catalogue"),
        "worker-in-submit": Play(day="2026-11-01", harm=worker_killed_in_submit),
        "worker-in-load": Play(day="2026-11-02", harm=worker_killed_in_load),
        "scheduler": Play(day="2026-11-03", harm=scheduler_restarted),
        "postgres": Play(day="2026-11-05", harm=postgres_restarted),
        "redis": Play(day="2026-11-06", harm=redis_restarted),
        "disk": Play(day="2026-11-07", harm=disk_full),
        "network": Play(day="2026-11-08", harm=api_cut_off(cut_seconds)),
        "triggerer": Play(day="2026-11-04", harm=triggerer_killed, dag_id="many", pipeline="many"),
    }


def act(up: Containers, api: OnCall, chosen: dict[str, Play]) -> Iterator[Finding]:
    """Play them one after the other; everything is healthy again before the next begins."""
    for name, play in chosen.items():
        up.emulator.set_faults(SLOW_MAIN)
        billed_twice, orphans = up.emulator.bills()["billed_twice"], len(up.emulator.orphans())
        begun = time.monotonic()
        api.unpause(play.dag_id)
        run_id = api.trigger(play.dag_id, {"partition": play.day})
        scene = Scene(up=up, api=api, dag_id=play.dag_id, run_id=run_id)
        missed = False
        try:
            done = play.harm(scene)
        except TimeoutError as error:
            done, missed = f"nothing, its moment did not come. {error}", True
        state, clears, said = _see_through(scene)
        up.emulator.set_faults([])
        rows, lost = _rows(up, play)
        yield Finding(
            fault=name,
            done=done,
            state="not played" if missed else state,
            rows=rows,
            lost=len(lost),
            billed_twice=up.emulator.bills()["billed_twice"] - billed_twice,
            orphans=len(up.emulator.orphans()) - orphans,
            clears=clears,
            seconds=time.monotonic() - begun,
            said=said,
        )
        up.wait_until_healthy()


def _see_through(scene: Scene) -> tuple[str, int, str]:
    """Until the run has succeeded, or has failed too often: its state, the clears, and what failed tries said."""
    deadline = time.monotonic() + RUN_SECONDS
    clears = 0
    said: dict[str, None] = {}
    state = "running"
    while time.monotonic() < deadline:
        # What was killed around it may not answer for a while.
        with suppress(httpx2.HTTPError):
            state = scene.api.run_state(scene.dag_id, scene.run_id)
            tasks = scene.api.task_instances(scene.dag_id, scene.run_id)
            for task in tasks:
                if task.state in ("failed", "up_for_retry"):
                    said |= dict.fromkeys(scene.api.errors(scene.dag_id, scene.run_id, task)[:1])
            if state == "success" or (state == "failed" and clears == CLEARS):
                break
            if state == "failed":
                clears += 1
                failed = [task for task in tasks if task.state == "failed"]
                scene.api.clear(scene.dag_id, scene.run_id, failed)
                say(f"  cleared {', '.join(task.task_id for task in failed)}")
        time.sleep(2)
    return state, clears, " ".join(said)


def _rows(up: Containers, play: Play) -> tuple[int, list[str]]:
    """How many rows the day has in the warehouse, and those that are not on the lake exactly once."""
    day = date.fromisoformat(play.day)
    sample = pq.read_table(SAMPLE)
    keys = sample.filter(pc.equal(sample["updated_on"], day))["package"].to_pylist()
    found = read_published(up.stack, play.pipeline, Partition(start=day))
    return len(keys), unaccounted(keys, found, "package") if found else [f"{day}: not published"]
