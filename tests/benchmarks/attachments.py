"""
The time and memory to extract and to send a partition of PDFs: ``python -m tests.benchmarks.attachments``.

The PDFs are copies of a few, each with bytes of its own. Both steps are compared with what they cannot do without, in
the same run: reading the objects, and uploading the finished bodies. Everything is on an S3 server, moto, which is a
single Python thread, and the batches go to the emulator.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import psutil
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from include.enrichment.requests.chunk import Body
from include.enrichment.runs.partition import Partition
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import S3Buckets
from include.gateways.lake import Lake
from include.gateways.sources.objects import Objects
from include.steps.extract import extract
from include.steps.files.chunk_files import read_chunk
from include.steps.files.request_body import open_body
from include.steps.plan import plan
from include.steps.submit import submit
from tests.benchmarks.measuring import measured
from tests.fixtures.emulator import EmulatorProcess
from tests.fixtures.s3 import filesystem, running_s3_server

if TYPE_CHECKING:
    from obstore.store import S3Credential

_OBJECTS, _LAKE = "documents", "lake"
_PREFIX = f"s3://{_OBJECTS}/invoices/dt={{partition}}/"
_DAY = Partition(start=date(2026, 11, 1))
_FOLDER = RunFolder(pipeline="invoices", partition=_DAY, run_id="benchmark")
_FILES = {
    "pipeline.yaml": (
        f"source: {{objects: '{_PREFIX}', connection: aws_default, key: {{name: string}}}}\n"
        "attachments: {columns: {uri: {send: pages}}}\n"
        "request: {model: claude-haiku-5-5, max_tokens: 200}\n"
        "limits: {canary_rows: 0}\n"
    ),
    "system.md": "Read the invoice.",
    "user.md": "What is its total?",
}
_DIFFERENT = 50
_PAGES = 3
_AT_ONCE = 8
_READ_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Place:
    """
    The place of the run.

    :param folder: for the pipeline, and for the finished bodies
    """

    folder: Path
    s3: str
    url: str
    key: str

    def open_bucket(self, name: str) -> Lake:
        """Open a bucket."""
        return Lake.on_s3(f"s3://{name}", credentials=_any_credentials, region=None, endpoint=self.s3)

    def open_claude(self, key: str) -> Claude:
        """Open the API with a key: each has a workspace of its own."""
        return Claude(anthropic.Anthropic(api_key=key, base_url=self.url, max_retries=0), name="anthropic_default")


def _any_credentials() -> S3Credential:
    return {"access_key_id": "testing", "secret_access_key": "testing", "expires_at": None}


def main() -> None:
    """Measure, and print the figures as one line of JSON."""
    arguments = argparse.ArgumentParser(prog="python -m tests.benchmarks.attachments", description=__doc__)
    arguments.add_argument("--documents", type=int, default=2_000)
    arguments.add_argument("--kilobytes", type=int, default=1_000, help="of each document")
    options = arguments.parse_args()
    os.environ["MOTO_S3_DEFAULT_KEY_BUFFER_SIZE"] = "100000"  # larger objects are on its disk
    with (
        tempfile.TemporaryDirectory() as temporary,
        running_s3_server() as s3,
        EmulatorProcess(Path(temporary, "emulator"), processing_seconds=86_400) as emulator,
    ):
        for bucket in (_OBJECTS, _LAKE):
            filesystem(s3).create_dir(bucket)
        place = Place(folder=Path(temporary), s3=s3, url=emulator.url, key=emulator.workspace().api_key)
        facts = {"documents": options.documents, "bytes": _write(place, options.documents, options.kilobytes * 1_000)}
        found = {step.__name__.strip("_"): _in_process(step, place) for step in (_read, _extract, _plan, _submit)}
        found["upload"] = _in_process(_upload, replace(place, key=emulator.workspace().api_key))
        lake = place.open_bucket(_LAKE)
        stored = sum(listed.size_bytes for prefix in ("runs/", "chunks/") for listed in lake.objects(prefix))
    least = found["read"]["seconds"] + found["upload"]["seconds"]
    figures = {
        **facts,
        "stored_mb": stored / 1e6,
        "batches": found["submit"]["batches"],
        "batch_bytes": found["submit"]["batch_bytes"],
        "memory_mb": {name: one["rss_peak_mb"] - one["rss_before_mb"] for name, one in found.items()},
        "inspector_mb": found["extract"]["inspector_mb"],
        "seconds": sum(one["seconds"] for one in found.values()),
        "seconds_of": {name: one["seconds"] for name, one in found.items()},
        "times_least": {name: found[name]["seconds"] / least for name in ("extract", "submit")},
    }
    sys.stdout.write(f"{json.dumps(figures)}\n")


def _write(place: Place, documents: int, size: int) -> int:
    """Write the pipeline, and the documents to S3. Return how many bytes they have."""
    (place.folder / "invoices").mkdir()
    for name, text in _FILES.items():
        (place.folder / "invoices" / name).write_text(text, encoding="utf-8")
    bucket, different = place.open_bucket(_OBJECTS), [_pdf(number, size) for number in range(_DIFFERENT)]

    def put(number: int) -> int:
        data = different[number % _DIFFERENT] + f"% copy {number}\n".encode()
        bucket.write(f"invoices/dt={_DAY}/{number:05}.pdf", data)
        return len(data)

    with ThreadPoolExecutor(_AT_ONCE) as writers:
        return sum(writers.map(put, range(documents)))


def _pdf(number: int, size: int) -> bytes:
    """Draw a PDF of about ``size`` bytes: pages of text, on each an image that does not compress."""
    side = int((size * 0.8 / _PAGES / 3) ** 0.5)  # in the file, four bytes become five
    draw, file = random.Random(number), io.BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=True, pageCompression=1)
    for page in range(_PAGES):
        for line in range(40):
            canvas.drawString(
                50, 800 - 14 * line, f"Invoice {number}, page {page + 1}, item {line}: {draw.random():.6f}"
            )
        noise = Image.frombytes("RGB", (side, side), draw.randbytes(3 * side * side))
        canvas.drawImage(ImageReader(noise), 50, 50, 100, 100)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def _in_process(step: Callable[[Place], dict[str, Any]], place: Place) -> dict[str, Any]:
    """Take a step in a process of its own, like a task."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as task:
        return task.submit(step, place).result()


def _read(place: Place) -> dict[str, Any]:
    bucket = place.open_bucket(_OBJECTS)
    keys = bucket.list(f"invoices/dt={_DAY}/")
    with measured(step="read") as found, ThreadPoolExecutor(_AT_ONCE) as readers:
        found["bytes"] = sum(readers.map(lambda key: len(bucket.read(key)), keys))
    return found


def _extract(place: Place) -> dict[str, Any]:
    pipeline, buckets = load_pipeline(place.folder / "invoices"), S3Buckets(place.open_bucket)
    source, lake = Objects(buckets, objects=_PREFIX, name="aws_default"), place.open_bucket(_LAKE)
    with measured(step="extract") as found, _inspector_memory() as memory:
        extracted = extract(
            pipeline,
            _FOLDER,
            source=source,
            lake=lake,
            buckets=buckets,
            context_tokens={pipeline.settings.request.model: 200_000},
        )
    assert not extracted.unsendable, extracted
    return found | {"inspector_mb": max(memory) / 1e6}


@contextmanager
def _inspector_memory() -> Iterator[list[int]]:
    """Yield a list to which the memory of this process's child is added every tenth of a second."""
    found, over = [0], threading.Event()

    def sample() -> None:
        while not over.wait(0.1):
            with suppress(psutil.NoSuchProcess):
                found.extend(child.memory_info().rss for child in psutil.Process().children())

    with ThreadPoolExecutor(1) as sampler:
        sampling = sampler.submit(sample)
        yield found
        over.set()
        sampling.result()


def _plan(place: Place) -> dict[str, Any]:
    lake = place.open_bucket(_LAKE)
    with measured(step="plan") as found:
        plan(_FOLDER, pass_name="main", lake=lake)
    return found


def _submit(place: Place) -> dict[str, Any]:
    lake, buckets = place.open_bucket(_LAKE), S3Buckets(place.open_bucket)
    chunks = _chunks(lake)
    with place.open_claude(place.key) as claude, measured(step="submit") as found:
        for chunk in chunks:
            submit(chunk, run_id=_FOLDER.run_id, lake=lake, claude=claude, open_buckets=lambda _: buckets)
    return found | {
        "batches": len(chunks),
        "batch_bytes": [read_chunk(lake, chunk).body_bytes for chunk in chunks],
    }


def _upload(place: Place) -> dict[str, Any]:
    """Send the bodies of the batches from files."""
    lake, buckets = place.open_bucket(_LAKE), S3Buckets(place.open_bucket)
    paths: dict[Path, int] = {}
    for chunk in _chunks(lake):
        with open_body(lake, read_chunk(lake, chunk), open_buckets=lambda _: buckets) as body:
            path = place.folder / f"body-{len(paths)}"
            paths[path] = body.requests
            with path.open("wb") as file:
                file.writelines(body.pieces)
    with place.open_claude(place.key) as claude, measured(step="upload") as found:
        for path, requests in paths.items():
            body = Body(pieces=_pieces(path), length=path.stat().st_size, requests=requests)
            claude.create(body, since=datetime.now(UTC))
    return found


def _chunks(lake: Lake) -> list[str]:
    chunks: list[str] = json.loads(lake.read(_FOLDER.plan_json("main")))["chunks"]
    return chunks


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            yield piece


if __name__ == "__main__":
    main()
