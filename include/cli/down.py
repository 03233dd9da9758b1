"""`make down`: stop the running demo and any processes that a crashed demo left behind."""

from __future__ import annotations

from include.stack import processes
from include.stack.folder import StackFolder
from include.stack.progress import say


def down(folder: StackFolder) -> int:
    """
    Stop every process that was started for this folder, and no other. Always returns 0, even if there is none.
    """
    pid = processes.running_demo(folder)
    if pid is not None:
        say(f"Stopping the demo (process {pid}) …")
        processes.stop_demo(folder, pid)
    left = processes.stop_all(folder)
    folder.stack_json.unlink(missing_ok=True)
    left_over = f"Stopped {left} leftover {'process' if left == 1 else 'processes'}."
    say(left_over if left else "Stopped the demo." if pid else "Nothing was running.")
    return 0
