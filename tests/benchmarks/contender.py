"""
The process of a contender: it prepares everything, does its work within ``measured()``, and prints the measurement as
its last line. Uses only the standard library, because it runs in both environments.

A new contender is a function of a ``Round`` in one of the modules that call ``main()``, and a line in contenders.py.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import measured

ROOT = Path(__file__).resolve().parents[2]
#: The folder of everything that benchmarks write.
FOLDER = ROOT / ".bench"
EMULATOR_STATE = FOLDER / "emulator"
KEPT = "kept"
PIPELINE = Path(__file__).with_name("pipeline")
_LINES_OF_A_PROFILE = 15


@dataclass(frozen=True, kw_only=True)
class Round:
    """
    One measurement of one contender.

    :param rows: the number of rows of the workload
    :param url: the emulator's
    :param key: the API key, which decides the workspace
    :param keep: keep the output for the contenders that continue from it
    :param profile: a file for the functions that take the most time; profiling slows the measured code down
    """

    rows: int
    url: str
    key: str
    keep: bool
    profile: Path | None

    @property
    def folder(self) -> Path:
        """The files of this size."""
        return FOLDER / str(self.rows)

    @property
    def table(self) -> Path:
        """The workload as Parquet."""
        return self.folder / "rows.parquet"

    @property
    def database(self) -> Path:
        """The workload as a warehouse."""
        return self.folder / "warehouse.db"

    @property
    def kept(self) -> Path:
        """The outputs that contenders keep for others; deleted when the benchmarks end."""
        return self.folder / KEPT

    @property
    def results(self) -> Path:
        """The results of this project's batches, as the API sends them."""
        return self.kept / "results.jsonl"

    @property
    def scratch(self) -> Path:
        """This contender's own folder, empty at its start and deleted at its end."""
        return self.kept / "scratch"

    @contextmanager
    def measured(self, **facts: Any) -> Iterator[dict[str, Any]]:
        """Measure the block, and profile it if ``profile`` is set; for the facts see measuring.measured()."""
        profile = cProfile.Profile() if self.profile else None
        with measured(rows=self.rows, **facts) as found, profile or nullcontext():
            yield found
        if profile and self.profile:
            with self.profile.open("w", encoding="utf-8") as file:
                pstats.Stats(profile, stream=file).strip_dirs().sort_stats("tottime").print_stats(_LINES_OF_A_PROFILE)

    def batches(self) -> list[str]:
        """Wait until all of the workspace's batches have ended, and return their ids, oldest first."""
        headers = {"x-api-key": self.key, "anthropic-version": "2023-06-01"}
        request = urllib.request.Request(f"{self.url}/v1/messages/batches?limit=1000", headers=headers)
        while True:
            with urllib.request.urlopen(request) as response:
                batches = json.load(response)["data"]
            if all(batch["processing_status"] == "ended" for batch in batches):
                return [batch["id"] for batch in reversed(batches)]
            time.sleep(0.2)


def main(contenders: Mapping[str, Callable[[Round], None]]) -> None:
    """Run one contender: ``python -m tests.benchmarks.<module> <contender> --rows 1000 …``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=contenders)
    parser.add_argument("--rows", type=int, required=True, help="the number of rows of the workload")
    parser.add_argument("--url", default="", help="of the emulator")
    parser.add_argument("--key", default="", help="the workspace's API key")
    parser.add_argument("--keep", action="store_true", help="keep the output for contenders that continue from it")
    parser.add_argument("--profile", type=Path, help="a file for the functions that take the most time")
    options = vars(parser.parse_args())
    run = contenders[options.pop("contender")]
    at = Round(**options)
    shutil.rmtree(at.scratch, ignore_errors=True)
    at.scratch.mkdir(parents=True)
    try:
        run(at)
    finally:
        shutil.rmtree(at.scratch)
