"""Messages about rejected rows: which rows they are and, if there are too many, what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.prices import format_usd

#: The outcome of a rejected row whose request cannot be sent.
UNSENDABLE = "unsendable"
#: The number of sample rows and of reasons in a message.
SAMPLES = 5
_REASONS = 3
_REASON_CHARACTERS = 240
#: How a run picks up a changed pipeline.
CLEAR_EXTRACT = "clear `extract` with downstream, or start a new run"
#: The position of an error in an answer, which would make every reason unique.
_POSITION = re.compile(r" \((?:byte|line) [\d, a-z]+\)")
#: The first check that an answer fails; the outcome may precede it. What follows differs from answer to answer.
_CHECK = re.compile(r"((?:\w+, )?check [^:]+): ")
#: The word, perhaps half of one, at the end of a text that was cut.
_LAST_WORD = re.compile(r" \S{,30}$")


@dataclass(frozen=True, kw_only=True)
class Reasons:
    """
    Counts of reasons. Answers that fail the same check count as one reason, and so do errors that differ only in their
    position in the answer.

    :param counts: by the name of the check or the beginning of the reason
    :param examples: of each check, the beginning of what it said first
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str) -> None:
        """Count one more."""
        if found := _CHECK.match(reason):
            self.counts[found[1]] += 1
            self.examples.setdefault(found[1], _shorten(reason[found.end() :]))
        else:
            self.counts[_shorten(_POSITION.sub("", reason))] += 1

    def most_common(self) -> list[str]:
        """Return the most common reasons with counts, and examples for checks, then the number of the others."""
        listed = self.counts.most_common(_REASONS)
        others = self.counts.total() - sum(count for _, count in listed)
        numbered = [*listed, *([("others", others)] if others else [])]
        return [
            f"{reason} ({count:,}){f', for example: {self.examples[reason]}' if reason in self.examples else ''}"
            for reason, count in numbered
        ]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """
    The rejected rows of a partition, or the requests of a batch without a usable answer.

    :param outcomes: counts by outcome; UNSENDABLE for rows without a request
    :param samples: key, outcome and beginning of the reason of the first ones
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Reasons = field(default_factory=Reasons)
    samples: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, outcome: str, reason: str) -> None:
        """Count one more."""
        self.outcomes[outcome] += 1
        self.reasons.add(reason)
        if len(self.samples) < SAMPLES:
            self.samples.append((name, outcome, _shorten(reason)))

    @property
    def by_outcome(self) -> str:
        """The counts by outcome, as text."""
        return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))

    def reason_lines(self) -> list[str]:
        """Return one line per common reason, under a title."""
        return ["Most common reasons:", *(f"  {reason}" for reason in self.reasons.most_common())]

    def sample_lines(self) -> list[str]:
        """Return one line per sample, and one for the number of the others."""
        lines = [f"  {name}: {outcome}, {reason}" for name, outcome, reason in self.samples]
        others = self.outcomes.total() - len(self.samples)
        return [*lines, *([f"  and {others:,} more"] if others else [])]


def describe_load(batch_id: str, counts: Mapping[str, int], unusable: Rejected) -> str:
    """
    Return how the requests of a batch ended, one fact per line.

    :param counts: requests by outcome
    :param unusable: the requests without a usable answer; empty if they were not read again
    """
    by_outcome = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))
    lines = [f"Batch {batch_id}: {sum(counts.values()):,} requests: {by_outcome}."]
    if unusable.outcomes:
        lines += ["Without a usable answer:", *unusable.sample_lines(), *unusable.reason_lines()]
    return "\n".join(lines)


def describe_publication(manifest: Manifest, rejected: Rejected, *, rejects: str, published: bool) -> str:
    """
    Return the rows, cost and locations of a partition, one fact per line.

    :param rejects: the address of the rejects
    :param published: whether the table, or that of a trial, was written
    """
    whose = "Trial of partition" if manifest.trial is not None else "Partition"
    better = f"a better answer was {'published' if published else 'found'} for the same row"
    simulated = "; simulated, not billed" if manifest.simulated else ""
    lines = [
        f"{whose} {manifest.partition} of {manifest.pipeline} is {'' if published else 'not '}published.",
        manifest.rows_read,
        f"{manifest.published:,} {'published' if published else 'with a usable answer'}",
        *([f"{manifest.escalated:,} of them with the dearer model's answer"] if manifest.escalated else []),
        *([f"{manifest.not_kept:,} not kept: {better}"] if manifest.keeps_best else []),
        f"{manifest.rejected:,} rejected{f': {rejected.by_outcome}' if manifest.rejected else ''}",
        *rejected.sample_lines(),
        *check_lines(manifest),
        f"Cost of this run: {format_usd(manifest.cost_usd)} (expected {format_usd(manifest.expected_usd)}){simulated}",
        *_deadline_lines(manifest),
        f"Cost of these rows in all runs: {format_usd(manifest.partition_cost_usd)}",
        *([f"Table: {manifest.table}"] if published else []),
        f"Rejects: {rejects}",
        *([f"Samples: {manifest.samples}"] if published and manifest.samples else []),
    ]
    return "\n".join(lines)


def _deadline_lines(manifest: Manifest) -> list[str]:
    if manifest.deadline is None:
        return []
    asked_usd = manifest.synchronous_cost_usd
    price = f"; synchronous requests cost {format_usd(asked_usd)}, twice as much as in batches" if asked_usd else ""
    return [f"Deadline {manifest.deadline:%Y-%m-%d %H:%M} UTC {manifest.deadline_kept}{price}"]


def check_lines(manifest: Manifest) -> list[str]:
    """Return a line for the failed checks and one for the warnings, each with the number of rows; none without."""
    failed = _failed_title(manifest).capitalize()
    counts = {failed: manifest.failed_checks, "Warnings of checks": manifest.warned_checks}
    return [f"{title}: {_by_count(found)}" for title, found in counts.items() if found]


def _failed_title(manifest: Manifest) -> str:
    return "failed checks, also of rows not kept" if manifest.not_kept else "failed checks"


def _by_count(counts: Mapping[str, int]) -> str:
    """The counts as text, the highest first."""
    return ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def describe_too_many(
    manifest: Manifest,
    rejected: Rejected,
    *,
    again: int,
    unbilled: int,
    retry_passes: int,
    most: float,
    rejects: str,
    left_out: str,
) -> str:
    """
    Return the message of a failed publish: what was rejected, what is left behind, and the possible next steps.

    :param again: the number of requests that a run with `only_rejects` would send
    :param unbilled: the number of distinct requests of the rejects that were not billed
    :param retry_passes: the pipeline's number of them; without one, no answer is repaired
    :param most: the allowed share of rejects
    :param rejects: their address
    :param left_out: a note about requests that a budget left out; may be empty
    """
    were = "was" if manifest.rejected == 1 else "were"
    checks = f"; {_failed_title(manifest)}: {_by_count(manifest.failed_checks)}" if manifest.failed_checks else ""
    lines = [
        f"{manifest.rejected:,} of {manifest.rows:,} rows of partition {manifest.partition} {were} rejected"
        f" ({rejected.by_outcome}{checks}); limits.max_reject_ratio allows {100 * most:g} %.",
        *rejected.reason_lines(),
        *([left_out] if left_out else []),
        f"Nothing was published, and the table is unchanged. All answers are kept; the rejects are at {rejects}",
    ]
    if again:
        cost = format_usd(_cost_of(again, manifest, unbilled=unbilled))
        lines.append(
            "Trigger the day again with Only the rejects (`only_rejects`; make run: ONLY_REJECTS=1): it sends"
            f" only {again:,} {'request' if again == 1 else 'requests'}, for {_about(cost)}."
        )
    else:
        unrepaired = manifest.rejected_by.get("invalid") and not retry_passes
        why = (
            "limits.retry_passes is 0, so invalid answers are not repaired"
            if unrepaired
            else "the same requests would not succeed"
        )
        lines.append(f"A run with Only the rejects would send nothing: {why}.")
    lines.append(
        f"{'Or change' if again else 'Change'} the pipeline, then {CLEAR_EXTRACT}."
        f"{loosen_checks(manifest.pipeline) if checks else ''} A changed prompt, schema, max_tokens or query sends only"
        " the requests that it changes, and they are billed. A higher limits.max_reject_ratio publishes without the"
        " rejects."
    )
    return "\n".join(lines)


def failed_checks(counts: Mapping[str, int]) -> str:
    """Return the failed checks with their counts, the most frequent first."""
    return f"failed checks: {_by_count(counts)}"


def loosen_checks(pipeline: str) -> str:
    """Return what a changed check costs, as a sentence after another."""
    return (
        f" If a check is too strict, loosen it in {pipeline}/checks.yaml: the paid answers are judged again for $0, and"
        " only those that still fail are repaired."
    )


def _shorten(reason: str) -> str:
    """Return the beginning of the reason in one line, cut between words unless the last word is very long."""
    text = " ".join(reason.split())
    return text if len(text) <= _REASON_CHARACTERS else f"{_LAST_WORD.sub('', text[:_REASON_CHARACTERS])} …"


def _about(cost: str) -> str:
    return f"about {cost}" if cost.startswith("$") else cost


def _cost_of(requests: int, manifest: Manifest, *, unbilled: int) -> Decimal | None:
    """
    Estimate the cost of that many requests: the average of the partition's billed requests, or else the estimated cost.

    None if neither is known.
    """
    if manifest.partition_cost_usd and (billed := manifest.requests - unbilled) > 0:
        return manifest.partition_cost_usd / billed * requests
    priced = [one for one in manifest.estimates.values() if one.cost_usd and one.requests]
    if not priced:
        return None
    expected = sum((one.cost_usd.expected for one in priced if one.cost_usd), Decimal(0))
    return expected / sum(one.requests for one in priced) * requests
