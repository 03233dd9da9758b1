"""The spans of a task instance: when it waited for the scheduler, worked, and was deferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: Where a task's time goes: until a worker has begun with it, on the worker, in the triggerer.
WAITING, WORKING, DEFERRED = "waiting", "working", "deferred"
#: What a task does after an event of Airflow's log. One that has ended does nothing, unless it is tried again.
_NEXT = {
    "running": WORKING,
    "deferred": DEFERRED,
    **dict.fromkeys(("success", "failed", "skipped", "up_for_retry"), WAITING),
}


@dataclass(frozen=True, kw_only=True)
class Span:
    """
    What a task did for a while.

    :param kind: WAITING, WORKING or DEFERRED
    :param start: seconds since the run was triggered, as is ``end``
    """

    kind: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Task:
    """
    One task instance of the run.

    :param instance_id: what its process is named after
    :param spans: in their order, without a gap; they begin when all that it had to wait for was over
    """

    task_id: str
    map_index: int
    instance_id: str
    spans: list[Span]


def waited_for(
    one: Mapping[str, Any], instances: Sequence[Mapping[str, Any]], upstream: Mapping[str, Sequence[str]]
) -> list[str]:
    """
    When the instances ended that this one had to wait for: of a mapped group those of its own index. A task that was
    skipped is the scheduler's work alone, so in its place stand those before it.

    :param instances: of the run, as the REST API tells of them, as ``one``
    :param upstream: for each task those right before it
    """
    ends: list[str] = []
    for other in instances:
        if other["task_id"] not in upstream.get(one["task_id"], ()):
            continue
        if -1 not in (one["map_index"], other["map_index"]) and one["map_index"] != other["map_index"]:
            continue
        skipped = other["state"] == "skipped"
        ends += waited_for(other, instances, upstream) if skipped else [other["end_date"]]
    return ends


def last(moments: Sequence[str]) -> str | None:
    return max(moments, key=datetime.fromisoformat, default=None)


def spans_of(
    one: Mapping[str, Any], events: Sequence[Mapping[str, Any]], *, ready: str | None, triggered_at: datetime
) -> list[Span]:
    """
    What an instance did when.

    :param events: the run's event log, in the order of time
    :param ready: when the last of those that it waited for had ended; None: it waited for the trigger only
    """

    def seconds(moment: str) -> float:
        return (datetime.fromisoformat(moment) - triggered_at).total_seconds()

    spans: list[Span] = []
    at, kind = seconds(ready) if ready else 0.0, WAITING
    for event in events:
        if (event["task_id"], event["map_index"]) != (one["task_id"], one["map_index"]) or event["event"] not in _NEXT:
            continue
        moment = seconds(event["when"])
        if kind == DEFERRED:
            # Airflow keeps the last time only that a task was scheduled: an earlier stay counts up to the worker's
            # start.
            scheduled = seconds(one["scheduled_when"])
            fired = scheduled if at < scheduled < moment else moment
            spans.append(Span(kind=DEFERRED, start=at, end=fired))
            at, kind = fired, WAITING
        spans.append(Span(kind=kind, start=at, end=moment))
        at, kind = moment, _NEXT[event["event"]]
    return spans
