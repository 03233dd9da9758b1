"""Plays one kill point of an agent: a process that dies there, and the one that goes on."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import msgspec

from include.gateways.agent.transcripts import Transcripts
from include.gateways.lake import Lake
from tests.chaos.agents.process import REQUEST_ID, work
from tests.chaos.kill_points.step_process import FORKING, ONE_AT_A_TIME, PRELOADED
from tests.fixtures.acting import acts
from tests.fixtures.emulator import Emulator


@dataclass(frozen=True, kw_only=True)
class Played:
    """
    What a kill point left.

    :param steps: of the transcript
    :param acted: what the tools have done
    :param billed_twice: turns that were paid for twice
    :param paid_usd: what the emulator bills
    :param answered: whether the row has an answer
    :param killed: whether the first process was
    """

    steps: list[str]
    acted: int
    billed_twice: int
    paid_usd: Decimal
    answered: bool
    killed: bool


def play(folder: Path, emulator: Emulator, *, at: int, moment: str) -> Played:
    """
    Kill a process at its write ``at``, and let another one go on.

    :param at: from 1; 0: kill none
    """
    folder.mkdir(parents=True, exist_ok=True)
    killed = bool(at) and _run(folder, emulator, at, moment) is None
    answer = _run(folder, emulator, 0, moment)
    assert answer is not None
    bills = emulator.bills()
    return Played(
        steps=list(Transcripts(Lake.in_folder(folder / "lake"), pipeline="actions").steps(REQUEST_ID)),
        acted=len(acts(folder / "acts.jsonl")),
        billed_twice=bills["billed_twice"],
        paid_usd=Decimal(bills["usd"]),
        answered=msgspec.json.decode(answer)["type"] == "succeeded",
        killed=killed,
    )


def _run(folder: Path, emulator: Emulator, at: int, moment: str) -> bytes | None:
    """Run a process to its end, and return its result line; None if it was killed."""
    receiver, sender = FORKING.Pipe(duplex=False)
    process = FORKING.Process(target=work, args=(folder, emulator.url, emulator.api_key, at, moment, sender))
    with ONE_AT_A_TIME:
        FORKING.set_forkserver_preload(PRELOADED)
        process.start()
    sender.close()
    try:
        answer = receiver.recv_bytes()
    except EOFError:
        answer = None
    finally:
        with ONE_AT_A_TIME:
            process.join()
        receiver.close()
    assert process.exitcode == (-signal.SIGKILL if answer is None else 0)
    return answer
