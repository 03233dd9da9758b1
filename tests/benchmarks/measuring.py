"""The measurement that a benchmark's process takes of itself."""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
#: Writing this resets Linux's record of the process's peak memory.
_FORGET_PEAK = "5"
_MEGABYTE = 1_000_000


@contextmanager
def measured(**facts: Any) -> Iterator[dict[str, Any]]:
    """
    Measure the block, and print the measurement as JSON on the last line of stdout.

    It has ``seconds`` of wall time, ``cpu_seconds`` of this process and its children, ``rss_before_mb`` at the start of
    the block, which is the memory of the interpreter and its imports, and ``rss_peak_mb`` within the block (on macOS:
    since the process began). Import and prepare everything before the block.

    :param facts: printed unchanged, for example ``rows=100_000``; the block may add more to the yielded dict
    """
    found = dict(facts)
    gc.collect()
    if _CLEAR_REFS.exists():
        _CLEAR_REFS.write_text(_FORGET_PEAK)
    rss_before = _rss_bytes("VmRSS")
    cpu, start = _cpu_seconds(), time.perf_counter()
    yield found
    found |= {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": _cpu_seconds() - cpu,
        "rss_before_mb": rss_before / _MEGABYTE,
        "rss_peak_mb": _rss_bytes("VmHWM") / _MEGABYTE,
    }
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _rss_bytes(name: str) -> int:
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
