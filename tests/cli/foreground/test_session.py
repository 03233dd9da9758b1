from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from include.cli.foreground.session import SIGNALS

#: A process for each signal, which its shell ignores, and for which Airflow has a handler of its own.
PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from include.cli.foreground.session import SIGNALS, block_signals, exit_on_signals

home = Path(sys.argv[1])
for number in SIGNALS:
    home.mkdir()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        block_signals()
        exit_on_signals(home, "The same command resumes.")
        for each in SIGNALS:
            signal.signal(each, lambda *_: None)
        os.write(writing, b"ready")
        time.sleep(600)
    os.read(reading, 5)
    os.kill(child, number)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), home.exists())
"""


def test_each_signal_ends_the_process_and_its_home_whoever_ignores_or_handles_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "home")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [f"{128 + number} False" for number in SIGNALS]
    said = [f"Stopped by {number.name}. The same command resumes." for number in SIGNALS]
    assert ended.stderr.split("\n") == [word for line in said for word in ("", line)] + [""]
