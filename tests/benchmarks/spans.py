"""The spans of a task instance: when it waited for the scheduler, worked, and was deferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: A task waits until a worker starts it, works on the worker, and is deferred in the triggerer.
WAITING, WORKING, DEFERRED = "waiting", "working", "deferred"
#: The kind of span after an event of Airflow's log. An ended task has another span only if it is tried again.
_NEXT = {
    "running": WORKING,
    "deferred": DEFERRED,
    **dict.fromkeys(("success", "failed", "skipped", "up_for_retry"), WAITING),
}


@dataclass(frozen=True, kw_only=True)
class Span:
    """
    A time during which a task was in one state.

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

    :param instance_id: in the title of its process
    :param spans: in order, without gaps; the first begins when all upstream tasks have ended
    """

    task_id: str
    map_index: int
    instance_id: str
    spans: list[Span]


def waited_for(
    one: Mapping[str, Any], instances: Sequence[Mapping[str, Any]], upstream: Mapping[str, Sequence[str]]
) -> list[str]:
    """
    Return the end times of the instances that this one waited for; in a mapped group, those with its own index.

    A skipped task is only the scheduler's work, so its own upstream tasks replace it.

    :param instances: all of the run, as in the REST API; so is ``one``
    :param upstream: the direct upstream tasks of each task
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
    Return the spans of an instance.

    :param events: the run's event log, in order
    :param ready: the end of the last upstream instance; None if it has none
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
            # Airflow keeps only the last time that a task was scheduled, so an earlier deferral counts up to the
            # worker's start.
            scheduled = seconds(one["scheduled_when"])
            fired = scheduled if at < scheduled < moment else moment
            spans.append(Span(kind=DEFERRED, start=at, end=fired))
            at, kind = fired, WAITING
        spans.append(Span(kind=kind, start=at, end=moment))
        at, kind = moment, _NEXT[event["event"]]
    return spans
