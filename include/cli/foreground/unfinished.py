"""
Which run `make run` works on.

The lake lists the unfinished runs. Locks in the stack's folder show which of them a process is still working on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from include.cli.output.published_day import published
from include.enrichment.errors import LakeError
from include.enrichment.runs.options import RunOptions
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import Versioned, parse
from include.gateways.lake import Lake
from include.stack.folder import StackFolder

#: A file in the throw-away home of a process, locked while the process lives. It names the pid and the run's folder.
_CLAIM = "run"


class ForegroundRun(Versioned):
    """
    A run of `make run`. A later process may resume it under its id if it is unfinished, and reuses what is paid for.

    :param ended_at: None until all its tasks have finished
    :param options: its options; none if an earlier version wrote the file
    """

    run_id: str
    begun_at: datetime
    ended_at: datetime | None = None
    options: RunOptions = RunOptions()

    def sends_the_same(self, options: RunOptions) -> bool:
        """Return whether a run with these options sends the same requests. A budget only limits how many."""
        return _without_budget(self.options) == _without_budget(options)


@dataclass(frozen=True, kw_only=True)
class BusyRun:
    """An unfinished run that a living process works on."""

    run: ForegroundRun
    pid: int


@dataclass(frozen=True, kw_only=True)
class ClaimedRun:
    """
    The run that this process works on.

    :param resumed: an earlier process started it
    :param busy: the newest run that another process works on, None if there is none
    :param different: the newest unfinished run that was not resumed because it has other options, None if there is none
    """

    run: ForegroundRun
    resumed: bool
    busy: BusyRun | None
    different: ForegroundRun | None


@contextmanager
def claim_run(
    pipeline: str,
    partition: Partition,
    *,
    options: RunOptions,
    start_new: bool,
    new_id: Callable[[datetime], str],
    folder: StackFolder,
    home: Path,
    lake: Lake,
) -> Iterator[ClaimedRun]:
    """
    Claim a run of the partition for this process, until the block or the process ends.

    It is the newest unfinished run that has the same options, apart from the budget, and that no living process on this
    machine works on. Without such a run it is a new one. Raises LakeError.

    :param start_new: claim a new run in any case
    :param new_id: returns the id of a run that starts at a given moment
    :param home: the throw-away home of this process
    """
    with (home / _CLAIM).open("w", encoding="utf-8") as claim:
        with folder.run_lock.open(
            "w"
        ) as lock:  # one process after the other: the second one sees the first one's claim
            fcntl.flock(lock, fcntl.LOCK_EX)
            pids = _pids_by_run_folder(folder)

            def prefix_of(run: ForegroundRun) -> str:
                return lake.locate(RunFolder(pipeline=pipeline, partition=partition, run_id=run.run_id).prefix)

            unfinished = _unfinished(pipeline, partition, lake)
            busy = [BusyRun(run=run, pid=pids[prefix_of(run)]) for run in unfinished if prefix_of(run) in pids]
            free = [run for run in unfinished if prefix_of(run) not in pids]
            same = [run for run in free if run.sends_the_same(options)]
            resumed = bool(same) and not start_new
            now = datetime.now(UTC)
            run = same[-1] if resumed else ForegroundRun(run_id=new_id(now), begun_at=now, options=options)
            different = free[-1] if free and not same and not start_new else None
            fcntl.flock(claim, fcntl.LOCK_EX)
            claim.write(f"{os.getpid()}\n{prefix_of(run)}")
            claim.flush()
        if not resumed:
            _write(run, pipeline, partition, lake)
        yield ClaimedRun(run=run, resumed=resumed, busy=busy[-1] if busy else None, different=different)


def record_ended(run: ForegroundRun, pipeline: str, partition: Partition, lake: Lake) -> None:
    """Record that the run has ended, so that no process resumes it. Raises LakeError."""
    _write(run.model_copy(update={"ended_at": datetime.now(UTC)}), pipeline, partition, lake)


def _without_budget(options: RunOptions) -> RunOptions:
    return options.model_copy(update={"budget_usd": None})


def _write(run: ForegroundRun, pipeline: str, partition: Partition, lake: Lake) -> None:
    key = RunFolder(pipeline=pipeline, partition=partition, run_id=run.run_id).foreground_json
    lake.write(key, run.model_dump_json(indent=1).encode())


def _unfinished(pipeline: str, partition: Partition, lake: Lake) -> list[ForegroundRun]:
    """Return the unfinished runs of the partition, the newest last."""
    keys = [key for key in lake.list(layout.runs_of(pipeline, partition)) if layout.is_foreground(key)]
    runs = [run for key in keys if (run := _read(key, lake)) and run.ended_at is None]
    manifest = published(pipeline, partition, lake) if runs else None
    # A process may have been killed after it published and before it recorded the end of its run.
    return sorted(
        (run for run in runs if manifest is None or manifest.run_id != run.run_id), key=lambda run: run.begun_at
    )


def _read(key: str, lake: Lake) -> ForegroundRun | None:
    """Read a run, None if it has just been deleted. Raises LakeError if it cannot be read."""
    found = lake.find(key)
    try:
        return parse(ForegroundRun, found.data, lake.locate(key)) if found else None
    except ValidationError as error:
        raise LakeError(
            f"{lake.locate(key)} is damaged: {error.errors()[0]['msg']}. Delete it to give up that run; its loaded"
            " answers stay in the result store.",
            retryable=False,
        ) from error


def _pids_by_run_folder(folder: StackFolder) -> dict[str, int]:
    """Return the runs that living processes of this stack's folder work on, with their pids."""
    pids = {}
    for path in folder.runs.glob(f"*/{_CLAIM}"):
        try:
            with path.open(encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    pid, _, run_folder = file.read().partition("\n")
                    pids[run_folder] = int(pid)
        except FileNotFoundError:  # that process has just ended
            continue
    return pids
