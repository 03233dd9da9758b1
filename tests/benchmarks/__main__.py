"""
`make bench`: compare this project with its peers and with lower bounds, as tables.

Every measurement is a process of its own, and the contenders of a part take turns. All talk to one emulator whose
batches end at once. Measurements stay in .bench/measured until their part is measured again. The report is
.bench/report.md.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.benchmarks.contender import EMULATOR_STATE, FOLDER, KEPT, ROOT
from tests.benchmarks.contenders import ALONE, MEMORY_SIZE, PARTS, PEERS_PYTHON, SIZES, Contender
from tests.benchmarks.measurements import Line
from tests.benchmarks.report import render, tables
from tests.benchmarks.workload import write
from tests.fixtures.emulator import Emulator, EmulatorProcess

RUNS = 3
MEASURED = FOLDER / "measured"
REPORT = FOLDER / "report.md"
#: The module that draws each picture, its data and its file.
PICTURES = [
    ("chart", "all", "growth.svg"),
    ("gantt", "whole-run", "whole-run.svg"),
    ("gantt", "two-stages", "two-stages.svg"),
]
_PACKAGES = ("anthropic", "pyarrow", "pandas", "msgspec", "apache-airflow", "apache-airflow-providers-anthropic")
_PEERS_PACKAGES = ("apache-airflow-providers-common-ai", "orjson")


class Bench:
    """
    Runs contenders against one emulator, and keeps track of what is prepared for them.

    :param runs: the number of runs of each contender
    """

    def __init__(self, emulator: Emulator, *, runs: int) -> None:
        self._emulator = emulator
        self._runs = runs
        self._prepared: set[tuple[Contender, int]] = set()
        self._workspaces: dict[tuple[str, int], Emulator] = {}

    def measure(self, contenders: Sequence[Contender], rows: int) -> Iterator[Line]:
        """Yield the measurements at this size, in turns. At a size above all SIZES, each contender runs once."""
        able = self._prepare(contenders, rows)
        for _ in range(self._runs if rows <= max(SIZES) else 1):
            for contender in able:
                yield self._run(contender, rows)

    def profile(self, contenders: Sequence[Contender], rows: int) -> None:
        """Profile this project's contenders; a profiled run is too slow to be compared."""
        for contender in self._prepare([one for one in contenders if one.role == "ours"], rows):
            path = FOLDER / f"profile-{contender.command.removeprefix('ours ')}-{rows}.txt"
            self._run(contender, rows, "--profile", str(path))

    def _prepare(self, contenders: Sequence[Contender], rows: int) -> list[Contender]:
        """Return the contenders to run at this size, after running what they depend on."""
        if not (FOLDER / str(rows)).exists():
            write(rows, FOLDER / str(rows))
        able = [contender for contender in contenders if rows <= contender.most_rows]
        for before in (before for contender in able for before in contender.after):
            if (before, rows) not in self._prepared:
                self._prepare([before], rows)
                self._run(before, rows, "--keep")
                self._prepared.add((before, rows))
        return able

    def _run(self, contender: Contender, rows: int, *more: str) -> Line:
        workspace = self._workspace(contender.workspace, rows)
        return run(contender, rows, "--rows", str(rows), "--url", workspace.url, "--key", workspace.api_key, *more)

    def _workspace(self, name: str | None, rows: int) -> Emulator:
        if name is None:
            return self._emulator.workspace()
        return self._workspaces.setdefault((name, rows), self._emulator.workspace())


def run(contender: Contender, size: int, *options: str) -> Line:
    """Run one process of the contender, and return its measurement. Raises CalledProcessError if it fails."""
    module, *arguments = contender.command.split()
    command = [contender.python, "-m", f"tests.benchmarks.{module}", *arguments, *options]
    # Some contenders import Airflow, which creates a folder: keep it out of the user's home.
    environment = os.environ | {"AIRFLOW_HOME": str(FOLDER / "airflow")}
    finished = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    line: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    memory = f"{line['rss_peak_mb']:8,.0f} MB" if "rss_before_mb" in line else ""
    sys.stderr.write(f"{size:>9,}  {contender.command:24} {line.get('seconds', 0):8.2f} s{memory}\n")
    return line | {"command": contender.command, "size": size, "at": time.strftime("%Y-%m-%d %H:%M")}


def main() -> int:
    """Measure the chosen parts, then write the report of all measurements."""
    options = _options()
    with _emulator() as emulator:
        bench = Bench(emulator, runs=options.runs)
        for part in options.part:
            contenders = [one for one in (PARTS | ALONE)[part] if one.command.startswith(options.only)]
            if part in ALONE:
                lines = [run(contender, 0) for contender in contenders]
            elif options.profile:
                bench.profile(contenders, max(options.rows or SIZES))
                continue
            else:
                sizes = options.rows or (*SIZES, MEMORY_SIZE)
                lines = [line for rows in sizes for line in bench.measure(contenders, rows)]
            if options.rows or options.only:  # a partial measurement, which the report leaves out
                sys.stdout.write("".join(f"{paragraph}\n\n" for paragraph in tables(lines)))
            else:
                MEASURED.mkdir(exist_ok=True)
                (MEASURED / f"{part}.jsonl").write_text(
                    "".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8"
                )
    if not (options.rows or options.only or options.profile):
        _write_report()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--part", choices=[*PARTS, *ALONE], action="append", help="only this part, instead of all")
    parser.add_argument("--rows", type=int, action="append", help="only this size; the report stays as it is")
    parser.add_argument(
        "--only", default="", help="only commands with this prefix, for example `ours submit`; the report stays"
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="the number of runs of each contender")
    parser.add_argument("--profile", action="store_true", help="profile this project's steps instead of measuring")
    options = parser.parse_args()
    options.part = options.part or [*PARTS, *([] if options.rows or options.profile else ALONE)]
    return options


@contextmanager
def _emulator() -> Iterator[Emulator]:
    """Start an emulator in a folder that contenders share, and delete the folder, gigabytes by then, at the end."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("Another `make bench` is running here: two would distort each other's figures.") from None
        _clear()
        EMULATOR_STATE.mkdir()
        with EmulatorProcess(EMULATOR_STATE, processing_seconds=0) as emulator:
            yield emulator
        _clear()


def _clear() -> None:
    for folder in (EMULATOR_STATE, *FOLDER.glob(f"*/{KEPT}")):
        shutil.rmtree(folder, ignore_errors=True)


def _write_report() -> None:
    """Write the report of all measurements, new and old."""
    parts = [path for part in (*PARTS, *ALONE) if (path := MEASURED / f"{part}.jsonl").exists()]
    everything = "".join(path.read_text(encoding="utf-8") for path in parts)
    (MEASURED / "all.jsonl").write_text(everything, encoding="utf-8")
    for module, name, picture in PICTURES:
        if (found := MEASURED / f"{name}.jsonl").exists():
            draw = [PEERS_PYTHON, "-m", f"tests.benchmarks.{module}", str(found), str(FOLDER / picture)]
            subprocess.run(draw, cwd=ROOT, check=True)
    drawn = [picture for *_, picture in PICTURES if (FOLDER / picture).exists()]
    lines: list[Line] = [json.loads(line) for line in everything.splitlines()]
    REPORT.write_text(render(lines, machine=_machine(), pictures=drawn), encoding="utf-8")
    sys.stdout.write(f"{REPORT.read_text(encoding='utf-8')}\nThis report is in {REPORT}.\n")


def _machine() -> str:
    """Describe the machine and the versions that the figures depend on."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = ", ".join(f"{name} {_version(name, sys.executable)}" for name in _PACKAGES)
    peers = ", ".join(f"{name} {_version(name, PEERS_PYTHON)}" for name in _PEERS_PACKAGES)
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.system()}, Python"
        f" {platform.python_version()}; {versions}; for the peers: {peers}."
    )


def _version(package: str, python: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}), end='')"
    return subprocess.run([python, "-c", code], stdout=subprocess.PIPE, check=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
