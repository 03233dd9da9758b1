"""
The passes of a run: a canary, then all rows, then the retries. Airflow imports this module while it parses a Dag, so it
imports nothing and never fails, as spec/parse_time.py.
"""

from __future__ import annotations

CANARY = "canary"
MAIN = "main"
_RETRY = "retry"
#: Not a pass of a run: the one request that precedes a chunk to warm the prompt cache.
WARM_UP = "warm-up"

#: ``limits.canary_rows``: 0 to MAX, in rows.
DEFAULT_CANARY_ROWS, MAX_CANARY_ROWS = 5, 1_000
#: ``limits.retry_passes``: 0 to MAX. Each adds its tasks to the Dag.
DEFAULT_RETRY_PASSES, MAX_RETRY_PASSES = 1, 5


def names(*, canary_rows: int, retry_passes: int) -> list[str]:
    """Return the passes that these two limits give a run, in order."""
    retries = [_RETRY] if retry_passes == 1 else [f"{_RETRY}_{number + 1}" for number in range(retry_passes)]
    return [*([CANARY] if canary_rows else []), MAIN, *retries]


def is_retry(pass_name: str) -> bool:
    """Return whether the pass retries what an earlier pass left."""
    return pass_name == _RETRY or pass_name.startswith(f"{_RETRY}_")
