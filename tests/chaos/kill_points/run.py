"""
A run of the tickets pipeline, step by step as Airflow would run it.

A step that was killed or failed temporarily runs again; a step that has to come back later does so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from include.enrichment.batches.poll import BatchPoll, Ended, GiveUp
from include.enrichment.errors import ApiError
from include.enrichment.spec.parse_time import pass_names
from include.gateways.claude import Claude
from tests.chaos.kill_points.step_process import ComeBack, Done, Failed, Killed, Kills, Step, run_process
from tests.chaos.kill_points.world import World

#: The failures of one step after which its run fails.
_MOST_FAILURES = 15
#: Far longer than any run takes, even on a busy machine.
_RUN_SECONDS = 1800
#: The delay of a create whose process is dead; well within Timing.create_window.
_LATE_SECONDS = 0.3


class RunFailed(Exception):
    """A run that only a person could bring to its end."""


@dataclass(kw_only=True)
class Run:
    """
    One run of the partition.

    :param kills: the writes at which its process is killed
    :param lives: seconds after which a process is killed, at any point: one entry per process, until none is left
    :param before_step: called with each step before it runs for the first time
    :param interrupted: called when a process was killed or has to come back later
    """

    world: World
    run_id: str = "manual__1"
    kills: Kills = field(default_factory=dict)
    lives: list[float | None] = field(default_factory=list)
    before_step: Callable[[Step], None] = lambda step: None
    interrupted: Callable[[], object] = lambda: None
    killed: int = 0
    _deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + _RUN_SECONDS

    def whole(self) -> str:
        """Run all steps from extract to publish, and return the run id of the published partition."""
        self.extract()
        for pass_name in self.passes:
            self.one_pass(pass_name)
        return self.publish()

    @property
    def passes(self) -> list[str]:
        """The passes of a run, in order."""
        return pass_names(self.world.place.pipeline / "pipeline.yaml")

    def extract(self) -> None:
        """Run the first step."""
        self._take(self._step("extract"))

    def plan(self, pass_name: str) -> list[str]:
        """Plan a pass, and return its chunks."""
        chunks: list[str] = self._take(replace(self._step("plan"), pass_name=pass_name))
        return chunks

    def submit(self, chunk: str) -> str | None:
        """Submit a chunk, and return its batch; None if another run has taken it over."""
        batch_id: str | None = self._take(replace(self._step("submit"), chunk=chunk))
        return batch_id

    def load(self, chunk: str, batch_id: str, *, accept_missing: bool = False) -> None:
        """Wait for a batch, and load it."""
        self._wait(batch_id)
        step = replace(self._step("load"), chunk=chunk, batch_id=batch_id, accept_missing=accept_missing)
        self._take(step)

    def one_pass(self, pass_name: str) -> None:
        """Plan a pass, then submit and load its chunks, all in flight before the first wait; or ask them."""
        chunks = self.plan(pass_name)
        if not self.world.kind.open_requests:
            self.send(chunks)
        elif chunks:
            self._take(replace(self._step("ask"), pass_name=pass_name))

    def send(self, chunks: Iterable[str]) -> None:
        """Submit all chunks, then load each."""
        batches = {chunk: self.submit(chunk) for chunk in chunks}
        for chunk, batch_id in batches.items():
            if batch_id:
                self.load(chunk, batch_id)

    def publish(self) -> str:
        """Run the last step, and return the run id of the published partition."""
        return str(self._take(self._step("publish")))

    def _step(self, name: Any) -> Step:
        return Step(name=name, run_id=self.run_id)

    def _take(self, step: Step) -> Any:
        self.before_step(step)
        failures = 0
        while True:
            if time.monotonic() > self._deadline:
                raise RunFailed(f"{step} did not end within {_RUN_SECONDS} s")
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
                    if life_seconds is None and not self._was_to_be_killed():
                        raise AssertionError(f"{step}: the process died without being killed.")
                    self._send_late_create()
                    self.interrupted()

    def _was_to_be_killed(self) -> bool:
        if isinstance(self.kills, str):
            return True
        last = len(self.world.writes(self.run_id))
        if self.world.kind.open_requests > 1:  # others may have been asked and answered between a call and its response
            return any(number <= last for number in self.kills)
        return last in self.kills

    def _send_late_create(self) -> None:
        body = self.world.place.late_create(self.run_id)
        if body.exists():
            threading.Timer(_LATE_SECONDS, self.world.post, (body.read_bytes(),)).start()
            body.unlink()

    def _wait(self, batch_id: str) -> None:
        """Wait for a batch as the operator's trigger does, at shorter intervals."""
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
