"""
What the document workload costs: documents of about 2,000 tokens, one system prompt of 6,000, answers of about 150.

The steps of this project ask about them, at an emulator whose batches take ten minutes of its clock, and the clock is
moved forward. Its bill stands beside the price of the same tokens in synchronous calls without a cache.

``python -m tests.benchmarks.money --cache 1h --canary-rows 5`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import io
import shutil
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy

from include.enrichment import layout
from include.enrichment.layout import RunFolder
from include.enrichment.partition import Partition
from include.enrichment.passes import names
from include.enrichment.prices import prices
from include.enrichment.spec import load_pipeline
from include.enrichment.table import COST_COLUMNS, costs_of
from include.gateways.claude import Claude
from include.gateways.lake import Lake
from include.gateways.warehouse import Warehouse
from include.steps.extract import extract
from include.steps.load import load
from include.steps.plan import plan
from include.steps.publish import publish
from include.steps.submit import submit
from tests.benchmarks.contender import FOLDER
from tests.benchmarks.measuring import measured
from tests.benchmarks.workload import DAY, bodies, write
from tests.fixtures.emulator import Emulator, EmulatorProcess

MODEL = "claude-sonnet-4-6"
DOCUMENTS = 10_000
#: Most characters take one byte and a few take three: with these a document has 8,000 bytes, which the emulator takes
#: for 2,000 tokens.
DOCUMENT_CHARACTERS = 7_850
SYSTEM_BYTES = 24_000
#: Longer than the emulator needs, and well within the life of what a canary has written for an hour.
BATCH_SECONDS = 600

_FILES = Path(__file__).with_name("documents")
_SETTINGS = """
source: {{connection: warehouse, key: {{ticket: string}}}}
request: {{model: {model}, max_tokens: 500, cache: "{cache}"}}
limits: {{canary_rows: {canary_rows}, retry_passes: 1}}
"""


class Wrong(Exception):
    """What was asked or billed is not what it must be. The message says what."""


def ask(emulator: Emulator, folder: Path, *, documents: int, cache: str, canary_rows: int) -> dict[str, Any]:
    """
    Ask about so many documents, from the warehouse to the published partition, and tell what it costs.

    :param folder: an empty one, for all files
    :param cache: as pipeline.yaml has it, and ``canary_rows`` too
    """
    write(documents, folder / "warehouse", mean_characters=DOCUMENT_CHARACTERS)
    pipeline = load_pipeline(_write_pipeline(folder / "documents", cache=cache, canary_rows=canary_rows))
    run = RunFolder(pipeline=pipeline.name, partition=Partition(start=DAY), run_id="bill")
    warehouse = Warehouse(sqlalchemy.create_engine(f"sqlite:///{folder}/warehouse/warehouse.db"), name="warehouse")
    lake = Lake.in_folder(folder / "lake")
    emulator.set_faults([{"kind": "duration", "seconds": BATCH_SECONDS}])
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    with Claude(client, name="anthropic_default") as claude:
        extract(pipeline, run, warehouse=warehouse, lake=lake)
        for pass_name in names(canary_rows=canary_rows, retry_passes=pipeline.settings.limits.retry_passes):
            chunks = plan(run, pass_name=pass_name, lake=lake)
            batches = [submit(chunk, run_id=run.run_id, lake=lake, claude=claude) for chunk in chunks]
            _let_end(emulator)
            for chunk, batch in zip(chunks, batches, strict=True):
                load(chunk, batch, lake=lake, claude=claude)
        published = publish(run, lake=lake).published
    bills = emulator.bills()
    booked = _booked(lake, pipeline.name)
    if published != documents or bills["billed_twice"] or booked != Decimal(bills["usd"]):
        raise Wrong(
            f"{documents:,} documents, {published:,} published, {bills['billed_twice']:,} requests billed twice,"
            f" ${bills['usd']} billed, ${booked:f} booked by this project."
        )
    return figures(bills)


def figures(bills: Mapping[str, Any]) -> dict[str, Any]:
    """
    What these bills of MODEL come to, in US dollars and as a part of what the same tokens cost synchronously.

    ``cache_hits`` is what was read of all that was read or written, None where nothing was.
    """
    read, written = bills["cache_read_input_tokens"], bills["cache_creation_input_tokens"]
    input_tokens, output_tokens = bills["input_tokens"] + read + written, bills["output_tokens"]
    price = prices().models[MODEL]
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
    }


def _write_pipeline(folder: Path, *, cache: str, canary_rows: int) -> Path:
    shutil.copytree(_FILES, folder)
    settings = _SETTINGS.format(model=MODEL, cache=cache, canary_rows=canary_rows)
    (folder / "pipeline.yaml").write_text(settings, encoding="utf-8")
    text = "Read the document. What the terms in it mean:\n" + next(bodies(4 * SYSTEM_BYTES))
    (folder / "system.md").write_text(text.encode()[:SYSTEM_BYTES].decode(errors="ignore"), encoding="utf-8")
    return folder


def _let_end(emulator: Emulator) -> None:
    emulator.advance_clock(BATCH_SECONDS)
    while not all(batch["ended"] for batch in emulator.batches_made()):
        time.sleep(0.2)


def _booked(lake: Lake, pipeline: str) -> Decimal:
    """What this project says that its batches cost."""
    return sum((_cost(lake.read(key)) for key in lake.list(layout.results_folder(pipeline))), Decimal())


def _cost(results: bytes) -> Decimal:
    table = pq.read_table(io.BytesIO(results), columns=COST_COLUMNS)
    (answers,) = table.append_column("line", pa.array(range(len(table)))).combine_chunks().to_batches()
    return sum(costs_of(answers)["cost_usd"].to_pylist(), Decimal())


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", required=True, help="as pipeline.yaml has it")
    parser.add_argument("--canary-rows", type=int, required=True, help="as pipeline.yaml has it")
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="how many")
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
