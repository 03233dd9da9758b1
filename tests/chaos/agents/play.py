"""Plays one kill point of an agent: a process that dies there, and the one that goes on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec

from include.gateways.agent.transcripts import Transcripts
from include.gateways.lake import Lake
from tests.chaos.agents.process import REQUEST_ID
from tests.fixtures.acting import acts
from tests.fixtures.emulator import ROOT, Emulator

_NEVER = 999


@dataclass(frozen=True, kw_only=True)
class Played:
    """
    What a kill point left.

    :param steps: of the transcript
    :param acted: what the tools have done
    :param billed_twice: turns that were paid for twice
    :param paid_usd: what the emulator bills
    """

    steps: list[str]
    acted: int
    billed_twice: int
    paid_usd: Decimal
    answered: bool


def play(folder: Path, emulator: Emulator, *, at: int, moment: str) -> Played:
    """
    Kill a process at its write ``at``, and let another one go on.

    :param at: from 1; 0: kill none
    """
    folder.mkdir(parents=True, exist_ok=True)
    if at:
        killed = _run(folder, emulator, at, moment)
        assert killed.returncode in (-9, 0), killed.stderr.decode()
    ended = _run(folder, emulator, _NEVER, moment)
    assert ended.returncode == 0, ended.stderr.decode()
    bills = emulator.bills()
    return Played(
        steps=list(Transcripts(Lake.in_folder(folder / "lake"), pipeline="actions").steps(REQUEST_ID)),
        acted=len(acts(folder / "acts.jsonl")),
        billed_twice=bills["billed_twice"],
        paid_usd=Decimal(bills["usd"]),
        answered=msgspec.json.decode(ended.stdout)["type"] == "succeeded",
    )


def _run(folder: Path, emulator: Emulator, at: int, moment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tests.chaos.agents.process", str(folder), emulator.url, emulator.api_key]
    return subprocess.run([*command, str(at), moment], cwd=ROOT, capture_output=True, check=False)
