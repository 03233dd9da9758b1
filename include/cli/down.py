"""`make down`: stop the demo if one lives, then whatever a crash left behind."""

from __future__ import annotations

from include.stack import processes
from include.stack.folder import StackFolder
from include.stack.progress import say


def down(folder: StackFolder) -> int:
    """
    Stop everything that was started for this folder, and nothing else. Always returns 0: nothing to stop is no failure.
    """
    pid = processes.running_demo(folder)
    if pid is not None:
        say(f"Stopping the demo (process {pid}) …")
        processes.stop_demo(folder, pid)
    left = processes.stop_all(folder)
    folder.stack_json.unlink(missing_ok=True)
    say(f"Stopped {left} processes." if left else "Stopped." if pid else "Nothing was running.")
    return 0
