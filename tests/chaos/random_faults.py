"""The faults of the emulated API during a wave of runs: drawn from a seed, each strikes a few times."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Fault = Mapping[str, Any]

#: The probability that a fault of the menu is part of a wave.
_SHARE = 0.65


def draw_faults(seed: int) -> list[Fault]:
    """Draw the faults of one wave."""
    draw = random.Random(seed)
    menu = [*_creates(draw), *_polls(draw), *_rows(draw), *_downloads(draw)]
    return [*_durations(draw), *(fault for fault in menu if draw.random() < _SHARE)]


def struck(faults: Sequence[Fault], armed_faults: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """
    Count the strikes of each kind.

    :param armed_faults: the faults that may still strike, as the emulator returns them
    """
    left: Counter[str] = Counter()
    for armed in armed_faults:
        left[_name(armed["fault"])] += armed["remaining"]
    planned: Counter[str] = Counter()
    for fault in faults:
        planned[_name(fault)] += fault["times"]
    return planned - left


def _name(fault: Fault) -> str:
    """Return the kind; for an HTTP error, the status and the call."""
    if fault["kind"] == "http_error":
        return f"{fault['status']} on {fault.get('on', 'create')}" + (" (made)" if fault.get("created") else "")
    return str(fault["kind"])


def _durations(draw: random.Random) -> list[Fault]:
    """Draw durations: some batches end before the first poll, and some take longer than a trigger's first sleep."""
    return [
        {"kind": "duration", "seconds": round(draw.choice([0.2, 1, 6, 15, 40]) * draw.uniform(0.5, 1.5), 1), "times": 4}
        for _ in range(6)
    ]


def _creates(draw: random.Random) -> list[Fault]:
    def error(status: int, **more: object) -> Fault:
        return {"kind": "http_error", "on": "create", "status": status, "after": draw.randint(0, 12), **more}

    return [
        {"kind": "reset_after_create", "times": draw.randint(1, 2), "after": draw.randint(0, 15)},
        {"kind": "reset_before_create", "times": draw.randint(1, 2), "after": draw.randint(0, 15)},
        {"kind": "reset_before_create", "times": 1, "after": draw.randint(0, 15), "body_read": False},
        error(500, created=True, times=1),
        error(502, created=False, times=draw.randint(1, 2)),
        error(503, created=True, times=1),
        error(504, created=False, times=1),
        error(529, times=draw.randint(1, 2)),
        error(429, times=draw.randint(1, 2), retry_after=draw.randint(1, 8)),
        {"kind": "queue_limit", "batches": draw.randint(3, 8), "times": draw.randint(1, 3), "retry_after": 4},
        # While the response is delayed, the batch exists: a process killed then never learns its id.
        {"kind": "slow", "on": "create", "seconds": round(draw.uniform(1, 4), 1), "times": 8, "after": 2},
    ]


def _polls(draw: random.Random) -> list[Fault]:
    def error(on: str, status: int, times: int) -> Fault:
        return {"kind": "http_error", "on": on, "status": status, "times": times, "after": draw.randint(0, 40)}

    return [
        # Less than LISTING_LAG in the Dag.
        {"kind": "list_lag", "seconds": round(draw.uniform(0.5, 2), 1), "times": 20},
        {"kind": "not_found", "on": "retrieve", "times": draw.randint(1, 2), "after": draw.randint(0, 30)},
        {"kind": "not_found", "on": "results", "times": 1, "after": draw.randint(0, 15)},
        error("retrieve", 500, 3),
        error("retrieve", 529, 3),
        error("list", 503, 2),
        error("results", 500, 2),
        error("models", 529, 1),
    ]


def _rows(draw: random.Random) -> list[Fault]:
    """Draw small shares: a canary of three rows that all fail permanently rightly fails the run, and no clear helps."""
    billed = draw.sample(["invalid_json", "violates_schema", "wrong_case_enum", "truncated", "refusal"], 2)
    return [
        {"kind": "errored", "share": 0.2, "error_type": "overloaded_error", "times": 6},
        {"kind": "expired", "share": 0.15, "times": 6},
        {"kind": "canceled", "share": 0.1, "times": 2, "after": 6},
        *({"kind": kind, "share": 0.1, "times": 8, "after": 3} for kind in billed),
        {"kind": "leaky_counters", "times": 5},
    ]


def _downloads(draw: random.Random) -> list[Fault]:
    """
    Draw faults of downloads, with enough chances between them.

    Lines that are missing from three downloads in a row count as missing at the API; their rows are rightly requested,
    and paid, again.
    """
    faults: list[Fault] = [
        {"kind": "cut_results", "at": "mid_line", "times": 1},
        {"kind": "cut_results", "at": "line_boundary", "times": 1},
        {"kind": "missing_lines", "count": 3, "times": 1},
        {"kind": "duplicate_lines", "times": 1},
        {"kind": "foreign_lines", "times": 1},
        {"kind": "stall_results", "seconds": 3, "times": 2},
        {"kind": "gzip_results", "times": 3},
        {"kind": "no_final_newline", "times": 3},
    ]
    draw.shuffle(faults)
    return [{**fault, "after": 5 * place} for place, fault in enumerate(faults)]
