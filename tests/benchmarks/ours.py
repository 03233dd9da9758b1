"""
``python -m tests.benchmarks.ours``: the steps of this project, each on the lake of the previous one.

``--keep`` keeps the lake for the next step. Runs in .venv.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pandas as pd
import sqlalchemy

from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.sources.warehouse import Warehouse
from include.steps.extract import extract as extract_rows
from include.steps.files.chunk_files import request_ids_of
from include.steps.load import load as load_batch
from include.steps.plan import plan as plan_pass
from include.steps.publish import publish as publish_partition
from include.steps.submit import submit as submit_chunk
from tests.benchmarks.contender import PIPELINE, Round, main
from tests.benchmarks.workload import DAY

#: pyarrow imports pandas when it makes its first array; like the peers' import of pandas, this is not measured.
_IMPORTED_BY_PYARROW = pd
_PIPELINE = load_pipeline(PIPELINE)
_FOLDER = RunFolder(pipeline=_PIPELINE.name, partition=Partition(start=DAY), run_id="first")
_PASS = "main"
_LAKE = "lake"


def extract(at: Round) -> None:
    """Warehouse to rendered rows."""
    lake = _lake(at, after=None)
    warehouse = _warehouse(at)
    with at.measured():
        extract_rows(_PIPELINE, _FOLDER, source=warehouse, lake=lake)
    _end(at, step="extract")


def plan(at: Round) -> None:
    """Rendered rows to chunks."""
    lake = _lake(at, after="extract")
    with at.measured() as found:
        found["chunks"] = len(plan_pass(_FOLDER, pass_name=_PASS, lake=lake))
    _end(at, step="plan")


def submit(at: Round) -> None:
    """Chunks to accepted batches."""
    lake = _lake(at, after="plan")
    sent: list[int] = []
    with _claude(at, sent) as claude:
        chunks = _chunks(lake)
        with at.measured() as found:
            for chunk in chunks:
                submit_chunk(chunk, run_id=_FOLDER.run_id, lake=lake, claude=claude, open_buckets=LocalFolder)
            found |= {"mb": sum(sent) / 1e6, "content_length": len(sent) == len(chunks)}
    at.batches()
    _end(at, step="submit")


def ask(at: Round) -> None:
    """Warehouse to accepted batches: extract, plan and submit in one process."""
    lake = _lake(at, after=None)
    warehouse = _warehouse(at)
    sent: list[int] = []
    with _claude(at, sent) as claude, at.measured() as found:
        extract_rows(_PIPELINE, _FOLDER, source=warehouse, lake=lake)
        for chunk in plan_pass(_FOLDER, pass_name=_PASS, lake=lake):
            submit_chunk(chunk, run_id=_FOLDER.run_id, lake=lake, claude=claude, open_buckets=LocalFolder)
        found["mb"] = sum(sent) / 1e6
    at.batches()


def load(at: Round) -> None:
    """Ended batches to validated, typed outcomes, with the raw results kept."""
    lake = _lake(at, after="submit")
    ledger = Ledger(lake, pipeline=_PIPELINE.name)
    chunks = _chunks(lake)
    entries = ledger.entries([layout.chunk_id_of(chunk) for chunk in chunks])
    batch_ids = [entry.batch_id for entry in entries if entry and entry.batch_id]
    # As in Airflow: one task loads one batch, and each task is a process.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as task:
        found = [
            task.submit(_load_one, at, chunk, batch_id).result()
            for chunk, batch_id in zip(chunks, batch_ids, strict=True)
        ]
    added = {name: sum(one[name] for one in found) for name in ("seconds", "cpu_seconds", "succeeded")}
    most = max(found, key=lambda one: float(one["rss_peak_mb"] - one["rss_before_mb"]))
    sys.stdout.write(f"{json.dumps(most | added)}\n")
    _end(at, step="load")


def _load_one(at: Round, chunk: str, batch_id: str) -> dict[str, Any]:
    lake = Lake.in_folder(at.scratch / _LAKE)
    with _claude(at, []) as claude, at.measured() as found:
        found["succeeded"] = load_batch(chunk, batch_id, lake=lake, claude=claude)["succeeded"]
    return found


def publish(at: Round) -> None:
    """Rows and outcomes to the partition's table."""
    lake = _lake(at, after="load")
    with at.measured() as found:
        found["published"] = publish_partition(_FOLDER, lake=lake).published
    _end(at, step="publish")


def again(at: Round) -> None:
    """A second run of the same partition, up to its plan."""
    lake = _lake(at, after="publish")
    second = RunFolder(pipeline=_FOLDER.pipeline, partition=_FOLDER.partition, run_id="second")
    warehouse = _warehouse(at)
    with at.measured() as found:
        extract_rows(_PIPELINE, second, source=warehouse, lake=lake)
        for pass_name in ("canary", _PASS, "retry"):
            chunks = plan_pass(second, pass_name=pass_name, lake=lake)
            found["requests"] = found.get("requests", 0) + sum(len(request_ids_of(lake, key)) for key in chunks)


def _lake(at: Round, *, after: str | None) -> Lake:
    """Return a lake of its own: a copy of the previous step's, or an empty one."""
    folder = at.scratch / _LAKE
    if after:
        # Objects are never changed in place, so a link is as good as a copy.
        shutil.copytree(_kept(at, after), folder, copy_function=os.link)
    return Lake.in_folder(folder)


def _end(at: Round, *, step: str) -> None:
    if at.keep:
        shutil.rmtree(_kept(at, step), ignore_errors=True)
        (at.scratch / _LAKE).rename(_kept(at, step))


def _kept(at: Round, step: str) -> Path:
    return at.kept / f"lake-after-{step}"


def _warehouse(at: Round) -> Warehouse:
    return Warehouse(sqlalchemy.create_engine(f"sqlite:///{at.database}"), _PIPELINE.sql, name="warehouse")


def _chunks(lake: Lake) -> list[str]:
    return sorted(lake.list(layout.chunk(_PIPELINE.name, "").rpartition("/")[0] + "/"))


def _claude(at: Round, sent: list[int]) -> Claude:
    """
    Open the API as a task does.

    :param sent: collects the Content-Length of each create that has one
    """

    def note(request: httpx2.Request) -> None:
        if request.method == "POST" and (length := request.headers.get("content-length")):
            sent.append(int(length))

    http = anthropic.DefaultHttpxClient(event_hooks={"request": [note]})
    client = anthropic.Anthropic(api_key=at.key, base_url=at.url, max_retries=0, http_client=http)
    return Claude(client, name="anthropic_default")


if __name__ == "__main__":
    main({step.__name__: step for step in (extract, plan, submit, ask, load, publish, again)})
