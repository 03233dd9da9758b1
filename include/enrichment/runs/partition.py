"""
The partition of a run: one calendar day, one string, from one helper. Every path and every query depends on it and on
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from include.enrichment.errors import PartitionError


@dataclass(frozen=True, kw_only=True)
class Partition:
    """The day ``[start, end)`` of the source table; ``str()`` gives it as in ``dt=2026-11-21``."""

    start: date

    @property
    def end(self) -> date:
        """The first day that is not part of it."""
        return self.start + timedelta(days=1)

    def __str__(self) -> str:
        return self.start.isoformat()

    def fill(self, text: str) -> str:
        """``{partition}``, and ``{year}``, ``{month}`` and ``{day}`` with their zeros, become this day's."""
        year, month, day = str(self).split("-")
        text = text.replace("{partition}", str(self))
        return text.replace("{year}", year).replace("{month}", month).replace("{day}", day)


def resolve_partition(
    *, param: object, partition_key: str | None, data_interval_start: datetime | None, backfill: bool = False
) -> Partition:
    """
    The partition a run means: its ``partition`` param, else its partition key, else the day its data interval starts
    on, in UTC.

    Raises PartitionError if none of them is given, if the first one given is not a date (``2026-11-21``), or if the
    run is one of a backfill and the param names another day than its own.
    """
    if param:
        partition = parse_partition(param, "the run's param `partition`")
        if backfill and data_interval_start and partition.start != _day(data_interval_start):
            raise PartitionError(
                f"This run of a backfill is about {_day(data_interval_start)}, and its param `partition` names"
                f" {partition}, as it does in all runs of the backfill. Nothing was read or sent. Start the backfill"
                " again with the param empty: its range says which days."
            )
        return partition
    if partition_key:
        return parse_partition(partition_key, "the run's partition key")
    if data_interval_start:
        return Partition(start=_day(data_interval_start))
    raise PartitionError(
        "This run names no partition: it has no param `partition`, no partition key and no data interval (a run"
        " triggered without a"
        ' logical date has none). Nothing was read or sent. Trigger it again with {"partition": "2026-11-21"}.'
    )


def interval_warning(*, param: object, partition_key: str | None, data_interval_start: datetime | None) -> str:
    """
    Say which partition a run takes whose data interval does not begin at midnight UTC, as resolve_partition() decides
    it; empty where it begins then, or where something else decides.
    """
    if param or partition_key or not data_interval_start:
        return ""
    start = data_interval_start.astimezone(UTC)
    if start.time() == time.min:
        return ""
    return (
        f"The run's data interval begins at {start:%Y-%m-%d %H:%M:%S} UTC, and not at midnight. A partition is a day of"
        f" UTC, so the run takes {start.date()} from 00:00 to 24:00 UTC, the day on which the interval begins. Give the"
        " Dag the schedule MIDNIGHT of include/dag_defaults.py, or trigger it with the param `partition`."
    )


def check_begun(partition: Partition, *, today: date) -> None:
    """Raise PartitionError for a future day. With a mistyped digit, a run would wait for its rows for years."""
    if partition.start > today:
        raise PartitionError(
            f"Partition {partition} is in the future (today is {today}, UTC) and has no rows yet. Nothing was read or"
            " sent. Trigger the run again with a day that is over."
        )


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def parse_partition(text: object, origin: str) -> Partition:
    """
    Read a date such as ``2026-11-21``. Raises PartitionError for anything else.

    :param origin: who gave it, for the message
    """
    try:
        start = date.fromisoformat(str(text))
        _ = start + timedelta(days=1)
    except (ValueError, OverflowError):
        start = None
    if start is None or start.isoformat() != text:
        raise PartitionError(
            f"{origin} is {text!r}, which is not a date like 2026-11-21. Nothing was read or sent. Trigger the run"
            " again with a date."
        )
    return Partition(start=start)
