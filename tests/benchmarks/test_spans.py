"""Spans from the event log of a run; no run is started."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.benchmarks.spans import DEFERRED, WAITING, WORKING, Span, spans_of, waited_for

TRIGGERED = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def at(second: int) -> str:
    return TRIGGERED.replace(second=second).isoformat()


def instance(task: str, *, index: int = -1, state: str = "success", end: int = 0, scheduled: int = 0) -> dict[str, Any]:
    return {
        "task_id": task,
        "map_index": index,
        "state": state,
        "end_date": at(end),
        "scheduled_when": at(scheduled),
    }


def events(task: str, *changes: tuple[int, str], index: int = -1) -> list[dict[str, Any]]:
    return [{"task_id": task, "map_index": index, "event": what, "when": at(second)} for second, what in changes]


def as_tuples(spans: list[Span]) -> list[tuple[str, float, float]]:
    return [(span.kind, span.start, span.end) for span in spans]


def test_a_task_waits_from_the_end_of_its_upstream_task_until_a_worker_starts_it() -> None:
    log = events("other", (1, "running")) + events("load", (5, "running"), (9, "success"))
    spans = spans_of(instance("load"), log, ready=at(3), triggered_at=TRIGGERED)
    assert as_tuples(spans) == [(WAITING, 3, 5), (WORKING, 5, 9)]


def test_the_first_task_waits_from_the_trigger() -> None:
    spans = spans_of(instance("extract"), events("extract", (2, "running")), ready=None, triggered_at=TRIGGERED)
    assert as_tuples(spans) == [(WAITING, 0, 2)]


def test_the_wait_for_the_scheduler_after_a_deferral_is_not_the_triggerers_time() -> None:
    log = events("wait", (1, "running"), (2, "deferred"), (40, "running"), (41, "success"))
    spans = spans_of(instance("wait", scheduled=38), log, ready=None, triggered_at=TRIGGERED)
    assert as_tuples(spans) == [
        (WAITING, 0, 1),
        (WORKING, 1, 2),
        (DEFERRED, 2, 38),
        (WAITING, 38, 40),
        (WORKING, 40, 41),
    ]


def test_only_the_last_of_several_deferrals_is_separate_from_the_wait_after_it() -> None:
    log = events("wait", (1, "running"), (2, "deferred"), (10, "running"), (11, "deferred"), (30, "running"))
    spans = spans_of(instance("wait", scheduled=28), log, ready=None, triggered_at=TRIGGERED)
    assert as_tuples(spans)[2:] == [
        (DEFERRED, 2, 10),
        (WAITING, 10, 10),
        (WORKING, 10, 11),
        (DEFERRED, 11, 28),
        (WAITING, 28, 30),
    ]


def test_in_a_mapped_group_a_task_waits_for_its_own_index() -> None:
    instances = [instance("submit", index=0, end=5), instance("submit", index=1, end=7)]
    assert waited_for(instance("load", index=1), instances, {"load": ["submit"]}) == [at(7)]
    assert waited_for(instance("plan"), instances, {"plan": ["submit"]}) == [at(5), at(7)]


def test_a_skipped_upstream_task_is_replaced_by_its_own_upstream_tasks() -> None:
    instances = [instance("plan", end=5), instance("load", state="skipped", end=9)]
    upstream = {"publish": ["load"], "load": ["plan"]}
    assert waited_for(instance("publish"), instances, upstream) == [at(5)]
