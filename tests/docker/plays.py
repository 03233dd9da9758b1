"""
The plays: each plays one fault on a run of its own day.

A play waits for its moment in the run and then breaks something. The run continues by itself; only if it fails, its
failed tasks are cleared, as an engineer on call would do.
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
#: The longest wait for a hundred deferred tasks.
MANY_SECONDS = 1200
CLEARS = 3
#: The delay of a response, during which a container is killed.
SLOW_SECONDS = 12
#: The duration of a batch that ends only when the emulator's clock is moved.
LONG_SECONDS = 20_000
#: The batch after the canary's takes long enough that its wait is deferred, even on a busy machine.
SLOW_MAIN = [{"kind": "duration", "seconds": 60, "after": 1}]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A run, and the containers that it runs on."""

    up: Containers
    api: OnCall
    dag_id: str
    run_id: str

    def tasks(self, name: str, state: str) -> list[dict[str, str]]:
        """Return the run's task instances in a state, of the tasks whose id ends with ``name``."""
        found = self.api.instances(self.dag_id, self.run_id)
        return [task for task in found if task["task_id"].endswith(name) and task["state"] == state]

    def moment(self, name: str, state: str, count: int = 1, seconds: float = MOMENT_SECONDS) -> list[dict[str, str]]:
        """Wait until ``count`` tasks are in a state, and return them. Raises TimeoutError."""
        found: list[dict[str, str]] = []

        def reached() -> bool:
            found[:] = self.tasks(name, state)
            return len(found) >= count

        wait_for(reached, seconds=seconds, what=lambda: f"{count} × {name} {state}: {len(found)}")
        return found

    def worker_of(self, name: str) -> Container:
        """Wait until a worker runs such a task, and return it. Raises TimeoutError."""
        found: list[Container] = []

        def runs() -> bool:
            hosts = {task["hostname"] for task in self.tasks(name, "running")}
            found[:] = [worker for worker in self.up.of("airflow-worker") if worker.host in hosts]
            return bool(found)

        wait_for(runs, seconds=MOMENT_SECONDS, what=lambda: f"no {name} is running")
        return found[0]


#: Breaks something at its moment, and returns a description. Raises TimeoutError if the moment does not come.
Harm = Callable[[Scene], str]


def undisturbed(scene: Scene) -> str:
    """Break nothing, but wait until both workers have run tasks."""
    workers = {worker.host for worker in scene.up.of("airflow-worker")}

    def hosts() -> set[str]:
        return {task["hostname"] for task in scene.api.instances(scene.dag_id, scene.run_id)}

    wait_for(lambda: workers <= hosts(), seconds=MOMENT_SECONDS, what=lambda: f"all tasks ran on {hosts()}")
    return f"nothing; its tasks ran on {len(workers)} workers"


def worker_killed_in_submit(scene: Scene) -> str:
    """Kill the worker after the batch is made and before the response with its id arrives."""
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
    return "SIGKILL of the worker between the create of a batch and its response"


def worker_killed_in_load(scene: Scene) -> str:
    """Kill the worker during the download of results."""
    scene.moment("main.chunk.wait", "deferred")
    scene.up.emulator.set_faults([{"kind": "slow", "on": "results", "seconds": SLOW_SECONDS, "times": 1}])
    worker = scene.worker_of("main.chunk.load")
    time.sleep(SLOW_SECONDS / 3)
    worker.crash()
    return "SIGKILL of the worker while results were read"


def scheduler_restarted(scene: Scene) -> str:
    """Restart the scheduler while a task is running, and kill it while one is deferred."""
    scene.moment("extract", "running")
    scene.up.restart("airflow-scheduler")
    scene.moment("main.chunk.wait", "deferred")
    scene.up.crash("airflow-scheduler")
    return "restart of the scheduler in extract, SIGKILL of it in wait"


def postgres_restarted(scene: Scene) -> str:
    """Restart Postgres, which holds metadata and warehouse, while rows are read and again during a wait."""
    scene.moment("extract", "running")
    scene.up.restart("postgres")
    scene.moment("main.chunk.wait", "deferred")
    scene.up.restart("postgres")
    return "restart of Postgres in extract and in wait"


def redis_restarted(scene: Scene) -> str:
    """Restart the queue while a task runs, and kill it while one is deferred."""
    scene.moment("canary.plan", "running")
    scene.up.restart("redis")
    scene.moment("main.chunk.wait", "deferred")
    scene.up.crash("redis")
    return "restart of Redis in plan, SIGKILL of it in wait"


def api_cut_off(seconds: float) -> Harm:
    """Return a harm that disconnects the API during a wait, until long after the batch has ended."""

    def harm(scene: Scene) -> str:
        scene.moment("main.chunk.wait", "deferred")
        with scene.up.cut_off("emulator"):
            time.sleep(seconds)
        return f"network to the API cut for {seconds / 60:g} min in wait"

    return harm


def disk_full(scene: Scene) -> str:
    """Fill the temporary folder of both workers before results arrive, until a task has failed for it."""
    scene.moment("main.chunk.wait", "deferred")
    for worker in scene.up.of("airflow-worker"):
        worker.run("bash", "-c", "dd if=/dev/zero of=/tmp/full bs=64k 2>/dev/null; cat /dev/zero > /tmp/rest || true")
    scene.moment("main.chunk.load", "up_for_retry")
    for worker in scene.up.of("airflow-worker"):
        worker.run("rm", "-f", "/tmp/full", "/tmp/rest")
    return "temporary folder of both workers full in load"


def triggerer_killed(scene: Scene) -> str:
    """Kill one of two triggerers with its share of a hundred waits, and then let their batches end."""
    scene.up.emulator.set_faults([{"kind": "duration", "seconds": LONG_SECONDS, "after": 1}])
    waiting = scene.moment("main.chunk.wait", "deferred", count=90, seconds=MANY_SECONDS)
    scene.up.of("airflow-triggerer")[0].crash()
    scene.up.emulator.set_faults([])  # batches submitted after the clock has moved must not take long
    scene.up.emulator.advance_clock(LONG_SECONDS)
    return f"SIGKILL of one of two triggerers, {len(waiting)} waits"


@dataclass(frozen=True, kw_only=True)
class Play:
    """
    A fault, and the run that it is played on.

    :param day: the partition, which no other play uses
    """

    day: str
    harm: Harm
    dag_id: str = "faults"
    pipeline: str = "catalogue"


def plays(cut_seconds: float) -> dict[str, Play]:
    """
    Return the plays by name, in the best order to play them.

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
    """Play one after the other, and wait until all containers are healthy before the next; yield their findings."""
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
        state, clears, errors = _attend(scene)
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
            errors=errors,
        )
        up.wait_until_healthy()


def _attend(scene: Scene) -> tuple[str, int, str]:
    """Act as the engineer on call until the run ends; return its state, the clears, and the errors of failed tries."""
    deadline = time.monotonic() + RUN_SECONDS
    clears = 0
    errors: dict[str, None] = {}
    state = "running"
    while time.monotonic() < deadline:
        # After a kill, Airflow's API may not respond for a while.
        with suppress(httpx2.HTTPError):
            state = scene.api.run_state(scene.dag_id, scene.run_id)
            tasks = scene.api.task_instances(scene.dag_id, scene.run_id)
            for task in tasks:
                if task.state in ("failed", "up_for_retry"):
                    errors |= dict.fromkeys(scene.api.errors(scene.dag_id, scene.run_id, task)[:1])
            if state == "success" or (state == "failed" and clears == CLEARS):
                break
            if state == "failed":
                clears += 1
                failed = [task for task in tasks if task.state == "failed"]
                scene.api.clear(scene.dag_id, scene.run_id, failed)
                say(f"  cleared {', '.join(task.task_id for task in failed)}")
        time.sleep(2)
    return state, clears, " ".join(errors)


def _rows(up: Containers, play: Play) -> tuple[int, list[str]]:
    """Count the day's rows in the warehouse, and list those that are not on the lake exactly once."""
    day = date.fromisoformat(play.day)
    sample = pq.read_table(SAMPLE)
    keys = sample.filter(pc.equal(sample["updated_on"], day))["package"].to_pylist()
    found = read_published(up.stack, play.pipeline, Partition(start=day))
    return len(keys), unaccounted(keys, found, "package") if found else [f"{day}: not published"]
