"""`make clean-lake`: list the unneeded objects of old runs on the lake, and delete them on request."""

from __future__ import annotations

from include.cli.output.published_day import with_lake
from include.gateways.lake import Lake
from include.stack.folder import StackFolder
from include.stack.progress import say
from include.steps.clean import clean, find_old


def clean_lake(folder: StackFolder, *, days: int, raw_days: int | None, delete: bool) -> int:
    """
    List the unneeded objects older than ``days``. Delete them if ``delete`` is set.

    Returns an exit status, see with_lake().

    :param raw_days: also raw copies older than this
    """

    def work(lake: Lake) -> None:
        old = find_old(lake, days=days, raw_days=raw_days)
        age = f"older than {days} days" + (f" (raw copies: {raw_days})" if raw_days is not None else "")
        for kind, objects in old.items():
            size_mb = sum(each.size_bytes for each in objects) / 1e6
            say(f"{kind:20} {len(objects):>9,} objects {size_mb:>12,.1f} MB")
        if not any(old.values()):
            say(f"Nothing to delete on {lake.uri}: no unneeded object is {age}.")
        elif delete:
            say(f"Deleted {clean(lake, old):,} objects {age} from {lake.uri}.")
        else:
            say(f"These are {age} and no longer needed. Nothing was deleted from {lake.uri}. YES=1 deletes them.")

    return with_lake(folder, work)
