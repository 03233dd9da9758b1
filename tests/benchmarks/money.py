"""
What a workload costs, and what was expected of it before it was sent: documents of about 2,000 tokens, one system
prompt of 6,000, answers of about 150; and others.

The steps of this project ask, at an emulator whose batches take ten minutes of its clock, and the clock is moved
forward. Its bill stands beside the price of the same tokens in synchronous calls without a cache, and beside what the
main pass was expected to cost when it was planned.

``python -m tests.benchmarks.money --cache 1h --canary-rows 5`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import pyarrow as pa
import sqlalchemy

from include.enrichment.batches.ledger import Entry
from include.enrichment.cost.estimate import Usd
from include.enrichment.cost.prices import prices
from include.enrichment.errors import NotYet
from include.enrichment.runs.partition import Partition
from include.enrichment.runs.passes import CANARY, MAIN, names
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger
from include.gateways.sources.warehouse import Warehouse
from include.gateways.usage_store import UsageStore
from include.steps.extract import extract
from include.steps.files.chunk_files import open_body, read_chunk
from include.steps.load import load
from include.steps.plan import plan
from include.steps.planning.select_requests import read_plan
from include.steps.planning.token_counts import count_sample
from include.steps.publish import publish
from include.steps.submit import submit
from tests.benchmarks.contender import FOLDER
from tests.benchmarks.measuring import measured
from tests.benchmarks.workload import DAY, bodies, write
from tests.fixtures.emulator import Emulator, EmulatorProcess

ROWS = 10_000
#: Longer than the emulator needs, and well within the life of what a canary has written for an hour.
BATCH_SECONDS = 600

_SETTINGS = """
source: {{connection: warehouse, key: {{ticket: string}}}}
request: {{model: {model}, max_tokens: {max_tokens}, cache: "{cache}"}}
limits: {{canary_rows: {canary_rows}, retry_passes: 1}}
"""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """
    What is asked about.

    :param files: the folder that has the pipeline's query, user prompt and schema
    :param characters: of a row's text, on average
    :param system_bytes: of the system prompt
    """

    files: str
    model: str
    max_tokens: int
    characters: int
    system_bytes: int


WORKLOADS = {
    # Most characters take one byte and a few take three: with these a document has 8,000 bytes, which the emulator
    # takes for 2,000 tokens.
    "documents": Workload(
        files="documents", model="claude-sonnet-4-6", max_tokens=500, characters=7_850, system_bytes=24_000
    ),
    "labels": Workload(
        files="pipeline", model="claude-haiku-5-5", max_tokens=300, characters=1_640, system_bytes=1_200
    ),
    "pages": Workload(files="pages", model="claude-opus-5-5", max_tokens=2_000, characters=800, system_bytes=6_000),
}


class Wrong(Exception):
    """What was asked or billed is not what it must be. The message says what."""


def ask(
    emulator: Emulator,
    folder: Path,
    *,
    workload: str = "documents",
    rows: int,
    cache: str,
    canary_rows: int,
    cold: bool = False,
) -> dict[str, Any]:
    """
    Ask about so many rows, from the warehouse to the published partition, and tell what it costs.

    :param folder: an empty one, for all files
    :param workload: one of WORKLOADS
    :param cache: as pipeline.yaml has it, and ``canary_rows`` too
    :param cold: send each chunk as it is, without a look at the cache: nothing goes ahead to warm it
    """
    asked = WORKLOADS[workload]
    write(rows, folder / "warehouse", mean_characters=asked.characters)
    pipeline = load_pipeline(_write_pipeline(folder / workload, asked, cache=cache, canary_rows=canary_rows))
    run = RunFolder(pipeline=pipeline.name, partition=Partition(start=DAY), run_id="bill")
    warehouse = Warehouse(sqlalchemy.create_engine(f"sqlite:///{folder}/warehouse/warehouse.db"), name="warehouse")
    lake = Lake.in_folder(folder / "lake")
    emulator.set_faults([{"kind": "duration", "seconds": BATCH_SECONDS}])
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with Claude(client, name="anthropic_default") as claude:
        extracted_at = extract(pipeline, run, warehouse=warehouse, lake=lake).extracted_at
        count_sample(run, lake=lake, claude=claude)
        for pass_name in names(canary_rows=canary_rows, retry_passes=pipeline.settings.limits.retry_passes):
            chunks = plan(run, pass_name=pass_name, lake=lake)
            send = _create if cold else _submit
            batches = [send(chunk, run.run_id, lake, claude, emulator) for chunk in chunks]
            _let_end(emulator)
            for chunk, batch in zip(chunks, batches, strict=True):
                load(chunk, batch, lake=lake, claude=claude)
        published = publish(run, lake=lake).published
    bills = emulator.bills()
    books = _books(lake)
    booked = sum(books["cost_usd"].to_pylist(), Decimal())
    if published != rows or bills["billed_twice"] or booked != Decimal(bills["usd"]):
        raise Wrong(
            f"{rows:,} rows, {published:,} published, {bills['billed_twice']:,} requests billed twice,"
            f" ${bills['usd']} billed, ${booked:f} booked by this project."
        )
    made = read_plan(lake, run, MAIN, extracted_at)
    assert made
    assert made.estimate
    assert made.estimate.cost_usd
    canary = sum((line["cost_usd"] for line in books.to_pylist() if line["pass_name"] == CANARY), Decimal())
    return figures(bills, model=asked.model, canary_usd=canary, expected=made.estimate.cost_usd)


def figures(bills: Mapping[str, Any], *, model: str, canary_usd: Decimal, expected: Usd) -> dict[str, Any]:
    """
    What these bills of a model come to, in US dollars and as a part of what the same tokens cost synchronously.

    ``cache_hits`` is what was read of all that was read or written, None where nothing was.

    :param canary_usd: what the canary had cost when the main pass was planned
    :param expected: what the main pass was expected to cost then
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


def _write_pipeline(folder: Path, workload: Workload, *, cache: str, canary_rows: int) -> Path:
    shutil.copytree(Path(__file__).with_name(workload.files), folder)
    settings = _SETTINGS.format(
        model=workload.model, max_tokens=workload.max_tokens, cache=cache, canary_rows=canary_rows
    )
    (folder / "pipeline.yaml").write_text(settings, encoding="utf-8")
    text = "Read the document. What the terms in it mean:\n" + next(bodies(4 * workload.system_bytes))
    (folder / "system.md").write_text(text.encode()[: workload.system_bytes].decode(errors="ignore"), encoding="utf-8")
    return folder


def _submit(chunk_key: str, run_id: str, lake: Lake, claude: Claude, emulator: Emulator) -> str:
    """As the operator does, but that what is waited for ends at once."""
    while True:
        try:
            return submit(chunk_key, run_id=run_id, lake=lake, claude=claude)
        except NotYet:
            _let_end(emulator)


def _create(chunk_key: str, run_id: str, lake: Lake, claude: Claude, emulator: Emulator) -> str:
    """Make the batch and nothing else."""
    chunk, now = read_chunk(lake, chunk_key), datetime.now(UTC)
    with open_body(lake, chunk) as body:
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


def _books(lake: Lake) -> pa.Table:
    """What this project says that its batches cost."""
    today = datetime.now(UTC).date()
    return UsageStore(lake).read(today - timedelta(days=1), today + timedelta(days=1))


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", required=True, help="as pipeline.yaml has it")
    parser.add_argument("--canary-rows", type=int, required=True, help="as pipeline.yaml has it")
    parser.add_argument("--cold", action="store_true", help="warm nothing, whatever that costs")
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
