"""
Which run `make run` goes on with: the lake tells which runs have not ended, and locks in the stack's folder tell which
of them a living process still works on.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterator
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

#: In the throw-away home of a process: locked for as long as it lives, with the run that it works on.
_HELD = "run"


class ForegroundRun(Versioned):
    """
    A run of `make run`. Whoever finds one that has not ended may go on with it under its id, which finds what it has
    paid for.

    :param ended_at: None until all its tasks have done their work
    :param options: what it was asked for; none in what an earlier version has written
    """

    run_id: str
    begun_at: datetime
    ended_at: datetime | None = None
    options: RunOptions = RunOptions()

    def asks_the_same(self, options: RunOptions) -> bool:
        """Whether a run with these options sends the same requests: a budget only says how many of them."""
        return _without_budget(self.options) == _without_budget(options)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """
    The run that this process works on.

    :param gone_on: an earlier process began it
    :param beside: the run of a living process that this one leaves alone
    :param other: the newest unfinished run that this one leaves alone, as it has other options
    """

    run: ForegroundRun
    gone_on: bool
    beside: ForegroundRun | None
    other: ForegroundRun | None


@contextmanager
def taken_run(
    pipeline: str,
    partition: Partition,
    *,
    options: RunOptions,
    anew: bool,
    new_id: Callable[[datetime], str],
    folder: StackFolder,
    home: Path,
    lake: Lake,
) -> Iterator[Taken]:
    """
    Take the newest unfinished run of the partition that has the same options, whatever its budget, and that no living
    process on this machine works on, or begin one. It is this process's until the block ends, or the process does.

    :param options: what is asked for
    :param anew: begin one in any case
    :param new_id: gives the id of a run that begins at a moment
    :param home: the throw-away home of this process

    Raises LakeError.
    """
    with (home / _HELD).open("w", encoding="utf-8") as held:
        with folder.run_lock.open("w") as lock:  # of two that begin at once the second sees the first
            fcntl.flock(lock, fcntl.LOCK_EX)
            unfinished = _unfinished(pipeline, partition, lake)
            alive = _alive(folder)

            def prefix_of(run: ForegroundRun) -> str:
                return lake.locate(RunFolder(pipeline=pipeline, partition=partition, run_id=run.run_id).prefix)

            left = [run for run in unfinished if prefix_of(run) not in alive]
            beside = [run for run in unfinished if run not in left]
            same = [run for run in left if run.asks_the_same(options)]
            now = datetime.now(UTC)
            gone_on = bool(same) and not anew
            run = same[-1] if gone_on else ForegroundRun(run_id=new_id(now), begun_at=now, options=options)
            other = left[-1] if left and not same and not anew else None
            fcntl.flock(held, fcntl.LOCK_EX)
            held.write(prefix_of(run))
            held.flush()
        if not gone_on:
            _write(run, pipeline, partition, lake)
        yield Taken(run=run, gone_on=gone_on, beside=beside[-1] if beside else None, other=other)


def record_ended(run: ForegroundRun, pipeline: str, partition: Partition, lake: Lake) -> None:
    """Nobody goes on with this run any more. Raises LakeError."""
    _write(run.model_copy(update={"ended_at": datetime.now(UTC)}), pipeline, partition, lake)


def _without_budget(options: RunOptions) -> RunOptions:
    return options.model_copy(update={"budget_usd": None})


def _write(run: ForegroundRun, pipeline: str, partition: Partition, lake: Lake) -> None:
    key = RunFolder(pipeline=pipeline, partition=partition, run_id=run.run_id).foreground_json
    lake.write(key, run.model_dump_json(indent=1).encode())


def _unfinished(pipeline: str, partition: Partition, lake: Lake) -> list[ForegroundRun]:
    """Those of the partition, the newest last."""
    keys = [key for key in lake.list(layout.runs_of(pipeline, partition)) if layout.is_foreground(key)]
    runs = [run for key in keys if (run := _read(key, lake)) and run.ended_at is None]
    manifest = published(pipeline, partition, lake) if runs else None
    # A process may be killed when it has published and not yet said that it has ended.
    return sorted(
        (run for run in runs if manifest is None or manifest.run_id != run.run_id), key=lambda run: run.begun_at
    )


def _read(key: str, lake: Lake) -> ForegroundRun | None:
    """None if somebody has just deleted it. Raises LakeError if it cannot be read."""
    found = lake.find(key)
    try:
        return parse(ForegroundRun, found.data, lake.locate(key)) if found else None
    except ValidationError as error:
        raise LakeError(
            f"{lake.locate(key)} is damaged: {error.errors()[0]['msg']}. Delete it to give that run up; what was loaded"
            " stays in the result store.",
            retryable=False,
        ) from error


def _alive(folder: StackFolder) -> Collection[str]:
    """The runs that living processes of this stack's folder work on."""
    found = set()
    for path in folder.runs.glob(f"*/{_HELD}"):
        try:
            with path.open(encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.add(file.read())
        except FileNotFoundError:  # that process has just ended
            continue
    return found
