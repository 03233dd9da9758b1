"""
What documents cost as their pages, as their text, and as `send: auto` decides: the sample of the pipeline `invoices`,
from its folder through the emulator, with the estimates beside the bill.

``python -m tests.benchmarks.sending --send pages`` prints one JSON object as the last line of stdout.
"""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import yaml
from pyarrow.fs import LocalFileSystem

from include.enrichment.runs.partition import Partition
from include.enrichment.runs.passes import CANARY, MAIN
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.sources.objects import Objects
from include.stack.sample_invoices.sample import put_sample
from include.steps.dry_run import dry_run
from include.steps.extract import extract
from include.steps.files.extracted import read_extracted
from include.steps.load import load
from include.steps.plan import plan
from include.steps.planning.plan_files import read_plan
from include.steps.planning.token_counts import count_sample
from include.steps.submit import submit
from tests.benchmarks.contender import FOLDER, ROOT
from tests.benchmarks.measuring import measured
from tests.fixtures.emulator import Emulator, EmulatorProcess

_PIPELINE = "invoices"


@dataclass
class Sums:
    """
    The sums over the days of the sample.

    :param uncounted_tokens: the expected input tokens before the API has counted any
    :param expected_tokens: the same once it has
    :param expected_usd: of the main passes, each when its canary had answered
    """

    documents: int = 0
    rejected: int = 0
    uncounted_tokens: float = 0
    expected_tokens: float = 0
    expected_usd: Decimal = Decimal(0)


def measure(emulator: Emulator, folder: Path, *, send: str) -> dict[str, Any]:
    """
    Send the sample, day by day, and return the estimates and the bill.

    :param folder: an empty folder for all files
    :param send: ``pages``, ``text`` or ``auto``
    """
    put_sample(LocalFileSystem(), str(folder))
    pipeline = load_pipeline(_write_pipeline(folder, send))
    lake, sums = Lake.in_folder(folder / "lake"), Sums()
    client = anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url, max_retries=0)
    billed_main = Decimal(0)
    with Claude(client, name="anthropic_default") as claude:
        for day in sorted((folder / "inbox").iterdir()):
            run = RunFolder(
                pipeline=pipeline.name,
                partition=Partition(start=date.fromisoformat(day.name.removeprefix("dt="))),
                run_id="bill",
            )
            _extract(pipeline, run, folder / "inbox", lake, claude, sums)
            _send(CANARY, run, lake, claude, emulator)
            before = Decimal(emulator.bills()["usd"])
            sums.expected_usd += _send(MAIN, run, lake, claude, emulator)
            billed_main += Decimal(emulator.bills()["usd"]) - before
    bills = emulator.bills()
    return {
        "documents": sums.documents,
        "rejected": sums.rejected,
        "input_tokens": sum(bills[kind] for kind in bills if kind.endswith("input_tokens")),
        "input_tokens_expected": round(sums.expected_tokens),
        "input_tokens_expected_without_a_count": round(sums.uncounted_tokens),
        "output_tokens": bills["output_tokens"],
        "billed_usd": float(bills["usd"]),
        "main_passes_usd": {"billed": float(billed_main), "expected": float(sums.expected_usd)},
    }


def _extract(pipeline: Pipeline, run: RunFolder, inbox: Path, lake: Lake, claude: Claude, sums: Sums) -> None:
    buckets = LocalFolder(str(inbox))
    source = Objects(buckets, objects=pipeline.settings.source.objects or "", name="inbox")
    extracted = extract(pipeline, run, source=source, lake=lake, buckets=buckets)
    sums.documents += extracted.rows
    sums.rejected += extracted.unsendable
    sums.uncounted_tokens += _expected(run, lake)
    count_sample(run, lake=lake, claude=claude, buckets=buckets)
    sums.expected_tokens += _expected(run, lake)


def _expected(run: RunFolder, lake: Lake) -> float:
    passes = dry_run(run, lake=lake).passes.values()
    return sum(one.estimate.input_tokens.expected for one in passes if one.estimate)


def _send(pass_name: str, run: RunFolder, lake: Lake, claude: Claude, emulator: Emulator) -> Decimal:
    """Send a pass, and return its expected cost."""
    chunks = plan(run, pass_name=pass_name, lake=lake)
    batches = [submit(chunk, run_id=run.run_id, lake=lake, claude=claude, open_buckets=LocalFolder) for chunk in chunks]
    while not all(batch["ended"] for batch in emulator.batches_made()):
        time.sleep(0.1)
    for chunk, batch in zip(chunks, batches, strict=True):
        load(chunk, batch, lake=lake, claude=claude)
    made = read_plan(lake, run, pass_name, read_extracted(lake, run).extracted_at)
    assert made
    assert made.estimate
    assert made.estimate.cost_usd
    return made.estimate.cost_usd.expected


def _write_pipeline(folder: Path, send: str) -> Path:
    """Copy the pipeline, with documents from ``folder``, all sent in one way."""
    to = folder / "pipelines" / _PIPELINE
    shutil.copytree(ROOT / "include/pipelines" / _PIPELINE, to)
    settings = yaml.safe_load((to / "pipeline.yaml").read_text(encoding="utf-8"))
    settings["source"]["objects"] = f"{folder}/inbox/dt={{partition}}/"
    del settings["source"]["connection"]
    settings["attachments"]["columns"]["uri"]["send"] = send
    (to / "pipeline.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return to


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sending", description=__doc__)
    parser.add_argument("--send", choices=["pages", "text", "auto"], required=True)
    send = parser.parse_args().send
    folder = FOLDER / "sending"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        with EmulatorProcess(folder / "emulator", processing_seconds=0) as emulator, measured() as found:
            found |= measure(emulator.workspace(), folder, send=send)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
