"""
`make chaos`: kill everything that can be killed, and count the losses, for this project and for a peer.

The exit status is 0 only if this project lost nothing, paid nothing twice and left nothing behind.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from include.stack.progress import complain, say
from tests.chaos.agents.findings import of_agents
from tests.chaos.kill_points.findings import of_asked, whole
from tests.chaos.random_runs import random_runs
from tests.chaos.report import Finding, read_findings, table

ROOT = Path(__file__).resolve().parents[2]
#: The peer's own environment; nothing of it is installed in the project's.
PEER_PYTHON = ROOT / ".venv-benchmarks/bin/python"
PARTS = {
    "kill-points": "Kill points: every write, every fault",
    "asked": "Kill points of runs that ask synchronously",
    "agents": "Kill points of an agent",
    "random": "Random kills on the real scheduler",
    "peer": "The same for a peer",
}


def main() -> int:
    """Run the parts, print each finding as it is made, and then the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=30, help="random runs through the real scheduler")
    parser.add_argument("--seed", type=int, default=7, help="decides what is killed and when")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part, instead of all")
    options = parser.parse_args()
    begun = time.monotonic()
    plays: dict[str, Callable[[], Iterable[Finding]]] = {
        "kill-points": whole,
        "asked": of_asked,
        "agents": of_agents,
        "random": lambda: random_runs(runs=options.runs, seed=options.seed),
        "peer": _peer,
    }
    findings = [finding for part in options.part or PARTS for finding in _print_each(PARTS[part], plays[part]())]
    say(f"\n{table(findings)}\n\nThe emulator stood in for the API and counted the bills. Took {_minutes(begun)}.")
    return int(any(finding.subject == "this project" and not finding.clean for finding in findings))


def _print_each(part: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    begun = time.monotonic()
    say(f"{part}:")
    for finding in findings:
        say(f"  {_minutes(begun)}  {finding.fault}: {finding.runs} runs{'' if finding.clean else ' (see below)'}")
        yield finding


def _peer() -> Iterator[Finding]:
    """Yield the findings of the peer's own benchmark."""
    # One run of each case: its Airflow keeps its state in SQLite, which parallel runs can lock for too long.
    command = [str(PEER_PYTHON), "-m", "tests.benchmarks.llm_batch_operator", "--runs", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        yield from read_findings(peer.stdout)
    if peer.returncode:
        complain(f"The peer's benchmark ended with status {peer.returncode}, see above: its findings are missing.")


def _minutes(begun: float) -> str:
    seconds = round(time.monotonic() - begun)
    return f"{seconds // 60} min {seconds % 60:02d} s"


if __name__ == "__main__":
    sys.exit(main())
