"""The worlds of the runs: a warehouse, a lake, and a workspace of the API, which another program may share."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

from include.gateways.claude import Claude
from tests.chaos.kill_points.place import CREATES_PATH, Place, Timing
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import FILES, write_pipeline, write_tickets
from tests.fixtures.s3 import filesystem

ROWS = 40
CHUNK_REQUESTS, CANARY_ROWS = 10, 3
#: Two answers for each ticket, of which one is published. Two samples would be the same request to the API's bill.
_TWO = "for_each: {tone: [calm, loud]}\n"
_KEEP = "keep: {best: len(topic), among: tone}\n"
_LIMITS = f"limits: {{batch_requests: {CHUNK_REQUESTS}, canary_rows: {CANARY_ROWS}, retry_passes: 1}}\n"
_FOREIGN = "foreign"


class World:
    """
    A warehouse with ``rows`` tickets, an empty lake, and a workspace of the API.

    :param lake: ``s3://bucket`` with its endpoint as ``s3``; None for a local folder
    :param keep: ask twice for each ticket, and publish the better answer
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
        keep: bool = False,
    ) -> None:
        folder.mkdir(parents=True)
        self.answers = 2 if keep else 1
        self.emulator = emulator
        self.place = Place(
            folder=folder,
            lake=lake or str(folder / "lake"),
            s3=s3,
            api_url=emulator.url,
            api_key=emulator.api_key,
            timing=timing or Timing(),
        )
        self._write_pipeline(_TWO + _KEEP if keep else "")
        write_tickets(self.place.database, [(f"T{number:03}", f"Ticket number {number}") for number in range(rows)])
        self.lake = self.place.open_lake()
        self.has_neighbour = False

    def publish_all_answers(self) -> None:
        """Let the pipeline publish all answers for each ticket from now on."""
        self._write_pipeline(_TWO)

    def _write_pipeline(self, settings: str) -> None:
        user = FILES["user.md"] + ("{{ tone }}" if settings else "")
        write_pipeline(self.place.pipeline, pipeline_yaml=FILES["pipeline.yaml"] + _LIMITS + settings, user_md=user)

    def tickets(self) -> set[str]:
        """Return the business keys of the source."""
        with closing(sqlite3.connect(self.place.database)) as connection:
            return {ticket for (ticket,) in connection.execute("select ticket from tickets")}

    def change_tickets(self, count: int) -> None:
        """Change the text of the last ``count`` tickets in the warehouse."""
        with closing(sqlite3.connect(self.place.database)) as connection, connection:
            connection.execute(
                "update tickets set body = 'Now ' || body where ticket in"
                " (select ticket from tickets order by ticket desc limit ?)",
                (count,),
            )

    def writes(self, run_id: str) -> list[str]:
        """Return the writes of a run in order, including the one it was killed at: kind, step, key."""
        path = self.place.writes(run_id)
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def post(self, body: bytes) -> str:
        """Create a batch without any of the project's code, and return its id."""
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
        Run another program with the same key, which keeps creating batches of the same sizes as ours.

        It pauses while a fault that strikes creates is armed, because that fault is meant for one of ours.
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
        """Create a foreign batch of each size that ours have; a create that fails is ignored."""
        for size in (CHUNK_REQUESTS, CANARY_ROWS):
            with suppress(OSError):
                self.post(_foreign_batch(size))

    def foreign_batches(self) -> set[str]:
        """Return the ids of the other program's batches, recognized by their content."""
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


class Worlds:
    """
    A factory of worlds on one emulator, and on one S3 server if there is one.

    :param s3: the server's endpoint
    """

    def __init__(self, folder: Path, emulator: Emulator, *, s3: str | None = None) -> None:
        self._folder = folder
        self._emulator = emulator
        self._s3 = s3
        self._numbers = count(1)

    def new(self, *, rows: int = ROWS, on_s3: bool = False, timing: Timing | None = None, keep: bool = False) -> World:
        """Create a world with only its tickets."""
        number = next(self._numbers)
        if not on_s3:
            return World(self._folder / f"{number}", self._emulator.workspace(), rows=rows, timing=timing, keep=keep)
        assert self._s3
        bucket = f"chaos-{os.getpid()}-{number}"
        filesystem(self._s3).create_dir(bucket)
        return World(
            self._folder / f"{number}",
            self._emulator.workspace(),
            rows=rows,
            lake=f"s3://{bucket}",
            s3=self._s3,
            timing=timing,
            keep=keep,
        )
