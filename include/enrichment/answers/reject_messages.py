"""Messages about rejected rows: which they are and, if there are too many, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from include.enrichment.answers.manifest import Manifest
from include.enrichment.cost.prices import format_usd

#: In a count of rejected rows those that gave no request that can be sent.
UNSENDABLE = "unsendable"
#: How many sample rows and how many reasons a message shows.
SAMPLES = 5
_REASONS = 3
_REASON_CHARACTERS = 120


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """
    The rejected rows of a partition, or the requests of a batch that have no usable answer.

    :param outcomes: how many have which outcome; UNSENDABLE for rows without a request
    :param reasons: how many have which reason, by its beginning
    :param samples: the first of them: what it is known by, its outcome, and the beginning of its reason
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, outcome: str, reason: str) -> None:
        """Count one more."""
        short = " ".join(reason[:_REASON_CHARACTERS].split())
        self.outcomes[outcome] += 1
        self.reasons[short] += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((name, outcome, short))

    @property
    def by_outcome(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items()))

    @property
    def most_common(self) -> str:
        """The most common reasons, each with its count."""
        return "; ".join(f"{reason} ({count:,})" for reason, count in self.reasons.most_common(_REASONS))

    def sample_lines(self) -> list[str]:
        """The samples, a line for each."""
        return [f"  {name}: {outcome}, {reason}" for name, outcome, reason in self.samples]


def loaded_lines(batch_id: str, counts: Mapping[str, int], unusable: Rejected) -> str:
    """
    How the requests of a batch ended: a fact a line.

    :param counts: how many requests had which outcome
    :param unusable: those that have no usable answer; empty where they were not looked at again
    """
    by_outcome = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))
    lines = [f"Batch {batch_id}: {sum(counts.values()):,} requests: {by_outcome}."]
    if unusable.outcomes:
        shown = f", the first {SAMPLES}" if unusable.outcomes.total() > SAMPLES else ""
        lines += [f"Without a usable answer{shown}:", *unusable.sample_lines()]
        lines.append(f"Most common reasons: {unusable.most_common}")
    return "\n".join(lines)


def result_lines(manifest: Manifest, rejected: Rejected, *, rejects: str, published: bool) -> str:
    """
    What became of the rows, what that cost and where it lies: a fact a line.

    :param rejects: where the rejects are
    :param published: whether the table was replaced, or a trial's was written
    """
    whose = "Trial of partition" if manifest.trial is not None else "Partition"
    simulated = ", simulated: the emulator answered, and nobody is billed" if manifest.simulated else ""
    lines = [
        f"{whose} {manifest.partition} of {manifest.pipeline} is {'' if published else 'not '}published.",
        f"{manifest.rows:,} rows read",
        f"{manifest.published:,} {'published' if published else 'with a usable answer'}",
        f"{manifest.rejected:,} rejected{f': {rejected.by_outcome}' if manifest.rejected else ''}",
        *rejected.sample_lines(),
        f"Cost of this run: {format_usd(manifest.cost_usd)} (expected: {format_usd(manifest.expected_usd)}){simulated}",
        f"Cost of these rows in all runs: {format_usd(manifest.partition_cost_usd)}",
        *([f"Table: {manifest.table}"] if published else []),
        f"Rejects: {rejects}",
    ]
    return "\n".join(lines)


def too_many(
    manifest: Manifest, rejected: Rejected, *, again: int, unbilled: int, most: float, rejects: str, left_out: str
) -> str:
    """
    What was rejected, what is left behind, and the ways on, of which only those are named that there are.

    :param again: how many requests a run sends that asks only for the rejects
    :param unbilled: how many distinct requests of theirs were not billed
    :param most: the share of rejects that is allowed
    :param rejects: where they are
    :param left_out: what a budget kept the run from; empty if nothing
    """
    were = "was" if manifest.rejected == 1 else "were"
    lines = [
        f"{manifest.rejected:,} of {manifest.rows:,} rows of partition {manifest.partition} {were} rejected"
        f" ({rejected.by_outcome}); limits.max_reject_ratio allows {100 * most:g} %.",
        f"Most common: {rejected.most_common}. {left_out}".rstrip(),
        f"Nothing was published, and the table is as it was. All answers are kept; the rejects are at {rejects}",
    ]
    if again:
        cost = format_usd(_cost_of(again, manifest, unbilled=unbilled))
        lines.append(
            "Trigger the day again with Only the rejects (`only_rejects`; make run: ONLY_REJECTS=1): it sends"
            f" {again:,} {'request' if again == 1 else 'requests'} and nothing else, for {_about(cost)}."
        )
    lines.append(
        f"{'Or change' if again else 'Change'} what the reasons name (prompt, schema, max_tokens, query) and start a"
        " new run: what has changed is sent and billed again. Or raise the ratio and start a new run to publish without"
        " them."
    )
    return "\n".join(lines)


def _about(cost: str) -> str:
    return f"about {cost}" if cost.startswith("$") else cost


def _cost_of(requests: int, manifest: Manifest, *, unbilled: int) -> Decimal | None:
    """
    What so many of the partition's requests will cost: as much as the others did on average; where nothing was paid, as
    much as was estimated. None where neither is known.
    """
    if manifest.partition_cost_usd and (billed := manifest.requests - unbilled) > 0:
        return manifest.partition_cost_usd / billed * requests
    priced = [one for one in manifest.estimates.values() if one.cost_usd and one.requests]
    if not priced:
        return None
    expected = sum((one.cost_usd.expected for one in priced if one.cost_usd), Decimal(0))
    return expected / sum(one.requests for one in priced) * requests
