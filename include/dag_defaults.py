"""
What the nightly Dags have in common: when they run, how often they try, and who is told when a night goes wrong.

A run is one partition, a calendar day. Airflow has three ways to start one (the schedule, a person, a backfill), and a
day is the same day in all of them because the timetable makes data intervals that begin at midnight: the interval
``[D, D + 1)`` is the partition D, and a backfill up to D includes D, whose end is an instant to Airflow. The ids of
runs say D, as in ``scheduled__2026-11-10``. A cron string would make intervals without length. CronPartitionTimetable
would let any number of runs have the same key, would not ask for it in the form, and would make a second run beside the
first where a day is processed again; here it is the same run, cleared.
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

#: When: see above. UTC, because a partition is a day of UTC.
MIDNIGHT = DayTimetable("0 0 * * *", timezone="UTC")
#: When the runs of the night are done.
MORNING = CronDataIntervalTimetable("0 6 * * *", timezone="UTC")


def report_failure(context: Mapping[str, Any]) -> None:
    """Say that a run has failed, with its day, the reason and a link: one line, in the log of the Dag processor."""
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
    """The run's partition; of a run without one its id."""
    run = context["dag_run"]
    day = context["params"].get("partition") or run.partition_key or run.data_interval_start
    return str(day)[:10] if day else str(run.run_id)


async def report_late(context: Mapping[str, Any]) -> None:
    """Say that a run is not done at its deadline, in the log of the triggerer."""
    run = context["dag_run"]
    log.error(
        "Run %s of %s is not done at its deadline, %s: it is %s. Whoever needs its partition now finds what was"
        " published before, or nothing. Look at what it waits for: a batch may take 24 hours.",
        run["dag_run_id"],
        run["dag_id"],
        context["deadline"]["deadline_time"],
        run["state"],
    )


def done_within(interval: timedelta) -> list[DeadlineAlert]:
    """
    Return the ``deadline=`` of a Dag: report_late() is called for a scheduled run that is unfinished ``interval`` after
    its day began. Manual runs, backfilled days and nights that Airflow catches up with later have no deadline.
    """
    # Airflow's own references would give them one that is missed from the start, or (since the run was queued) in 3.3
    # one with which neither the run nor any of its tasks can be cleared (apache/airflow#70368).
    return [
        DeadlineAlert(reference=ScheduledDay(interval=interval), interval=interval, callback=AsyncCallback(report_late))
    ]


#: For ``@dag(**NIGHTLY)``. Every task is safe to run again, so retries are generous: they outlast a restart of Airflow
#: or of the object store. The run of a day begins at the midnight after it: one that has not ended at 05:00 is late.
#: To tell Slack, a pager or a webhook as well, put a provider's notifier beside ours: ``HttpNotifier(…)`` into the list
#: of failure callbacks, and a DeadlineAlert with ``AsyncCallback(HttpNotifier, kwargs={…})`` into that of deadlines.
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
