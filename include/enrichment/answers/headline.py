"""
The line that Airflow's UI shows for a run (its note) and for a task (its label): the day, the options that differ from
a nightly run, and the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from decimal import Decimal

    from include.enrichment.answers.manifest import Manifest
    from include.enrichment.cost.forecast import DryRun
    from include.enrichment.runs.options import RunOptions
    from include.enrichment.runs.partition import Partition

#: Airflow stores labels up to this length.
LONGEST = 250
_DOT = " · "
_FAILED = f"{_DOT}failed: "


def headline(partition: Partition | None, options: RunOptions, *results: str) -> str:
    """Return a line such as ``2026-11-16 · trial of 10 · 10 published``, with at most LONGEST characters."""
    return _joined(str(partition or ""), *_options(options), *results)


def failure(partition: Partition | None, options: RunOptions, message: str) -> str:
    """Return the label of a failed task: the first sentence of its error message, which states the cause."""
    return headline(partition, options, f"failed: {_cause(message)}")


def note_of_success(start: str, label: str) -> str:
    """
    Return the note of a run that has succeeded.

    :param start: the headline of the run before it had a result
    :param label: of the last task; empty if a person marked that task as successful
    """
    return start if _FAILED in label else label or start


def note_of_failure(start: str, task: str, label: str, *, error: str, reason: str) -> str:
    """
    Return the note of a run that has failed.

    :param start: as for note_of_success()
    :param task: the first task that failed; empty if none did
    :param label: its label, which states the cause if the error is an EnrichmentError and the task works on the run
    :param error: the message of its EnrichmentError; empty for any other error
    :param reason: Airflow's reason, for a run without a failed task
    """
    if not task:
        return _joined(start, f"failed: {reason}")
    if _FAILED in label:
        start, _, cause = label.partition(_FAILED)
    else:
        cause = _cause(error)
    if not cause:
        return _joined(start, f"failed at {task}; see its log")
    see = "; its log says what to do"
    return _joined(start, f"failed at {task}: {cause}", longest=LONGEST - len(see)) + see


def _cause(message: str) -> str:
    """The first sentence of an error message."""
    return message.partition("\n")[0].partition(". ")[0].removesuffix(".")


def extracted(rows: int | None, *, requests: int, unsendable: int) -> str:
    """
    Return the result of `extract`: ``128 rows, 2 cannot be sent`` or ``64 rows, 128 requests``.

    :param rows: of the source; None if unknown
    :param requests: of all rows, which may differ from ``rows`` with for_each, samples and split_pages
    """
    counts = [_count(requests if rows is None else rows, "row")]
    counts += [_count(requests, "request")] if rows not in (None, requests) else []
    return ", ".join([*counts, *([f"{unsendable:,} cannot be sent"] if unsendable else [])])


def planned(chunks: Collection[str]) -> str:
    """Return the result of `plan`: ``2 chunks``."""
    return _count(len(chunks), "chunk") if chunks else "nothing to send"


def counted(counts: Mapping[str, int]) -> str:
    """Return the result of `ask`, ``118 succeeded, 2 invalid``, or of `approve`, ``4 approved, 1 rejected``."""
    return ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)


def forecast(dry_run: DryRun) -> str:
    """Return the result of a dry run: ``126 requests, $0.0300``."""
    from include.enrichment.cost.estimate import expected_usd

    sending = sum(one.to_send for one in dry_run.passes.values())
    cost = _dollars(expected_usd(one.estimate for one in dry_run.passes.values() if one.estimate))
    return f"{_count(sending, 'request')}, {cost}{', over budget' if dry_run.over_budget else ''}"


def published(manifest: Manifest, *, run_id: str) -> list[str]:
    """
    Return the result of `publish`: ``126 published, 2 rejected`` and ``$0.0113 (simulated)``, or ``$0.0113, $0.0100 of
    it synchronous``; and ``deadline kept, 12 min ahead`` for a run with one.
    """
    if manifest.run_id != run_id:
        return [f"not published: newer rows of run {manifest.run_id} stay"]
    counts = f"{manifest.published:,} published" if manifest.rows else "no rows"
    rejected = f", {manifest.rejected:,} rejected" if manifest.rejected else ""
    simulated = " (simulated)" if manifest.simulated else ""
    asked_usd = manifest.synchronous_cost_usd
    synchronous = f", {_dollars(asked_usd)} of it synchronous" if asked_usd else ""
    deadline = [f"deadline {manifest.deadline_kept}"] if manifest.deadline else []
    return [f"{counts}{rejected}", f"{_dollars(manifest.cost_usd)}{synchronous}{simulated}", *deadline]


def _options(options: RunOptions) -> list[str]:
    words = {
        "dry run": options.dry_run,
        f"trial of {options.rows or 0:,}": options.rows,
        "urgent": options.urgent,
        f"deadline {options.deadline}": options.deadline,
        "only the rejects": options.only_rejects,
        "answers not reused": options.reuse is False,
        str(options.model): options.model,
        f"only {', '.join(options.variants or ())}": options.variants,
    }
    return [text for text, is_set in words.items() if is_set]


def _joined(*parts: str, longest: int = LONGEST) -> str:
    line = _DOT.join(filter(None, parts))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _dollars(cost: Decimal | None) -> str:
    from include.enrichment.cost.prices import format_usd  # loads pyarrow, which the scheduler does not need

    return format_usd(cost)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
