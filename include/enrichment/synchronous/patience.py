"""How long a synchronous call waits before it is tried again, and when it is given up."""

from __future__ import annotations

from typing import Literal

#: Tries of a call that failed because of the API or the network, and cost nothing.
TRIES = 5
#: Refusals by a rate limit. A call of more tokens than the limit of a minute is always refused.
MOST_REFUSALS = 20
#: Tries of a call that ended without an answer: each may have been billed.
UNCLEAR_TRIES = 3
#: A longer wait is left to the scheduler, so that a task does not hold a worker.
LONGEST_WAIT_SECONDS = 60.0
_FIRST_WAIT_SECONDS = 2.0
_LEAST_WAIT_SECONDS = 1.0
#: Not seconds but minutes pass before an overloaded API recovers (docs of errors, 2026-10-08).
PAUSE_SECONDS = 120.0
_UNCLEAR_STATUS = (408, 499, 502, 504)

Failure = Literal["refused", "failed", "unclear"]


def failure_of(status: int) -> Failure | None:
    """
    Return how a response failed if the same call may succeed later, else None.

    ``refused``: by a rate limit; ``failed``: by an error of the API. Neither is billed. ``unclear``: something in
    between gave up, and the answer may have been billed.
    """
    if status == 429:
        return "refused"
    if status in _UNCLEAR_STATUS:
        return "unclear"
    return "failed" if status >= 500 or status == 409 else None


def wait_seconds(failures: int, retry_after_seconds: float | None = None) -> float:
    """Return the wait after that many failures in a row: what the API requests, else twice as long each time."""
    if retry_after_seconds is not None:
        return max(retry_after_seconds, _LEAST_WAIT_SECONDS)
    return _FIRST_WAIT_SECONDS * float(2 ** (failures - 1))
