"""`python -m tests.chaos.agents`: kill an agent before and after each of its writes, and print what that cost."""

from __future__ import annotations

import tempfile
from pathlib import Path

from include.stack.progress import say
from tests.chaos.agents.play import play
from tests.fixtures.emulator import EmulatorProcess


def main() -> None:
    """Print a line for each kill point."""
    with tempfile.TemporaryDirectory() as folder, EmulatorProcess(Path(folder) / "emulator") as emulator:
        whole = play(Path(folder) / "T1", emulator.workspace(), at=0, moment="after")
        say(f"undisturbed: {len(whole.steps)} steps ({', '.join(whole.steps)}), {whole.acted} acts")
        say("| killed at the write of | steps | acts | turns paid twice |\n|---|---|---|---|")
        for number, step in enumerate(whole.steps, start=1):
            for moment in ("before", "after"):
                played = play(
                    Path(folder) / moment / str(number) / "T1", emulator.workspace(), at=number, moment=moment
                )
                assert played.answered
                assert played.steps == whole.steps
                say(f"| {step}, {moment} | {len(played.steps)} | {played.acted} | {played.billed_twice} |")


if __name__ == "__main__":
    main()
