"""The troubles with the API that a run meets, each as a list of the emulator's faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.kill_points.place import UNHURRIED, Timing
from tests.fixtures.emulator import Fault


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """
    Faults of the API that one run meets.

    :param on: the faults are armed before a step of this name
    """

    name: str
    faults: Sequence[Fault]
    on: str = "submit"
    timing: Timing = field(default_factory=Timing)


def _status(status: int, **more: Any) -> Fault:
    return {"kind": "http_error", "status": status, **more}


TROUBLES = (
    Trouble(name="reset before the create", faults=[{"kind": "reset_before_create", "times": 2}]),
    Trouble(name="reset after the create", faults=[{"kind": "reset_after_create", "times": 2}]),
    *(
        Trouble(name=f"HTTP {status}, created", faults=[_status(status, created=True, times=2)])
        for status in (500, 529, 408, 409)
    ),
    Trouble(name="HTTP 500, not created", faults=[_status(500, times=2)]),
    Trouble(name="HTTP 429, retry-after", faults=[_status(429, retry_after=0.2, times=4)]),
    Trouble(
        name="response after the client's timeout",
        faults=[{"kind": "slow", "seconds": 2.5, "times": 2}],
        timing=Timing(client_timeout=1.0, listing_lag=1.5),
    ),
    Trouble(
        name="list lags, create reset after",
        faults=[{"kind": "list_lag", "seconds": 0.3}, {"kind": "reset_after_create", "times": 2}],
        timing=UNHURRIED,
    ),
    Trouble(
        name="batches take a while, create reset after",
        faults=[{"kind": "duration", "seconds": 0.6, "times": 12}, {"kind": "reset_after_create", "times": 2}],
    ),
    Trouble(
        name="HTTP 503 on list, create reset after",
        faults=[_status(503, on="list", times=4), {"kind": "reset_after_create", "times": 2}],
    ),
    Trouble(
        name="404 on results, create reset after",
        faults=[
            {"kind": "not_found", "on": "results", "times": 4},
            {"kind": "reset_after_create", "times": 1},
        ],
    ),
    Trouble(
        name="odd result lines, create reset after",
        faults=[
            {"kind": "foreign_lines", "times": 1},
            {"kind": "missing_lines", "times": 1},
            {"kind": "reset_after_create", "times": 2},
        ],
    ),
    Trouble(name="404 on retrieve", faults=[{"kind": "not_found", "times": 4}], on="load"),
    Trouble(name="404 on results", faults=[{"kind": "not_found", "on": "results", "times": 2}], on="load"),
    Trouble(name="results cut in a line", faults=[{"kind": "cut_results", "times": 4}], on="load"),
    Trouble(
        name="results cut between lines",
        faults=[{"kind": "cut_results", "at": "line_boundary", "times": 2}],
        on="load",
    ),
    Trouble(name="result lines missing once", faults=[{"kind": "missing_lines", "times": 1}], on="load"),
    Trouble(name="result lines twice", faults=[{"kind": "duplicate_lines", "times": 2}], on="load"),
    Trouble(name="result lines of strangers", faults=[{"kind": "foreign_lines", "times": 2}], on="load"),
)
