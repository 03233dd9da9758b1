"""
The cost of a workload, and its estimate: documents of about 2,000 tokens, one system prompt of 6,000, answers of about
150; and other workloads.

The steps of this project send the requests to an emulator whose batches take ten minutes of its clock, which is moved
forward. The report compares its bill with the price of the same tokens in synchronous calls without a cache, and with
the estimate of the main pass.

``python -m tests.benchmarks.money --cache 1h --canary-rows 5`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import pyarrow as pa
import sqlalchemy

from include.enrichment.batches.ledger import Entry
from include.enrichment.cost.bounds import Usd
from include.enrichment.cost.prices import prices
from include.enrichment.errors import NotYet
from include.enrichment.runs.modes import MODES
from include.enrichment.runs.partition import Partition
from include.enrichment.runs.passes import CANARY, MAIN, names
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.sources.warehouse import Warehouse
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from include.gateways.usage_store import UsageStore
from include.steps.ask import ask as ask_pass
from include.steps.extract import extract
from include.steps.files.chunk_files import read_chunk
from include.steps.files.request_body import open_body
from include.steps.load import load
from include.steps.plan import plan
from include.steps.planning.plan_files import read_plan
from include.steps.planning.token_counts import count_sample
from include.steps.publish import publish
from include.steps.submit import submit
from tests.benchmarks.contender import FOLDER
from tests.benchmarks.measuring import measured
from tests.benchmarks.workload import DAY, bodies, write
from tests.fixtures.emulator import Emulator, EmulatorProcess

ROWS = 10_000
#: Longer than the emulator needs, and well within the one-hour TTL of a canary's cache writes.
BATCH_SECONDS = 600

_SETTINGS = """
source: {{connection: warehouse, key: {{ticket: string}}}}
request: {{mode: {mode}, model: {model}, max_tokens: {max_tokens}, cache: "{cache}"}}
limits: {{canary_rows: {canary_rows}, retry_passes: 1}}
"""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """
    The rows and prompts of one workload.

    :param files: the folder of the pipeline's query, user prompt and schema
    :param characters: the mean length of a row's text
    :param system_bytes: the length of the system prompt
    """

    files: str
    model: str
    max_tokens: int
    characters: int
    system_bytes: int


WORKLOADS = {
    # Most characters take one byte and a few take three, so that a document has 8,000 bytes, which the emulator counts
    # as 2,000 tokens.
    "documents": Workload(
        files="documents", model="claude-sonnet-4-6", max_tokens=500, characters=7_850, system_bytes=24_000
    ),
    "labels": Workload(
        files="pipeline", model="claude-haiku-5-5", max_tokens=300, characters=1_640, system_bytes=1_200
    ),
    "pages": Workload(files="pages", model="claude-opus-5-5", max_tokens=2_000, characters=800, system_bytes=6_000),
}


class UnexpectedResult(Exception):
    """A result differs from the expected one; the message describes it."""


def ask(
    emulator: Emulator,
    folder: Path,
    *,
    workload: str = "documents",
    rows: int,
    cache: str,
    canary_rows: int,
    mode: str = "batch",
    cold: bool = False,
) -> dict[str, Any]:
    """
    Run this number of rows from the warehouse to the published partition, and return the costs.

    :param folder: an empty folder for all files
    :param workload: one of WORKLOADS
    :param cache: the setting of pipeline.yaml, as are ``canary_rows`` and ``mode``
    :param cold: send each chunk without warming the cache
    """
    chosen = WORKLOADS[workload]
    write(rows, folder / "warehouse", mean_characters=chosen.characters)
    settings = {"cache": cache, "canary_rows": canary_rows, "mode": mode}
    pipeline = load_pipeline(_write_pipeline(folder / workload, chosen, settings))
    run = RunFolder(pipeline=pipeline.name, partition=Partition(start=DAY), run_id="bill")
    engine = sqlalchemy.create_engine(f"sqlite:///{folder}/warehouse/warehouse.db")
    warehouse = Warehouse(engine, pipeline.sql, name="warehouse")
    lake = Lake.in_folder(folder / "lake")
    emulator.set_faults([{"kind": "duration", "seconds": BATCH_SECONDS}])
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with Claude(client, name="anthropic_default") as claude:
        extracted_at = extract(pipeline, run, source=warehouse, lake=lake).extracted_at
        count_sample(run, lake=lake, claude=claude)
        for pass_name in names(canary_rows=canary_rows, retry_passes=pipeline.settings.limits.retry_passes):
            chunks = plan(run, pass_name=pass_name, lake=lake)
            if chunks and mode == "synchronous":
                _ask(run, pass_name, lake, claude, emulator)
                continue
            send = _create if cold else _submit
            batches = [send(chunk, run.run_id, lake, claude, emulator) for chunk in chunks]
            _let_end(emulator)
            for chunk, batch in zip(chunks, batches, strict=True):
                load(chunk, batch, lake=lake, claude=claude)
        published = publish(run, lake=lake).published
    bills = emulator.bills()
    usage_records = _usage_records(lake)
    recorded = sum(usage_records["cost_usd"].to_pylist(), Decimal())
    if published != rows or bills["billed_twice"] or recorded != Decimal(bills["usd"]):
        raise UnexpectedResult(
            f"{rows:,} rows, {published:,} published, {bills['billed_twice']:,} requests billed twice,"
            f" ${bills['usd']} billed, ${recorded:f} recorded by this project."
        )
    made = read_plan(lake, run, MAIN, extracted_at)
    assert made
    assert made.estimate
    assert made.estimate.cost_usd
    canary = sum((line["cost_usd"] for line in usage_records.to_pylist() if line["pass_name"] == CANARY), Decimal())
    return figures(bills, model=chosen.model, canary_usd=canary, expected=made.estimate.cost_usd)


def figures(bills: Mapping[str, Any], *, model: str, canary_usd: Decimal, expected: Usd) -> dict[str, Any]:
    """
    Return the sum of a model's bills, in US dollars and as a fraction of the synchronous cost of the same tokens.

    ``cache_hits`` is the share of cache reads among cache reads and writes; None without any.

    :param canary_usd: the cost of the canary when the main pass was planned
    :param expected: the estimate of the main pass
    """
    read, written = bills["cache_read_input_tokens"], bills["cache_creation_input_tokens"]
    input_tokens, output_tokens = bills["input_tokens"] + read + written, bills["output_tokens"]
    price = prices().models[model]
    synchronous_usd = (input_tokens * price.input + output_tokens * price.output) / 1_000_000
    billed_usd = Decimal(bills["usd"])
    return {
        "requests": bills["requests"],
        "batches": bills["batches"],
        "input_tokens_each": input_tokens / bills["requests"],
        "output_tokens_each": output_tokens / bills["requests"],
        "cache_hits": read / (read + written) if read + written else None,
        "billed_usd": float(billed_usd),
        "synchronous_usd": float(synchronous_usd),
        "ratio": float(billed_usd / synchronous_usd),
        "low_usd": float(canary_usd + expected.low),
        "expected_usd": float(canary_usd + expected.expected),
        "high_usd": float(canary_usd + expected.high),
    }


def _write_pipeline(folder: Path, workload: Workload, chosen: Mapping[str, Any]) -> Path:
    shutil.copytree(Path(__file__).with_name(workload.files), folder)
    settings = _SETTINGS.format(model=workload.model, max_tokens=workload.max_tokens, **chosen)
    (folder / "pipeline.yaml").write_text(settings, encoding="utf-8")
    text = "Read the document. The terms in it mean:\n" + next(bodies(4 * workload.system_bytes))
    (folder / "system.md").write_text(text.encode()[: workload.system_bytes].decode(errors="ignore"), encoding="utf-8")
    return folder


def _ask(run: RunFolder, pass_name: str, lake: Lake, claude: Claude, emulator: Emulator) -> None:
    @asynccontextmanager
    async def open_answerer(_: Pipeline) -> AsyncIterator[Messages]:
        client = anthropic.AsyncAnthropic(api_key=emulator.api_key, base_url=emulator.url)
        async with Messages(limited_client(client), name="anthropic_default") as messages:
            yield messages

    ask_pass(run, pass_name=pass_name, lake=lake, claude=claude, open_answerer=open_answerer, open_buckets=LocalFolder)


def _submit(chunk_key: str, run_id: str, lake: Lake, claude: Claude, emulator: Emulator) -> str:
    """Submit a chunk as the operator does, but without waiting: the emulator's clock moves instead."""
    while True:
        try:
            return submit(chunk_key, run_id=run_id, lake=lake, claude=claude, open_buckets=LocalFolder)
        except NotYet:
            _let_end(emulator)


def _create(chunk_key: str, run_id: str, lake: Lake, claude: Claude, emulator: Emulator) -> str:
    """Only create the batch."""
    chunk, now = read_chunk(lake, chunk_key), datetime.now(UTC)
    with open_body(lake, chunk, open_buckets=LocalFolder) as body:
        batch_id = claude.create(body, since=now)
    entry = Entry.planned(
        chunk_id=chunk.chunk_id,
        pipeline=chunk.pipeline,
        chunk=chunk_key,
        requests=len(chunk.request_ids),
        run_id=run_id,
        at=now,
    )
    Ledger(lake, pipeline=chunk.pipeline).write(entry.becomes("submitted", at=now, batch_id=batch_id), over=None)
    return batch_id


def _let_end(emulator: Emulator) -> None:
    emulator.advance_clock(BATCH_SECONDS)
    while not all(batch["ended"] for batch in emulator.batches_made()):
        time.sleep(0.2)


def _usage_records(lake: Lake) -> pa.Table:
    """Return this project's usage records."""
    today = datetime.now(UTC).date()
    return UsageStore(lake).read(today - timedelta(days=1), today + timedelta(days=1))


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", required=True, help="the setting of pipeline.yaml")
    parser.add_argument("--canary-rows", type=int, required=True, help="the setting of pipeline.yaml")
    parser.add_argument("--mode", choices=MODES, default="batch", help="the setting of pipeline.yaml")
    parser.add_argument("--cold", action="store_true", help="do not warm the cache")
    parser.add_argument("--workload", choices=WORKLOADS, default="documents")
    parser.add_argument("--rows", type=int, default=ROWS, help="how many")
    options = vars(parser.parse_args())
    folder = FOLDER / "money"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with EmulatorProcess(folder / "emulator", processing_seconds=0) as emulator, measured() as found:
            found |= ask(emulator.workspace(), folder, **options)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
