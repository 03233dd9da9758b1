"""
`make docker-test`: the whole of docker-compose.yaml, for real, and every fault of a deployment played on it.

Exit status 0 only if every run ended published, with no row lost and nothing paid twice.
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

#: The part that is no run of a pipeline.
WAITS = "waits"


def main() -> int:
    """Provide images, bring everything up, play, print the table, take everything down."""
    parser = argparse.ArgumentParser(prog="make docker-test", description=__doc__)
    parser.add_argument("--part", choices=[*plays(0), WAITS], action="append", help="only this fault, instead of all")
    parser.add_argument("--cut-minutes", type=float, default=10, help="how long the API is cut off")
    parser.add_argument("--waits", type=int, default=1000, help="how many batches are waited for in the part `waits`")
    parser.add_argument("--keep", action="store_true", help="let everything run on at the end")
    options = parser.parse_args()
    chosen = {
        name: play for name, play in plays(options.cut_minutes * 60).items() if name in (options.part or plays(0))
    }
    signal.signal(signal.SIGTERM, _end)
    begun = time.monotonic()
    say(f"With {' '.join(compose_command())}.")
    for image, what in stand_ins.provide().items():
        say(f"  STAND-IN for {image}: {what}")
    findings: list[Finding] = []
    waited = True
    with tempfile.TemporaryDirectory() as folder, containers(Path(folder), keep=options.keep) as up:
        say(f"Everything is healthy after {time.monotonic() - begun:.0f} s: {len(up.of())} containers.")
        with OnCall(up.stack) as api:
            api.widen_pool("claude_batches", 2000)
            for finding in act(up, api, chosen):
                say(f"  {finding.fault}: {finding.done}: {finding.state} after {finding.seconds:.0f} s. {finding.said}")
                findings.append(finding)
            if WAITS in (options.part or [WAITS]):
                waited, said = waits.play(up, api, options.waits)
                say(said)
    say(f"\n{table(findings)}\n\nThe emulator answered, and counted what it billed.")
    unclean = [finding.fault for finding in findings if not finding.clean] + ([] if waited else [WAITS])
    if unclean:
        complain(f"Not clean: {', '.join(unclean)}.")
    return int(bool(unclean))


def _end(number: int, frame: FrameType | None) -> None:
    """So that everything is taken down on the way out."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    raise SystemExit(main())
