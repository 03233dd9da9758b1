"""
The time and memory to plan a partition, with many earlier runs in the result store. Half of its rows have answers from
them, and the others are new. ``python -m tests.benchmarks.planning --earlier 1000 --s3``

Each earlier run has three batches: a canary, the partition, a few retries. The last 98 of them are not in the index
yet; two more would trigger its update.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import sqlalchemy

from include.enrichment.answers.outcome import Outcome, outcomes_batch
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.lake import Lake
from include.gateways.result_store import Received, ResultStore
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import extract
from include.steps.files.extracted import fetch_rows, read_request_ids
from include.steps.plan import plan
from tests.benchmarks.contender import PIPELINE
from tests.benchmarks.measuring import measured
from tests.benchmarks.workload import DAY, write
from tests.fixtures.s3 import filesystem, running_s3_server
from tests.fixtures.usage import facts_of

if TYPE_CHECKING:
    from obstore.store import S3Credential

#: pyarrow imports pandas when it makes its first array; this is not measured.
_IMPORTED_BY_PYARROW = pd
_PIPELINE = load_pipeline(PIPELINE)
_FOLDER = RunFolder(pipeline=_PIPELINE.name, partition=Partition(start=DAY), run_id="planned")
_CANARY_ROWS, _RETRIED_ROWS = 5, 20
#: The number of runs since the last write of the index.
_RUNS_SINCE = 33
_PLANS = 3
_WRITERS = 4
_BUCKET = "planning"


@dataclass(frozen=True, kw_only=True)
class Place:
    """The place of the lake: a folder, or a bucket on an S3 server that logs each request."""

    folder: Path
    s3: str | None = None

    @property
    def lake(self) -> Lake:
        """The lake, opened."""
        if self.s3 is None:
            return Lake.in_folder(self.folder / "lake")
        return Lake.on_s3(f"s3://{_BUCKET}", credentials=_any_credentials, region=None, endpoint=self.s3)

    @property
    def log(self) -> Path:
        """The log of the S3 server, one line per request."""
        return self.folder / "s3.log"

    def requests(self) -> int:
        """Count the requests that the server has received."""
        return sum(" HTTP/1.1" in line for line in self.log.read_text(encoding="utf-8").splitlines())


def _any_credentials() -> S3Credential:
    return {"access_key_id": "testing", "secret_access_key": "testing", "expires_at": None}


def main() -> None:
    """Measure, and print the figures as one line of JSON."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.planning", description=__doc__)
    arguments.add_argument("--earlier", type=int, default=1_000, help="the number of earlier runs")
    arguments.add_argument("--rows", type=int, default=10_000, help="of a partition")
    arguments.add_argument("--s3", action="store_true", help="on an S3 server instead of in a folder")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(folder=Path(temporary))
        with _s3_server(place) if options.s3 else _no_server(place) as place:
            found = _measure(place, options.earlier, options.rows)
    facts = {"where": "S3 server" if options.s3 else "folder", "earlier_runs": options.earlier, "rows": options.rows}
    sys.stdout.write(f"{json.dumps(facts | found)}\n")


def _measure(place: Place, earlier: int, rows: int) -> dict[str, Any]:
    wanted = _extracted(place, rows)
    draw = random.Random(earlier)
    since = min(_RUNS_SINCE, earlier - 1)
    answered = _answered(wanted, earlier, draw)
    _write_runs(place, answered[: earlier - since], rows, draw)
    first = _planned(place)
    _write_runs(place, answered[earlier - since :], rows, draw)
    plans = [_planned(place) for _ in range(_PLANS)]
    assert {one["to_send"] for one in plans} == {len(wanted) - sum(map(len, answered))}, plans
    seconds = [one["seconds"] for one in plans]
    return {
        "seconds": statistics.median(seconds),
        "seconds_least": min(seconds),
        "seconds_most": max(seconds),
        "cpu_seconds": statistics.median(one["cpu_seconds"] for one in plans),
        "memory_mb": max(one["rss_peak_mb"] - one["rss_before_mb"] for one in plans),
        "first_plan_seconds": first["seconds"],
        "first_plan_memory_mb": first["rss_peak_mb"] - first["rss_before_mb"],
        **({"s3_requests": plans[-1]["s3_requests"]} if place.s3 else {}),
    }


def _extracted(place: Place, rows: int) -> list[str]:
    """Extract the partition that will be planned, and return its requests."""
    write(rows, place.folder / "workload")
    engine = sqlalchemy.create_engine(f"sqlite:///{place.folder}/workload/warehouse.db")
    extract(_PIPELINE, _FOLDER, source=Warehouse(engine, _PIPELINE.sql, name="warehouse"), lake=place.lake)
    fetch_rows(place.lake, _FOLDER, path := place.folder / "rows.parquet")
    return sorted(read_request_ids(path))


def _answered(wanted: Sequence[str], runs: int, draw: random.Random) -> list[list[str]]:
    """Deal out half of the wanted requests to the earlier runs."""
    half = draw.sample(wanted, len(wanted) // 2)
    return [half[number::runs] for number in range(runs)]


def _write_runs(place: Place, answered: Sequence[Sequence[str]], rows: int, draw: random.Random) -> None:
    """Write the batches of earlier runs, each with these answers and others that fill its partition."""
    store = ResultStore(place.lake, pipeline=_PIPELINE.name)

    def write_batch(request_ids: Sequence[str]) -> None:
        with tempfile.TemporaryDirectory(dir=place.folder) as folder:
            with Received(Path(folder), facts=facts_of(run_id="earlier")) as received:
                list(received.parts(iter([b"{}\n"])))
                received.add(outcomes_batch([_outcome(request_id) for request_id in request_ids]))
            store.publish(f"msgbatch_simulated_{draw.randbytes(12).hex()}", received)

    with ThreadPoolExecutor(_WRITERS) as writers:
        for number, known in enumerate(answered, start=1):
            list(
                writers.map(
                    write_batch, [_strangers(_CANARY_ROWS, draw), [*known, *_strangers(rows - len(known), draw)]]
                )
            )
            if number < len(answered):  # the last run had no retries
                write_batch(_strangers(_RETRIED_ROWS, draw))


def _strangers(count: int, draw: random.Random) -> list[str]:
    """Return request ids of other partitions."""
    return [base64.urlsafe_b64encode(draw.randbytes(17))[:22].decode() for _ in range(count)]


def _outcome(request_id: str) -> Outcome:
    output = '{"topic":"billing","urgent":false}'
    return Outcome(
        request_id=request_id, outcome="succeeded", output=output, model="claude-haiku-5-5", stop_reason="end_turn"
    )


def _planned(place: Place) -> dict[str, Any]:
    """Plan once, in a process of its own like a task, with no batches in flight."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as task:
        found = task.submit(_plan, place).result()
    for listed in place.lake.objects("ledger/"):
        place.lake.delete(listed)
    return found


def _plan(place: Place) -> dict[str, Any]:
    before = place.requests() if place.s3 else 0
    lake = place.lake
    with measured() as found:
        plan(_FOLDER, pass_name="main", lake=lake)
    if place.s3:
        found["s3_requests"] = place.requests() - before
    found["to_send"] = json.loads(lake.read(_FOLDER.plan_json("main")))["to_send"]
    return found


@contextmanager
def _no_server(place: Place) -> Iterator[Place]:
    yield place


@contextmanager
def _s3_server(place: Place) -> Iterator[Place]:
    """Start an S3 server for the place: moto, which is a single Python thread."""
    with place.log.open("wb") as log, running_s3_server(log=log) as endpoint:
        filesystem(endpoint).create_dir(_BUCKET)
        yield replace(place, s3=endpoint)


if __name__ == "__main__":
    main()
