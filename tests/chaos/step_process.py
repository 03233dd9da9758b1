"""
One step of a run in a process of its own, as Airflow runs a task, with every write to the outside numbered, and SIGKILL
at the one that the driver names. Production code knows nothing of it: obstore and the HTTP transport are wrapped.

A step's process is forked from a server that has imported everything and run nothing, so it starts in milliseconds and
no thread of a client is ever forked.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import anthropic
import httpx2
import obstore
import sqlalchemy

from include.enrichment.batches import submission
from include.enrichment.errors import EnrichmentError, NotSent, NotYet
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways import claude as claude_gateway
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import check_setup, extract
from include.steps.load import load
from include.steps.plan import plan
from include.steps.publish import publish
from include.steps.submit import submit
from tests.fixtures.flow import DAY

#: ``before``: the write never happens. ``after``: it has happened, and the process does not live to know.
#: ``late``, of a create only: the process is dead already when its request arrives.
Moment = Literal["before", "after", "late"]
CREATE = "create"
CREATES_PATH = "/v1/messages/batches"
#: What the libraries import when they are first used, and sqlalchemy for its url. One that is missing is passed over.
_USED_LATER = (
    "pandas",
    "httpcore2",
    "h11",
    "truststore",
    "stringprep",
    "_strptime",
    "sqlite3",
    "sqlalchemy.dialects.sqlite",
)
_FORKING = multiprocessing.get_context("forkserver")
#: Starting and collecting a child touches what all children of this process share.
_ONE_AT_A_TIME = threading.Lock()
#: Far beyond what a step takes on a machine that has other work, too.
_HUNG_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Timing:
    """
    Production's waits, in seconds instead of minutes.

    :param create_window: longer than any create that is still alive may take
    :param client_timeout: how long a create waits for its answer
    """

    create_window: float = 1.0
    listing_lag: float = 0.5
    soon: float = 0.05
    late: float = 0.2
    client_timeout: float = 30.0

    def apply(self) -> None:
        """Put them in the place of production's, in this process."""
        submission.CREATE_WINDOW = timedelta(seconds=self.create_window)
        submission.LISTING_LAG = timedelta(seconds=self.listing_lag)
        submission.SOON = timedelta(seconds=self.soon)
        submission.LATE = timedelta(seconds=self.late)
        claude_gateway._CREATE_TIMEOUT = httpx2.Timeout(self.client_timeout)


@dataclass(frozen=True, kw_only=True)
class Place:
    """
    Where the runs happen: what a process needs to know of the lake, the API and the warehouse.

    :param folder: the pipeline, the database, the logs of writes and whatever the processes leave behind locally
    :param lake: a folder or ``s3://bucket``
    :param s3: the endpoint of the bucket
    """

    folder: Path
    lake: str
    s3: str | None
    api_url: str
    api_key: str
    timing: Timing = field(default_factory=Timing)

    @property
    def pipeline(self) -> Path:
        """The pipeline's folder."""
        return self.folder / "tickets"

    @property
    def database(self) -> Path:
        """The warehouse."""
        return self.folder / "warehouse.db"

    def writes(self, run_id: str) -> Path:
        """The log of one run's writes: a line for each, in their order."""
        return self.folder / f"writes-{run_id}.log"

    def late_create(self, run_id: str) -> Path:
        """The body of a create whose process has died while it was on its way."""
        return self.folder / f"late-{run_id}.json"

    def open_lake(self) -> Lake:
        """The lake, as plugins/claude_batch/connections/gateways.py opens it."""
        if self.s3 is None:
            return Lake.in_folder(Path(self.lake))
        return Lake.on_s3(
            self.lake,
            credentials=lambda: {
                "access_key_id": "testing",
                "secret_access_key": "testing",
                "expires_at": None,
            },
            region=None,
            endpoint=self.s3,
        )

    def open_claude(self, transport: httpx2.HTTPTransport | None = None) -> Claude:
        """The API; a wrapped transport sees every call."""
        http_client = anthropic.DefaultHttpxClient(transport=transport, verify=False, trust_env=False)
        client = anthropic.Anthropic(
            api_key=self.api_key, base_url=self.api_url, max_retries=0, http_client=http_client
        )
        return Claude(client, name="anthropic_default")


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    A task of a run.

    :param pass_name: of a plan
    :param chunk: of a submit or load
    :param batch_id: of a load
    :param accept_missing: of a load that is the last try
    """

    name: Literal["extract", "plan", "submit", "load", "publish"]
    run_id: str
    pass_name: str = ""
    chunk: str = ""
    batch_id: str = ""
    accept_missing: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, (self.run_id, self.name, self.pass_name, self.chunk[-12:], self.batch_id[-6:])))


@dataclass(frozen=True, kw_only=True)
class Done:
    """The step has returned."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class ComeBack:
    """The step has raised NotYet."""

    again_at: datetime


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The step has raised another error."""

    error: str
    retryable: bool


@dataclass(frozen=True, kw_only=True)
class Killed:
    """The process died without a word."""


Ended = Done | ComeBack | Failed | Killed


def run_process(place: Place, step: Step, kills: Mapping[int, Moment], *, life_seconds: float | None = None) -> Ended:
    """
    Run the step in a new process and wait for its end.

    :param kills: at which of the run's writes the process is killed, by number from 1
    :param life_seconds: kill it from outside after so long, wherever it is then
    """
    receiver, sender = _FORKING.Pipe(duplex=False)
    process = _FORKING.Process(target=_work, args=(place, step, dict(kills), sender))
    with _ONE_AT_A_TIME:
        _FORKING.set_forkserver_preload([__name__, *_USED_LATER])
        process.start()
    sender.close()
    try:
        if not receiver.poll(_HUNG_SECONDS if life_seconds is None else life_seconds):
            process.kill()
            if life_seconds is None:
                raise AssertionError(f"{step} did not end within {_HUNG_SECONDS} s.")
        ended: Ended = receiver.recv()
    except EOFError:
        ended = Killed()
    finally:
        with _ONE_AT_A_TIME:
            process.join()
            process.close()
        receiver.close()
    return ended


def _work(place: Place, step: Step, kills: Mapping[int, Moment], sender: Connection) -> None:
    """The process."""
    tempfile.tempdir = str(place.folder)  # what a killed process leaves behind goes with the folder
    logging.basicConfig(
        filename=place.folder / "steps.log", level=logging.INFO, format=f"%(asctime)s {step}: %(message)s"
    )
    place.timing.apply()
    writes = _Writes(place, step, kills)
    put, delete = obstore.put, obstore.delete

    def counted_put(store: Any, key: str, data: Any, **options: Any) -> Any:
        with writes.one(_kind(key, data), key):
            return put(store, key, data, **options)

    def counted_delete(store: Any, key: str) -> None:
        with writes.one("delete", key):
            delete(store, key)

    try:
        with mock.patch.object(obstore, "put", counted_put), mock.patch.object(obstore, "delete", counted_delete):
            ended: Ended = Done(value=_act(place, step, _CountedTransport(writes)))
    except NotYet as later:
        ended = ComeBack(again_at=later.again_at)
    except EnrichmentError as error:
        ended = Failed(error=f"{type(error).__name__}: {error}", retryable=error.retryable)
    except Exception as error:
        logging.getLogger(__name__).exception("not an error of ours")
        ended = Failed(error=f"{type(error).__name__}: {error}", retryable=False)
    logging.getLogger(__name__).info("%s", ended)
    sender.send(ended)
    os._exit(0)  # nothing is left to do, and taking everything down properly would take longer than the step


def _act(place: Place, step: Step, transport: httpx2.HTTPTransport) -> Any:
    """What the operators of plugins/claude_batch do, without Airflow."""
    lake = place.open_lake()
    folder = RunFolder(pipeline="tickets", partition=DAY, run_id=step.run_id)
    if step.name == "plan":
        return plan(folder, pass_name=step.pass_name, lake=lake)
    if step.name == "publish":
        manifest = publish(folder, lake=lake)
        return manifest.run_id
    with place.open_claude(transport) as claude:
        if step.name == "submit":
            try:
                return submit(step.chunk, run_id=step.run_id, lake=lake, claude=claude)
            except NotSent:
                return None  # the task is skipped, and so are those that wait for its batch and load it
        if step.name == "load":
            return load(step.chunk, step.batch_id, lake=lake, claude=claude, accept_missing=step.accept_missing)
        pipeline = load_pipeline(place.pipeline)
        check_setup(pipeline, lake=lake, claude=claude)
        warehouse = Warehouse(sqlalchemy.create_engine(f"sqlite:///{place.database}"), name="warehouse")
        return extract(pipeline, folder, warehouse=warehouse, lake=lake).rows


def _kind(key: str, data: Any) -> str:
    """What a write to the lake is, by its key; an entry of the ledger is known by the state it takes."""
    room, _, rest = key.partition("/")
    if rest.startswith("_probe"):
        return "probe"
    if room == "ledger":
        return "open" if rest.endswith("/open.json") else str(json.loads(data)["state"])
    return Path(rest).stem if room == "runs" else room


class _Writes:
    """Numbers the writes of a run over all of its processes, and kills this one at those that are named."""

    def __init__(self, place: Place, step: Step, kills: Mapping[int, Moment]) -> None:
        self._place = place
        self._step = step
        self._kills = kills
        self._log = place.writes(step.run_id)

    @contextmanager
    def one(self, kind: str, what: str, sending: Callable[[], bytes] | None = None) -> Iterator[None]:
        """One write, done inside the block."""
        moment = self._kills.get(self._note(kind, what))
        if moment == "late" and sending is not None:
            self._place.late_create(self._step.run_id).write_bytes(sending())
        if moment in ("before", "late"):
            _die()
        try:
            yield
        finally:
            if moment == "after":
                _die()

    def _note(self, kind: str, what: str) -> int:
        with self._log.open("a+", encoding="utf-8") as log:
            log.write(f"{kind} {self._step.name} {what}\n")
            log.seek(0)
            return sum(1 for _ in log)


class _CountedTransport(httpx2.HTTPTransport):
    """Every POST is a write; its answer is whole before the process may be killed after it."""

    def __init__(self, writes: _Writes) -> None:
        super().__init__(verify=False)  # loading certificates takes longer than a step
        self._writes = writes

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "POST":
            return super().handle_request(request)
        kind = CREATE if request.url.path == CREATES_PATH else "post"
        with self._writes.one(kind, request.url.path, sending=request.read):
            response = super().handle_request(request)
            response.read()
            return response


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(_HUNG_SECONDS)
