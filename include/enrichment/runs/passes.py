"""
Which passes a run has: first a canary, then everything, then what is to be tried again. It is asked while Airflow
parses a Dag, so it imports next to nothing and never fails, as glance.py does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.enrichment.spec.parse_time import glance

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary"
MAIN = "main"
_RETRY = "retry"
#: Not of a run's passes: the one request that goes ahead of a chunk to warm the prompt cache.
WARM_UP = "warm-up"

#: ``limits.canary_rows``: 0 to MAX, in rows.
DEFAULT_CANARY_ROWS, MAX_CANARY_ROWS = 5, 1_000
#: ``limits.retry_passes``: 0 to MAX. Each adds its tasks to the Dag.
DEFAULT_RETRY_PASSES, MAX_RETRY_PASSES = 1, 5


def pass_names(pipeline_yaml: Path) -> list[str]:
    """
    The passes of a run in their order, such as ``["canary", "main", "retry"]``, or ``["main", "retry_1", "retry_2"]``.

    A limit that is missing or is not a whole number within its bounds counts as its default, as does everything in a
    file that cannot be read: it gives the Dag a shape and nothing else.

    :param pipeline_yaml: the file; ``limits.canary_rows`` and ``limits.retry_passes`` in it decide
    """
    canary_rows = _whole(glance(pipeline_yaml, "limits", "canary_rows"), DEFAULT_CANARY_ROWS, MAX_CANARY_ROWS)
    retry_passes = _whole(glance(pipeline_yaml, "limits", "retry_passes"), DEFAULT_RETRY_PASSES, MAX_RETRY_PASSES)
    return names(canary_rows=canary_rows, retry_passes=retry_passes)


def names(*, canary_rows: int, retry_passes: int) -> list[str]:
    """The passes that these two limits give a run, in their order."""
    retries = [_RETRY] if retry_passes == 1 else [f"{_RETRY}_{number + 1}" for number in range(retry_passes)]
    return [*([CANARY] if canary_rows else []), MAIN, *retries]


def is_retry(pass_name: str) -> bool:
    """Whether the pass tries again what an earlier one left."""
    return pass_name == _RETRY or pass_name.startswith(f"{_RETRY}_")


def _whole(value: object, default: int, most: int) -> int:
    """The value, if it is what the setting may be; ``True`` is none, although Python counts it among the integers."""
    return value if type(value) is int and 0 <= value <= most else default
