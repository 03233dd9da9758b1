"""
The partition of a run: one calendar day as one string. Every path and every query depends on it and on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from include.enrichment.errors import PartitionError

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The day ``[start, end)`` of the source table; ``str()`` gives ``2026-11-21``."""

    start: date

    @property
    def end(self) -> date:
        """The day after the partition."""
        return self.start + timedelta(days=1)

    def __str__(self) -> str:
        return self.start.isoformat()

    def fill(self, text: str) -> str:
        """Replace ``{partition}``, and the zero-padded ``{year}``, ``{month}`` and ``{day}``, with this day's."""
        year, month, day = str(self).split("-")
        text = text.replace("{partition}", str(self))
        return text.replace("{year}", year).replace("{month}", month).replace("{day}", day)


def check_daily(text: str) -> None:
    """Raise ValueError if Partition.fill() makes the same of the text on two days, or leaves a placeholder in it."""
    days = [Partition(start=date(*day)).fill(text) for day in ((2001, 2, 3), (2001, 2, 4), (2001, 3, 3), (2002, 2, 3))]
    if len(set(days)) < len(days) or re.search("[{}]", days[0]):
        raise ValueError("must contain {partition}, or {year}, {month} and {day}, and no other placeholder")


def resolve_partition(
    *,
    param: object,
    partition_key: str | None,
    data_interval_start: datetime | None,
    published: Collection[object] = (),
    backfill: bool = False,
) -> Partition:
    """
    Return the partition of a run: its ``partition`` param, else its partition key, else the partition that the asset
    events which triggered it name, else the UTC day on which its data interval starts.

    Raises PartitionError if none of them is given, if the first one given is not a date (``2026-11-21``), if the events
    name several days, or if the param of a backfill's run names another day than the run's own.

    :param published: the partition in each asset event that has one
    """
    if param:
        partition = parse_partition(param, "the run's param `partition`")
        if backfill and data_interval_start and partition.start != _day(data_interval_start):
            raise PartitionError(
                f"This backfill run is for {_day(data_interval_start)}, but its param `partition` says {partition}, as"
                " in every run of the backfill. Nothing was read or sent. Start the backfill again with the param"
                " empty: its range selects the days."
            )
        return partition
    if partition_key:
        return parse_partition(partition_key, "the run's partition key")
    if days := {parse_partition(day, "the partition of the asset event that triggered the run") for day in published}:
        if len(days) > 1:
            named = sorted(map(str, days))
            raise PartitionError(
                f"{len(named)} days were published before this run began, and a run reads one: {', '.join(named)}."
                " Nothing was read or sent. Trigger the Dag once for each of them, for example with"
                f' {{"partition": "{named[0]}"}}. To backfill both pipelines, put both into one Dag.'
            )
        return days.pop()
    if data_interval_start:
        return Partition(start=_day(data_interval_start))
    raise PartitionError(
        "The run has no partition: no param `partition`, no partition key, no asset event that names one and no data"
        " interval (a run triggered without a logical date has none). Nothing was read or sent. Trigger it again with"
        ' {"partition": "2026-11-21"}.'
    )


def interval_warning(*, param: object, partition_key: str | None, data_interval_start: datetime | None) -> str:
    """
    Return a warning for a run whose data interval decides its partition but does not begin at midnight UTC; empty for
    any other run.
    """
    if param or partition_key or not data_interval_start:
        return ""
    start = data_interval_start.astimezone(UTC)
    if start.time() == time.min:
        return ""
    return (
        f"The run's data interval begins at {start:%Y-%m-%d %H:%M:%S} UTC, not at midnight. A partition is a UTC day,"
        f" so the run reads {start.date()} from 00:00 to 24:00 UTC, the day on which the interval begins. Give the Dag"
        " the schedule MIDNIGHT of include/dag_defaults.py, or trigger it with the param `partition`."
    )


def check_not_future(partition: Partition, *, today: date) -> None:
    """Raise PartitionError for a future day. With a mistyped digit, a run would wait for its rows for years."""
    if partition.start > today:
        raise PartitionError(
            f"Partition {partition} is in the future (today is {today}, UTC) and has no rows yet. Nothing was read or"
            " sent. Trigger the run again with a day that is over."
        )


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def date_problem(text: object) -> str:
    """Return why a text that parse_partition() rejects is not a day."""
    if _DATE.fullmatch(str(text)):
        return "There is no such day."
    return "That is not a date like 2026-11-21."


def parse_partition(text: object, origin: str) -> Partition:
    """
    Read a date like ``2026-11-21``. Raises PartitionError for anything else.

    :param origin: where the text comes from, for the message
    """
    try:
        start = date.fromisoformat(str(text))
        _ = start + timedelta(days=1)
    except (ValueError, OverflowError):
        start = None
    if start is None or start.isoformat() != text:
        raise PartitionError(
            f"{origin} is {text!r}. {date_problem(text)} Nothing was read or sent. Trigger the run again with a date."
        )
    return Partition(start=start)
