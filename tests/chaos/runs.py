"""
Whole runs of the tickets pipeline, step by step as Airflow would take them: what was killed or failed for a passing
reason is simply run again, what has to come back later comes back then.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from include.enrichment.batches.poll import BatchPoll, Ended, GiveUp
from include.enrichment.errors import ApiError
from include.enrichment.spec.parse_time import pass_names
from include.gateways.claude import Claude
from tests.chaos.step_process import (
    CREATES_PATH,
    ComeBack,
    Done,
    Failed,
    Killed,
    Moment,
    Place,
    Step,
    Timing,
    run_process,
)
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import FILES, write_pipeline, write_tickets

ROWS = 40
CHUNK_REQUESTS, CANARY_ROWS = 10, 3
_LIMITS = f"limits: {{batch_requests: {CHUNK_REQUESTS}, canary_rows: {CANARY_ROWS}, retry_passes: 1}}\n"
#: Of one step. Nothing here fails so often unless it fails for good.
_MOST_FAILURES = 15
#: Far beyond what anything here takes on a machine that has other work, too.
_RUN_SECONDS = 1800
#: A create whose process is dead arrives so much later: well within Timing.create_window.
_LATE_SECONDS = 0.3


_FOREIGN = "foreign"


class RunFailed(Exception):
    """A run that nothing but a person could bring to its end."""


class World:
    """
    A warehouse with so many tickets, a lake with nothing in it, and a workspace of the API.

    :param lake: ``s3://bucket`` with its endpoint as ``s3``; None for a local folder
    """

    def __init__(
        self,
        folder: Path,
        emulator: Emulator,
        *,
        rows: int = ROWS,
        lake: str | None = None,
        s3: str | None = None,
        timing: Timing | None = None,
    ) -> None:
        folder.mkdir(parents=True)
        self.emulator = emulator
        self.place = Place(
            folder=folder,
            lake=lake or str(folder / "lake"),
            s3=s3,
            api_url=emulator.url,
            api_key=emulator.api_key,
            timing=timing or Timing(),
        )
        write_pipeline(self.place.pipeline, pipeline_yaml=FILES["pipeline.yaml"] + _LIMITS)
        write_tickets(self.place.database, [(f"T{number:03}", f"Ticket number {number}") for number in range(rows)])
        self.lake = self.place.open_lake()
        self.has_neighbour = False

    def tickets(self) -> set[str]:
        """The business keys of the source."""
        with closing(sqlite3.connect(self.place.database)) as connection:
            return {ticket for (ticket,) in connection.execute("select ticket from tickets")}

    def change_tickets(self, count: int) -> None:
        """So many rows of the warehouse say something else from now on."""
        with closing(sqlite3.connect(self.place.database)) as connection, connection:
            connection.execute(
                "update tickets set body = 'Now ' || body where ticket in"
                " (select ticket from tickets order by ticket desc limit ?)",
                (count,),
            )

    def writes(self, run_id: str) -> list[str]:
        """What a run has written, or was about to write when it was killed, in order: kind, step, key."""
        path = self.place.writes(run_id)
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def post(self, body: bytes) -> str:
        """Make a batch past all of our own code; its id."""
        headers = {
            "x-api-key": self.emulator.api_key,
            "anthropic-version": "2023-06-01",
            "content-type": "application/json",
        }
        request = urllib.request.Request(f"{self.emulator.url}{CREATES_PATH}", body, headers)
        with urllib.request.urlopen(request) as response:
            return str(json.load(response)["id"])

    @contextmanager
    def neighbour(self, *, every_seconds: float = 0.06) -> Iterator[None]:
        """
        Another program with the same key, which makes batches of the sizes of ours all the time. It keeps still as long
        as a fault is waiting for a create, which is meant for one of ours.
        """
        over = threading.Event()
        self.has_neighbour = True

        def work() -> None:
            while not over.wait(every_seconds):
                if not any(_strikes_a_create(fault["fault"]) for fault in self.emulator.faults()):
                    self.create_foreign()

        with ThreadPoolExecutor(1) as program:
            working = program.submit(work)
            try:
                yield
            finally:
                over.set()
                working.result()

    def create_foreign(self) -> None:
        """The other program makes a batch of each size that ours have. A fault may strike it; it does not mind."""
        for size in (CHUNK_REQUESTS, CANARY_ROWS):
            with suppress(OSError):
                self.post(_foreign_batch(size))

    def foreign_batches(self) -> set[str]:
        """The batches of the other program, by what they hold."""
        if not self.has_neighbour:
            return set()
        with self.place.open_claude() as claude:
            return {
                batch["id"]
                for batch in self.emulator.batches_made()
                if _first_line(claude, batch["id"]).startswith(f'{{"custom_id":"{_FOREIGN}')
            }


def _strikes_a_create(fault: Mapping[str, Any]) -> bool:
    kinds = ("http_error", "slow", "reset_before_create", "reset_after_create")
    return fault["kind"] in kinds and fault.get("on", "create") == "create"


def _first_line(claude: Claude, batch_id: str) -> str:
    with claude.results(batch_id) as pieces:
        return next(pieces, b"").decode().replace(" ", "")


def _foreign_batch(size: int) -> bytes:
    params = {"model": "claude-haiku-5-5", "max_tokens": 9}
    names = [f"{_FOREIGN}-{uuid4()}" for _ in range(size)]
    requests = [
        {"custom_id": name, "params": {**params, "messages": [{"role": "user", "content": name}]}} for name in names
    ]
    return json.dumps({"requests": requests}).encode()


@dataclass(kw_only=True)
class Run:
    """
    One run of the partition.

    :param kills: at which of its writes its process is killed
    :param lives: seconds after which a process is killed, wherever it is: one for each process, then no more
    :param before_step: is told of each step before it is taken for the first time
    :param interrupted: is called whenever a process has been killed, or has to come back later
    """

    world: World
    run_id: str = "manual__1"
    kills: Mapping[int, Moment] = field(default_factory=dict)
    lives: list[float | None] = field(default_factory=list)
    before_step: Callable[[Step], None] = lambda step: None
    interrupted: Callable[[], object] = lambda: None
    killed: int = 0
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + _RUN_SECONDS

    def whole(self) -> str:
        """From extract to publish. Returns the run that the published partition is of."""
        self.extract()
        for pass_name in self.passes:
            self.one_pass(pass_name)
        return self.publish()

    @property
    def passes(self) -> list[str]:
        """The passes of a run, in order."""
        return pass_names(self.world.place.pipeline / "pipeline.yaml")

    def extract(self) -> None:
        """The first step."""
        self._take(self._step("extract"))

    def plan(self, pass_name: str) -> list[str]:
        """The chunks of a pass."""
        chunks: list[str] = self._take(replace(self._step("plan"), pass_name=pass_name))
        return chunks

    def submit(self, chunk: str) -> str | None:
        """The batch of a chunk, None if others have taken it over."""
        batch_id: str | None = self._take(replace(self._step("submit"), chunk=chunk))
        return batch_id

    def load(self, chunk: str, batch_id: str, *, accept_missing: bool = False) -> None:
        """Wait for a batch, and load it."""
        self._wait(batch_id)
        step = replace(self._step("load"), chunk=chunk, batch_id=batch_id, accept_missing=accept_missing)
        self._take(step)

    def one_pass(self, pass_name: str) -> None:
        """Plan, and submit and load each chunk: all are in flight before the first is waited for."""
        self.send(self.plan(pass_name))

    def send(self, chunks: Iterable[str]) -> None:
        """Submit and load each chunk."""
        batches = {chunk: self.submit(chunk) for chunk in chunks}
        for chunk, batch_id in batches.items():
            if batch_id:
                self.load(chunk, batch_id)

    def publish(self) -> str:
        """The last step."""
        return str(self._take(self._step("publish")))

    def _step(self, name: Any) -> Step:
        return Step(name=name, run_id=self.run_id)

    def _take(self, step: Step) -> Any:
        self.before_step(step)
        failures = 0
        while True:
            if time.monotonic() > self._deadline:
                raise RunFailed(f"{step} did not come to an end within {_RUN_SECONDS} s")
            life_seconds = self.lives.pop() if self.lives else None
            match run_process(self.world.place, step, self.kills, life_seconds=life_seconds):
                case Done(value=value):
                    return value
                case ComeBack(again_at=again_at):
                    self.interrupted()
                    _sleep_until(again_at)
                case Failed(error=error, retryable=retryable):
                    failures += 1
                    if not retryable or failures > _MOST_FAILURES:
                        raise RunFailed(f"{step}: {error}")
                case Killed():
                    self.killed += 1
                    if life_seconds is None and len(self.world.writes(self.run_id)) not in self.kills:
                        raise AssertionError(f"{step}: the process died, and nobody had killed it.")
                    self._send_late_create()
                    self.interrupted()

    def _send_late_create(self) -> None:
        body = self.world.place.late_create(self.run_id)
        if body.exists():
            threading.Timer(_LATE_SECONDS, self.world.post, (body.read_bytes(),)).start()
            body.unlink()

    def _wait(self, batch_id: str) -> None:
        """As the operator's trigger waits, in shorter steps."""
        poll = BatchPoll(batch_id, deadline=datetime.now(UTC) + timedelta(days=1), interval_seconds=1)
        with self.world.place.open_claude() as claude:
            while time.monotonic() < self._deadline:
                match poll.decide(_look(claude, batch_id), now=datetime.now(UTC)):
                    case Ended():
                        return
                    case GiveUp(error=error):
                        raise RunFailed(str(error))
                time.sleep(0.05)
        raise RunFailed(f"batch {batch_id} did not end within {_RUN_SECONDS} s")


def _look(claude: Claude, batch_id: str) -> Any:
    try:
        return claude.retrieve(batch_id)
    except ApiError as error:
        return error


def _sleep_until(moment: datetime) -> None:
    time.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
