"""
The 200 sample tickets asked by the naive loop of docs/migration.md and by the pipeline `tickets`: the bill, the time,
and what a crash in the middle costs.

An emulator answers: a call takes CALL_SECONDS and a batch BATCH_SECONDS of its clock, which is moved forward. Both are
assumptions. Bills and counts of requests are measured. ``python -m tests.benchmarks.migration --way loop`` prints one
JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path

import anthropic
import pyarrow.parquet as pq
import sqlalchemy

from include.enrichment.errors import NotYet
from include.enrichment.runs.partition import parse_partition
from include.enrichment.runs.passes import MAIN, names
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.sources.warehouse import Warehouse
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from include.stack.sample_products import load_sample
from include.stack.sample_tickets.tickets import DAY, TICKETS
from include.steps.ask import ask
from include.steps.extract import extract
from include.steps.load import load
from include.steps.plan import plan
from include.steps.publish import publish
from include.steps.submit import submit
from tests.benchmarks.contender import ROOT
from tests.fixtures.emulator import Emulator, EmulatorProcess

LOOP = ROOT / "docs/examples/migration/naive_loop.py"
#: How long an answer takes in a synchronous call.
CALL_SECONDS = 0.5
#: How long a batch takes.
BATCH_SECONDS = 600
#: What asks synchronously is killed after this many answers.
_KILLED_AFTER = TICKETS // 2


class UnexpectedResult(Exception):
    """Not every ticket was answered."""


class Way(ABC):
    """
    One way to ask about all tickets of the day.

    :param folder: for all files of this way in this workspace
    """

    def __init__(self, emulator: Emulator, warehouse: Path, folder: Path) -> None:
        self.emulator, self.warehouse, self.folder = emulator, warehouse, folder

    @abstractmethod
    def run(self, run_id: str) -> int:
        """Ask, or continue a run that died. Returns the number of published rows."""

    @abstractmethod
    def run_and_die(self, run_id: str) -> None:
        """The same, but the process ends in the middle without a chance to do anything."""


class Loop(Way):
    """The naive loop, as a process."""

    def run(self, run_id: str) -> int:
        if self._start().wait():
            raise UnexpectedResult("the loop failed")
        rows: int = pq.ParquetFile(self._output).metadata.num_rows
        return rows

    def run_and_die(self, run_id: str) -> None:
        process = self._start()
        _kill_in_the_middle(self.emulator, process.pid)
        process.wait()

    @property
    def _output(self) -> Path:
        return self.folder / "tickets.parquet"

    def _start(self) -> subprocess.Popen[bytes]:
        account = {"ANTHROPIC_API_KEY": self.emulator.api_key, "ANTHROPIC_BASE_URL": self.emulator.url}
        command = [sys.executable, str(LOOP), str(self.warehouse), str(DAY), str(self._output)]
        return subprocess.Popen(command, env=os.environ | account)


class Killed(Exception):
    """Ends a run where a killed process would end."""


class Batches(Way):
    """The pipeline `tickets` as it is: in batches."""

    mode = "batch"
    _dies_in: str | None = None

    def run(self, run_id: str) -> int:
        pipeline = load_pipeline(ROOT / "include/pipelines/tickets")
        request = pipeline.settings.request.model_copy(update={"mode": self.mode})
        pipeline = pipeline.model_copy(update={"settings": pipeline.settings.model_copy(update={"request": request})})
        run = RunFolder(pipeline=pipeline.name, partition=parse_partition(str(DAY), "partition"), run_id=run_id)
        lake = Lake.in_folder(self.folder / "lake")
        engine = sqlalchemy.create_engine(f"sqlite:///{self.warehouse}")
        client = anthropic.Anthropic(api_key=self.emulator.api_key, base_url=self.emulator.url, max_retries=0)
        limits = pipeline.settings.limits
        with Claude(client, name="anthropic_default") as claude:
            extract(pipeline, run, source=Warehouse(engine, pipeline.sql, name="warehouse"), lake=lake)
            for pass_name in names(canary_rows=limits.canary_rows, retry_passes=limits.retry_passes):
                if chunks := plan(run, pass_name=pass_name, lake=lake):
                    self._send(chunks, run, pass_name, lake, claude)
        return publish(run, lake=lake).published

    def run_and_die(self, run_id: str) -> None:
        """Right after the main pass was sent: its batch is running, and no task waits for it."""
        self._dies_in = MAIN
        with suppress(Killed):
            self.run(run_id)
        self._dies_in = None

    def _send(self, chunks: Sequence[str], run: RunFolder, pass_name: str, lake: Lake, claude: Claude) -> None:
        for chunk in chunks:
            batch = submit(chunk, run_id=run.run_id, lake=lake, claude=claude, open_buckets=LocalFolder)
            if pass_name == self._dies_in:
                raise Killed
            self.emulator.advance_clock(BATCH_SECONDS)
            load(chunk, batch, lake=lake, claude=claude)


class Asked(Batches):
    """The pipeline `tickets` with ``mode: synchronous``."""

    mode = "synchronous"

    def run_and_die(self, run_id: str) -> None:
        process = multiprocessing.get_context("spawn").Process(target=self.run, args=(run_id,))
        process.start()
        _kill_in_the_middle(self.emulator, process.pid)
        process.join()

    def _send(self, chunks: Sequence[str], run: RunFolder, pass_name: str, lake: Lake, claude: Claude) -> None:
        @asynccontextmanager
        async def open_messages(_: Pipeline) -> AsyncGenerator[Messages, None]:
            client = anthropic.AsyncAnthropic(api_key=self.emulator.api_key, base_url=self.emulator.url)
            async with Messages(limited_client(client), name="anthropic_default") as messages:
                yield messages

        while True:
            try:
                ask(
                    run,
                    pass_name=pass_name,
                    lake=lake,
                    claude=claude,
                    open_answerer=open_messages,
                    open_buckets=LocalFolder,
                )
                return
            except NotYet:  # the killed process may still be asking, as far as anybody knows
                time.sleep(CALL_SECONDS)


def _kill_in_the_middle(emulator: Emulator, pid: int | None) -> None:
    assert pid
    while sum(call["path"].partition("?")[0] == "/v1/messages" for call in emulator.log()["calls"]) <= _KILLED_AFTER:
        time.sleep(CALL_SECONDS / 5)
    os.kill(pid, signal.SIGKILL)


WAYS: dict[str, type[Way]] = {"loop": Loop, "batch": Batches, "synchronous": Asked}


def main() -> int:
    """Measure one way, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.migration", description=__doc__)
    parser.add_argument("--way", choices=WAYS, required=True)
    chosen = WAYS[parser.parse_args().way]
    with (
        tempfile.TemporaryDirectory(prefix="migration-") as scratch,
        EmulatorProcess(Path(scratch), processing_seconds=BATCH_SECONDS) as server,
    ):
        load_sample(warehouse := Path(scratch) / "warehouse.db", partition=str(DAY))

        def way(name: str) -> Way:
            folder = Path(scratch) / name
            folder.mkdir()
            emulator = server.workspace()
            emulator.set_faults([{"kind": "slow", "on": "messages", "seconds": CALL_SECONDS}])
            return chosen(emulator, warehouse, folder)

        whole = way("whole")
        began = time.perf_counter()
        _check(whole.run("first"))
        seconds, once = time.perf_counter() - began, whole.emulator.bills()
        _check(whole.run("second"))
        twice = whole.emulator.bills()
        killed = way("killed")
        killed.run_and_die("first")
        _check(killed.run("first"))
        billed = killed.emulator.bills()["requests"]
    batches = once["batches"] if chosen is Batches else 0
    figures = {
        "tickets": TICKETS,
        "seconds of this machine": seconds,
        "seconds, with those of the batches": seconds + BATCH_SECONDS * batches,
        "billed, USD": float(once["usd"]),
        "a second run, USD": float(Decimal(twice["usd"]) - Decimal(once["usd"])),
        "requests billed after a kill in the middle": billed,
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")
    return 0


def _check(rows: int) -> None:
    if rows != TICKETS:
        raise UnexpectedResult(f"{rows} of {TICKETS} tickets were published")


if __name__ == "__main__":
    sys.exit(main())
