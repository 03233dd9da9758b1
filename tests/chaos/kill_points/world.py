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
from tests.chaos.kill_points.pipelines import CANARY_ROWS, CHUNK_REQUESTS, PLAIN, Kind
from tests.chaos.kill_points.place import CREATES_PATH, Place, Timing
from tests.fixtures.documents import pdf
from tests.fixtures.emulator import Emulator
from tests.fixtures.flow import write_pipeline, write_tickets
from tests.fixtures.s3 import filesystem

ROWS = 40
_FOREIGN = "foreign"


class World:
    """
    A warehouse with tickets for ``rows`` requests, a pipeline, an empty lake, and a workspace of the API.

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
        kind: Kind = PLAIN,
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
        self.change_pipeline(kind)
        count = rows * kind.alike // len(kind.of_ticket)
        tickets = [(f"T{number:03}", f"Ticket number {number // kind.alike}") for number in range(count)]
        write_tickets(self.place.database, tickets)
        if kind.attached:
            self.place.documents.mkdir()
            for ticket, text in tickets:
                (self.place.documents / f"{ticket}.pdf").write_bytes(pdf(f"{ticket}: {text}"))
        self.lake = self.place.open_lake()
        self.has_neighbour = False

    def change_pipeline(self, kind: Kind) -> None:
        """Let the runs that begin from now on play this pipeline."""
        self.kind = kind
        folder = str(self.place.documents)
        write_pipeline(
            self.place.pipeline, **{name: text.replace("{documents}", folder) for name, text in kind.files.items()}
        )

    def files_left(self) -> list[str]:
        """Return the names of the uploaded files that the API has."""
        return [file["filename"] for file in self.emulator.files_uploaded() if not file["deleted"]]

    def tickets(self) -> dict[str, str]:
        """Return the tickets of the source, each with its text."""
        with closing(sqlite3.connect(self.place.database)) as connection:
            return dict(connection.execute("select ticket, body from tickets"))

    def keys(self) -> list[tuple[object, ...]]:
        """Return the keys of the rows that a run publishes or rejects."""
        return [(ticket, *rest) for ticket in self.tickets() for rest in self.kind.of_ticket]

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

    def new(self, *, rows: int = ROWS, on_s3: bool = False, timing: Timing | None = None, kind: Kind = PLAIN) -> World:
        """Create a world with only its tickets."""
        number = next(self._numbers)
        if not on_s3:
            return World(self._folder / f"{number}", self._emulator.workspace(), rows=rows, timing=timing, kind=kind)
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
            kind=kind,
        )
