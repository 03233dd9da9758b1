"""
One step of a run in a process of its own, as Airflow runs a task.

Every write to the outside is numbered, and the process gets a SIGKILL at the writes that the driver names. Production
code is unchanged: obstore and the HTTP transport are wrapped. The process is forked from a server that has imported
everything and run no step, so it starts in milliseconds and never forks a client's thread.
"""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import httpx2
import obstore
import sqlalchemy

from include.enrichment.errors import EnrichmentError, NotSent, NotYet
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.documents.buckets import LocalFolder
from include.gateways.sources.warehouse import Warehouse
from include.steps.ask import ask
from include.steps.extract import extract
from include.steps.extracting.setup_check import check_setup
from include.steps.load import load
from include.steps.plan import plan
from include.steps.publish import publish
from include.steps.submit import submit
from tests.chaos.kill_points.place import CREATES_PATH, Place
from tests.fixtures.flow import DAY

#: ``before``: the write never happens. ``after``: it has happened, and the process dies before it continues.
#: ``late``, for a create only: the process is already dead when its request arrives. ``during``, for a create only: it
#: dies when half of the body is sent.
Moment = Literal["before", "during", "after", "late"]
#: By the number of a write, from 1; a moment alone: once at each write of a step and pass, told apart by its kind and
#: by how many of that kind the process has made.
Kills = Mapping[int, Moment] | Moment
CREATE, MESSAGE = "create", "message"
UPLOAD, DELETE_FILE = "upload", "delete_file"
#: The kinds of writes that concern uploaded files: the calls, and the states of their records.
OF_FILES = ("uploading", UPLOAD, "uploaded", "deleting", DELETE_FILE, "deleted")
#: Imported by the server that forks all processes of `make chaos`.
PRELOADED = [__name__, "tests.chaos.kill_points.warmed_up", "tests.chaos.agents.process"]
FORKING = multiprocessing.get_context("forkserver")
#: Starting and joining a child changes state that all children of this process share.
ONE_AT_A_TIME = threading.Lock()
#: Far longer than any step takes, even on a busy machine.
_HUNG_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    A task of a run.

    :param pass_name: for a plan or ask
    :param chunk: for a submit or load
    :param batch_id: for a load
    :param accept_missing: for a load that is the last try
    """

    name: Literal["extract", "plan", "ask", "submit", "load", "publish"]
    run_id: str
    pass_name: str = ""
    chunk: str = ""
    batch_id: str = ""
    accept_missing: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, (self.run_id, self.name, self.pass_name, self.chunk[-12:], self.batch_id[-6:])))


@dataclass(frozen=True, kw_only=True)
class Done:
    """The step returned."""

    value: Any


@dataclass(frozen=True, kw_only=True)
class ComeBack:
    """The step raised NotYet."""

    again_at: datetime


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The step raised another error."""

    error: str
    retryable: bool


@dataclass(frozen=True, kw_only=True)
class Killed:
    """The process died without a result."""


Ended = Done | ComeBack | Failed | Killed


def run_process(place: Place, step: Step, kills: Kills, *, life_seconds: float | None = None) -> Ended:
    """
    Run the step in a new process and wait for its end.

    :param kills: the run's writes at which the process is killed
    :param life_seconds: kill it from outside after this time, at any point
    """
    receiver, sender = FORKING.Pipe(duplex=False)
    process = FORKING.Process(
        target=_work, args=(place, step, kills if isinstance(kills, str) else dict(kills), sender)
    )
    with ONE_AT_A_TIME:
        FORKING.set_forkserver_preload(PRELOADED)
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
        with ONE_AT_A_TIME:
            process.join()
            process.close()
        receiver.close()
    return ended


def _work(place: Place, step: Step, kills: Kills, sender: Connection) -> None:
    """Run the step and send its result; this is the main function of the process."""
    gc.disable()  # it would look at, and so copy, every page that the process shares with its server
    tempfile.tempdir = str(place.folder)  # so that the files of a killed process are deleted with the folder
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
            ended: Ended = Done(value=_act(place, step, writes))
    except NotYet as later:
        ended = ComeBack(again_at=later.again_at)
    except EnrichmentError as error:
        ended = Failed(error=f"{type(error).__name__}: {error}", retryable=error.retryable)
    except Exception as error:
        logging.getLogger(__name__).exception("The step raised an unexpected error.")
        ended = Failed(error=f"{type(error).__name__}: {error}", retryable=False)
    logging.getLogger(__name__).info("%s", ended)
    sender.send(ended)
    os._exit(0)  # an orderly exit would take longer than the step


def _act(place: Place, step: Step, writes: _Writes) -> Any:
    """Run the step as the operators of plugins/claude_batch do, without Airflow."""
    lake, transport = place.open_lake(), _CountedTransport(writes)
    folder = RunFolder(pipeline="tickets", partition=DAY, run_id=step.run_id)
    if step.name == "plan":
        return plan(folder, pass_name=step.pass_name, lake=lake)
    if step.name == "publish":
        return publish(folder, lake=lake, open_claude=lambda: place.open_claude(transport)).run_id
    with place.open_claude(transport) as claude:
        if step.name == "ask":
            return ask(
                folder,
                pass_name=step.pass_name,
                lake=lake,
                claude=claude,
                open_answerer=lambda _: place.open_messages(_CountedAsyncTransport(writes)),
                open_buckets=LocalFolder,
            )
        if step.name == "submit":
            try:
                return submit(step.chunk, run_id=step.run_id, lake=lake, claude=claude, open_buckets=LocalFolder)
            except NotSent:
                return None  # Airflow skips the task, and those that wait for its batch and load it
        if step.name == "load":
            return load(step.chunk, step.batch_id, lake=lake, claude=claude, accept_missing=step.accept_missing)
        pipeline = load_pipeline(place.pipeline)
        context_tokens = check_setup(pipeline, lake=lake, claude=claude)
        connection = pipeline.settings.attachments_connection
        engine = sqlalchemy.create_engine(f"sqlite:///{place.database}")
        warehouse = Warehouse(engine, pipeline.sql, name="warehouse")
        return extract(
            pipeline,
            folder,
            source=warehouse,
            lake=lake,
            buckets=LocalFolder(connection) if connection else None,
            context_tokens=context_tokens,
        ).rows


def _kind(key: str, data: Any) -> str:
    """Return the kind of a write to the lake by its key; for a ledger entry or an upload it is the new state."""
    room, _, rest = key.partition("/")
    if rest.startswith("_probe"):
        return "probe"
    if room == "uploads":
        return str(json.loads(data)["state"])
    if room == "ledger":
        return "open" if rest.endswith("/open.json") else str(json.loads(data)["state"])
    return Path(rest).stem if room == "runs" else room


class _Writes:
    """Numbers the writes of a run across all of its processes, and kills this process at some of them."""

    def __init__(self, place: Place, step: Step, kills: Kills) -> None:
        self._place = place
        self._step = step
        self._kills = kills
        self._log = place.writes(step.run_id)
        self._deaths = place.deaths(step.run_id)
        self._of_kind: Counter[str] = Counter()
        self._one_at_a_time = threading.Lock()

    @contextmanager
    def one(self, kind: str, what: str, sending: Callable[[], bytes] | None = None) -> Iterator[Moment | None]:
        """
        Number the write that happens inside the block, and kill the process before or after it if planned. Yields the
        moment that is planned; the block itself has to die ``during`` the write.
        """
        moment = self._moment(kind, number=self._note(kind, what))
        if moment == "late" and sending is not None:
            self._place.late_create(self._step.run_id).write_bytes(sending())
        if moment in ("before", "late"):
            _die()
        try:
            yield moment
        finally:
            if moment == "after":
                _die()

    def _moment(self, kind: str, *, number: int) -> Moment | None:
        if not isinstance(self._kills, str):
            return self._kills.get(number)
        with self._one_at_a_time, self._deaths.open("a+", encoding="utf-8") as deaths:
            self._of_kind[kind] += 1
            death = f"{self._step.name} {self._step.pass_name} {kind} {self._of_kind[kind]}"
            deaths.seek(0)
            if death in deaths.read().splitlines():
                return None
            deaths.write(f"{death}\n")
        return self._kills

    def _note(self, kind: str, what: str) -> int:
        with self._one_at_a_time, self._log.open("a+", encoding="utf-8") as log:
            log.write(f"{kind} {self._step.name} {what}\n")
            log.seek(0)
            return sum(1 for _ in log)


class _CountedTransport(httpx2.HTTPTransport):
    """Numbers every POST and DELETE as a write; its response is complete before the process can be killed after it."""

    def __init__(self, writes: _Writes) -> None:
        super().__init__(verify=False)  # loading certificates would take longer than a step
        self._writes = writes

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method not in ("POST", "DELETE"):
            return super().handle_request(request)
        kind = _kind_of_call(request)
        with self._writes.one(kind, request.url.path, sending=request.read) as moment:
            if moment == "during":
                assert isinstance(request.stream, httpx2.SyncByteStream)
                request.stream = _Cut(request.stream, length=int(request.headers["content-length"]) // 2)
            response = super().handle_request(request)
            response.read()
            return response


class _CountedAsyncTransport(httpx2.AsyncHTTPTransport):
    """Numbers every synchronous call as a write. After it, its response is complete, and not stored yet."""

    def __init__(self, writes: _Writes) -> None:
        super().__init__(verify=False)
        self._writes = writes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        with self._writes.one(MESSAGE, request.url.path):
            response = await super().handle_async_request(request)
            await response.aread()
            return response


def _kind_of_call(request: httpx2.Request) -> str:
    if request.method == "DELETE":
        return DELETE_FILE
    return {CREATES_PATH: CREATE, "/v1/files": UPLOAD}.get(request.url.path, "post")


class _Cut(httpx2.SyncByteStream):
    """A body whose process dies after ``length`` bytes of it."""

    def __init__(self, whole: httpx2.SyncByteStream, *, length: int) -> None:
        self._whole = whole
        self._length = length

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._whole:
            yield piece
            self._length -= len(piece)
            if self._length <= 0:
                _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(_HUNG_SECONDS)
