"""
`make docker-test`: start the whole of docker-compose.yaml, and play every fault of a deployment on it.

The exit status is 0 only if every run ended published, with no row lost and nothing paid twice.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from pathlib import Path
from types import FrameType

from include.stack.progress import complain, say
from tests.docker import stand_ins, waits
from tests.docker.containers import OnCall, compose_command, containers
from tests.docker.plays import act, plays
from tests.docker.report import Finding, table

#: The only part that does not run a pipeline.
WAITS = "waits"


def main() -> int:
    """Provide images, start all containers, play the faults, print the table, and remove the containers."""
    parser = argparse.ArgumentParser(prog="make docker-test", description=__doc__)
    parser.add_argument("--part", choices=[*plays(0), WAITS], action="append", help="only this fault, instead of all")
    parser.add_argument("--cut-minutes", type=float, default=10, help="minutes for which the API is cut off")
    parser.add_argument("--waits", type=int, default=1000, help="number of batches in the part `waits`")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end")
    options = parser.parse_args()
    chosen = {
        name: play for name, play in plays(options.cut_minutes * 60).items() if name in (options.part or plays(0))
    }
    signal.signal(signal.SIGTERM, _end)
    begun = time.monotonic()
    say(f"Using {' '.join(compose_command())}.")
    for image, what in stand_ins.provide().items():
        say(f"  STAND-IN for {image}: {what}")
    findings: list[Finding] = []
    waits_ended = True
    with tempfile.TemporaryDirectory() as folder, containers(Path(folder), keep=options.keep) as up:
        say(f"Everything is healthy after {time.monotonic() - begun:.0f} s: {len(up.of())} containers.")
        with OnCall(up.stack) as api:
            api.widen_pool("claude_batches", 2000)
            for finding in act(up, api, chosen):
                ending = f"{finding.state} after {finding.seconds:.0f} s. {finding.errors}"
                say(f"  {finding.fault}: {finding.done}: {ending}")
                findings.append(finding)
            if WAITS in (options.part or [WAITS]):
                waits_ended, summary = waits.play(up, api, options.waits)
                say(summary)
    say(f"\n{table(findings)}\n\nThe emulator stood in for the API and counted the bills.")
    unclean = [finding.fault for finding in findings if not finding.clean] + ([] if waits_ended else [WAITS])
    if unclean:
        complain(f"Not clean: {', '.join(unclean)}.")
    return int(bool(unclean))


def _end(number: int, frame: FrameType | None) -> None:
    """Turn the signal into an exception, so that the containers are removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main())
