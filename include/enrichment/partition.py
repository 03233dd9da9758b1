"""
The partition of a run: one calendar day, one string, from one helper. Every path and every query depends on it and on
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

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
    on.

    Raises PartitionError if none of them is given, if the first one given is not a date (``2026-11-21``), or if the
    run is one of a backfill and the param names another day than its own.
    """
    if param:
        partition = _parse(param, "the run's param `partition`")
        if backfill and data_interval_start and partition.start != data_interval_start.date():
            raise PartitionError(
                f"This run of a backfill is about {data_interval_start.date()}, and its param `partition` names"
                f" {partition}, as it does in all runs of the backfill. Nothing was read or sent. Start the backfill"
                " again with the param empty: its range says which days."
            )
        return partition
    if partition_key:
        return _parse(partition_key, "the run's partition key")
    if data_interval_start:
        return Partition(start=data_interval_start.date())
    raise PartitionError(
        "This run names no partition: it has no param `partition`, no partition key and no data interval (a run"
        " triggered without a"
        ' logical date has none). Nothing was read or sent. Trigger it again with {"partition": "2026-11-21"}.'
    )


def check_begun(partition: Partition, *, today: date) -> None:
    """Raises PartitionError for a day to come. Where a digit is wrong, a run would wait for its rows for years."""
    if partition.start > today:
        raise PartitionError(
            f"Partition {partition} is a day to come ({today} is today, UTC): it has no rows yet. Nothing was read or"
            " sent. Trigger the run again with a day that is over."
        )


def _parse(text: object, origin: str) -> Partition:
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
