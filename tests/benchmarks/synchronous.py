"""
10,000 synchronous requests at a limit of 4,000 a minute: this project's step `ask`, which also stores and loads the
answers, its calls alone, a loop, and a loop in 50 threads.

``python -m tests.benchmarks.synchronous --who step`` prints one JSON object as the last line of stdout. The emulator
takes LATENCY_SECONDS for an answer and refuses what exceeds the limit, in a bucket that holds the requests of a minute,
or with ``--burst-seconds 1`` those of a second. The loops use the SDK as it is, with its two retries.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import sqlalchemy

from include.enrichment.runs.partition import Partition
from include.enrichment.runs.passes import MAIN
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.claude import Claude
from include.gateways.documents.buckets import LocalFolder
from include.gateways.lake import Lake
from include.gateways.sources.warehouse import Warehouse
from include.gateways.synchronous.limited_client import limited_client
from include.gateways.synchronous.messages import Messages
from include.steps.ask import ask
from include.steps.extract import extract
from include.steps.plan import plan
from tests.benchmarks.contender import PIPELINE
from tests.benchmarks.measuring import measured
from tests.benchmarks.workload import DAY, write
from tests.fixtures.emulator import Emulator, EmulatorProcess

REQUESTS = 10_000
#: One at a time takes too long for all of them: its time for the others is extrapolated.
LOOP_REQUESTS = 300
PER_MINUTE = 4_000
LATENCY_SECONDS = 0.3
OPEN = 50


def params(number: int) -> dict[str, Any]:
    """Return the body of one request."""
    text = f"Is this review positive or negative? Number {number}: it arrived late, and the box was damaged."
    return {"model": "claude-haiku-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": text}]}


def calls_alone(emulator: Emulator, count: int) -> int:
    """Ask through Messages, OPEN at once, and return how many were not answered."""
    return asyncio.run(_ask_all(emulator, count))


async def _ask_all(emulator: Emulator, count: int) -> int:
    numbers: Iterator[int] = iter(range(count))
    lost = 0

    async def work(messages: Messages) -> None:
        nonlocal lost
        for number in numbers:
            result = await messages.answer(str(number), msgspec.json.encode(params(number)))
            lost += not result.startswith(b'{"type":"succeeded"')

    async with _messages(emulator) as messages, asyncio.TaskGroup() as workers:
        for _ in range(OPEN):
            workers.create_task(work(messages))
    return lost


def _messages(emulator: Emulator) -> Messages:
    client = anthropic.AsyncAnthropic(api_key=emulator.api_key, base_url=emulator.url)
    return Messages(limited_client(client), name="benchmark")


def step(emulator: Emulator, folder: Path, count: int) -> Callable[[], int]:
    """Extract and plan ``count`` rows, and return what asks them as a task does."""
    write(count, folder / "rows")
    shutil.copytree(PIPELINE, folder / "tickets")
    settings = folder / "tickets/pipeline.yaml"
    settings.write_text(settings.read_text().replace("request:", "request:\n  mode: synchronous"))
    settings.write_text(f"{settings.read_text()}  synchronous_requests: {OPEN}\n")
    pipeline, lake = load_pipeline(folder / "tickets"), Lake.in_folder(folder / "lake")
    run = RunFolder(pipeline=pipeline.name, partition=Partition(start=DAY), run_id="asked")
    database = sqlalchemy.create_engine(f"sqlite:///{folder}/rows/warehouse.db")
    extract(pipeline, run, source=Warehouse(database, pipeline.sql, name="warehouse"), lake=lake)
    plan(run, pass_name=MAIN, lake=lake)

    def ask_all() -> int:
        with Claude(anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url), name="benchmark") as claude:
            outcomes = ask(
                run,
                pass_name=MAIN,
                lake=lake,
                claude=claude,
                open_answerer=lambda _: _messages(emulator),
                open_buckets=LocalFolder,
            )
        return count - outcomes["succeeded"]

    return ask_all


def loop(emulator: Emulator, count: int) -> int:
    """Ask one after the other."""
    with anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url) as client:
        return sum(_fails(client, number) for number in range(count))


def threads(emulator: Emulator, count: int) -> int:
    """Ask in OPEN threads."""
    with (
        anthropic.Anthropic(api_key=emulator.api_key, base_url=emulator.url) as client,
        ThreadPoolExecutor(OPEN) as pool,
    ):
        return sum(pool.map(_fails, itertools.repeat(client), range(count)))


def _fails(client: anthropic.Anthropic, number: int) -> bool:
    try:
        client.messages.create(**params(number))
    except anthropic.APIError:
        return True
    return False


_CALLS: dict[str, Callable[[Emulator, int], int]] = {"calls": calls_alone, "loop": loop, "threads": threads}
WHO = ("step", *_CALLS)


def measure(who: str, *, burst_seconds: float, count: int | None = None) -> None:
    """
    Ask the requests, and print the measurement.

    :param burst_seconds: the time whose requests the bucket of the limit holds
    :param count: instead of the contender's usual number
    """
    count = count or (LOOP_REQUESTS if who == "loop" else REQUESTS)
    with tempfile.TemporaryDirectory() as folder, EmulatorProcess(Path(folder) / "emulator") as process:
        emulator = process.workspace()
        do = step(emulator, Path(folder), count) if who == "step" else partial(_CALLS[who], emulator, count)
        emulator.set_faults(
            [
                {"kind": "rate_limit", "requests": PER_MINUTE, "burst_seconds": burst_seconds},
                {"kind": "slow", "on": "messages", "seconds": LATENCY_SECONDS},
            ]
        )
        with measured(who=who, requests=count) as found:
            found["lost"] = do()
        found |= _compared(found, emulator.log()["calls"], burst_seconds)
    sys.stdout.write(f"{json.dumps(found)}\n")


def _compared(found: dict[str, Any], calls: list[dict[str, Any]], burst_seconds: float) -> dict[str, float]:
    """Return what became of the calls, and the time compared with what the limit allows for all requests."""
    refused = sum(call["status"] == 429 for call in calls)
    per_second = PER_MINUTE / 60
    allowed_seconds = REQUESTS / per_second - burst_seconds
    all_seconds = found["seconds"] * REQUESTS / found["requests"]
    return {
        "calls": len(calls),
        "refused": refused,
        "refused_percent": 100 * refused / len(calls),
        "seconds_for_10000": all_seconds,
        "seconds_that_the_limit_allows": allowed_seconds,
        "times_allowed": all_seconds / allowed_seconds,
        "memory_added_mb": found["rss_peak_mb"] - found["rss_before_mb"],
    }


def main() -> None:
    """Measure one contender."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.synchronous", description=__doc__)
    parser.add_argument("--who", choices=WHO, default="step")
    parser.add_argument("--burst-seconds", type=float, default=60, help="the time whose requests the bucket holds")
    parser.add_argument("--requests", type=int, help="instead of its usual number")
    options = parser.parse_args()
    measure(options.who, burst_seconds=options.burst_seconds, count=options.requests)


if __name__ == "__main__":
    main()
