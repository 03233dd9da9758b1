"""
The shared settings of the nightly and weekly Dags: schedule, retries and alerts.

A run processes one partition, a calendar day. The schedule, a person and a backfill can each start a run. All of them
mean the same day, because the timetable's data intervals begin at midnight: the interval ``[D, D + 1)`` is the
partition D, and a backfill up to D includes D. Run ids contain D: ``scheduled__2026-11-10``.

The alternatives are worse. A cron string creates intervals of zero length. CronPartitionTimetable allows several runs
with the same key, does not ask for the key in the form, and processes a day again in a second run instead of clearing
the first.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert

from claude_batch.deadline import ScheduledDay
from claude_batch.failures import REASON
from claude_batch.timetable import DayTimetable

log = logging.getLogger(__name__)

#: UTC, because a partition is a UTC day.
MIDNIGHT = DayTimetable("0 0 * * *", timezone="UTC")
#: A run processes the Monday with which its week begins, and starts when the week is over.
MONDAYS = DayTimetable("0 0 * * 1", timezone="UTC")
#: After the nightly runs have finished.
MORNING = CronDataIntervalTimetable("0 6 * * *", timezone="UTC")


def report_failure(context: Mapping[str, Any]) -> None:
    """Log one line for a failed run, with its day, the reason and a link, in the log of the Dag processor."""
    name, ti = context["dag"].dag_id, context.get("ti")
    if ti is None:
        log.error("%s failed (run %s): %s", name, context["run_id"], context["reason"])
        return
    log.error(
        "%s failed at %s: %s %s",
        f"{name} {_day(context)}",
        ti.task_id.removeprefix(f"{name}."),
        ti.xcom_pull(task_ids=ti.task_id, map_indexes=ti.map_index, key=REASON) or context["reason"],
        ti.log_url,
    )


def _day(context: Mapping[str, Any]) -> str:
    """Return the run's partition, or its id if it has none."""
    run = context["dag_run"]
    day = context["params"].get("partition") or run.partition_key or run.data_interval_start
    return str(day)[:10] if day else str(run.run_id)


async def report_late(context: Mapping[str, Any]) -> None:
    """Log a run that has missed its deadline, in the log of the triggerer."""
    run = context["dag_run"]
    log.error(
        "%s is late: run %s is still %s at its deadline, %s UTC. Its day is not published yet; an earlier version, if"
        " there is one, is unchanged. Check which task it is waiting for: a batch can take up to 24 hours.",
        run["dag_id"],
        run["dag_run_id"],
        run["state"],
        f"{context['deadline']['deadline_time']:%Y-%m-%d %H:%M}",
    )


def done_within(interval: timedelta) -> list[DeadlineAlert]:
    """
    Return the ``deadline=`` of a Dag, which calls report_late() for a late scheduled run.

    A run is late if it is unfinished ``interval`` after the start of its day. Manual runs, backfilled days and nights
    that Airflow catches up with later have no deadline.
    """
    # Airflow's references would give those runs a deadline too. Counted from the day, it is missed from the start.
    # Counted from the queueing, Airflow 3.3 can clear neither the run nor its tasks (apache/airflow#70368).
    return [
        DeadlineAlert(reference=ScheduledDay(interval=interval), interval=interval, callback=AsyncCallback(report_late))
    ]


#: For ``@dag(**NIGHTLY)``. Every task is safe to run again, so retries are generous enough to outlast a restart of
#: Airflow or of the object store. The run of a day starts at the following midnight and is late at 05:00.
#: To alert Slack, a pager or a webhook, add a provider's notifier to both lists: ``HttpNotifier(…)`` to the failure
#: callbacks, and a DeadlineAlert with ``AsyncCallback(HttpNotifier, kwargs={…})`` to the deadlines.
NIGHTLY: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 4,
    "on_failure_callback": [report_failure],
    "deadline": done_within(timedelta(days=1, hours=5)),
    "default_args": {
        "owner": "data-engineering",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=15),
    },
}
#: The same for ``@dag(**WEEKLY)``. The run of a Monday starts a week later, so it is late a day after that.
WEEKLY: dict[str, Any] = {**NIGHTLY, "max_active_runs": 1, "deadline": done_within(timedelta(days=8))}
