"""
Decides what a pass sends: of what is wanted, what is neither answered nor in flight. steps/plan.py reads what is needed
for it, and writes what it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from include.enrichment.batches.ledger import Entry, OpenChunk
from include.enrichment.cost.estimate import Estimate
from include.enrichment.errors import BatchError, ParamError, SpecError
from include.enrichment.storage.version import Versioned

#: A chunk that was planned and never sent, by a run that has given up, is closed after so long, and one whose results
#: the API no longer keeps (29 days).
_FORGOTTEN = timedelta(days=7)
_ARCHIVED = timedelta(days=30)


class PassPlan(Versioned):
    """
    What one pass of a run does.

    :param chunks: the lake keys of the chunks whose batches it waits for: those in flight already, then its own
    :param batches: the batches in the result store that hold answers to the run's requests
    :param requests: the run's distinct requests
    :param to_send: how many of them this pass sends
    :param left_out: how many more a retry pass would have sent, had a budget allowed it
    :param in_flight: how many wait in batches that were planned before
    :param estimate: what those that it sends will cost; None in a plan of an earlier version
    :param extracted_at: of the extract that it was made for. A plan of an earlier extract of the run counts no more
    """

    chunks: list[str]
    batches: list[str]
    requests: int
    to_send: int
    in_flight: int
    left_out: int = 0
    extracted_at: datetime
    estimate: Estimate | None = None


def describe_plan(pass_name: str, made: PassPlan, *, joined: int) -> str:
    """
    What a pass does, in one sentence.

    :param joined: in how many batches the requests are that are in flight
    """
    facts = [f"{made.to_send:,} will be sent in {_batches(len(made.chunks) - joined)}"] if made.to_send else []
    facts += [f"{made.in_flight:,} are in flight in {_batches(joined)}"] if made.in_flight else []
    return f"Pass {pass_name}, requests: {', '.join(facts) or 'none will be sent'}; the run has {made.requests:,}."


def _batches(number: int) -> str:
    return f"{number:,} {'batch' if number == 1 else 'batches'}"


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """
    An open chunk of the pipeline, as a plan finds it.

    :param sent: a batch was made of it, or may have been
    :param own: nobody has planned it but the very run that plans now
    """

    chunk_id: str
    request_ids: Set[str]
    sent: bool
    own: bool


@dataclass(frozen=True, kw_only=True)
class Division:
    """
    What is wanted, divided.

    :param to_send: nobody has sent these
    :param join: chunks in flight to wait for
    :param take_over: chunks that were never sent and are in the way: they are withdrawn, unless the plan makes the very
        same ones
    """

    to_send: set[str]
    join: list[str] = field(default_factory=list)
    take_over: list[str] = field(default_factory=list)


def divide(wanted: Set[str], in_flight: Iterable[InFlight]) -> Division:
    """
    Divide the wanted requests into those in flight and those to be sent.

    What was never sent is nobody's: the wanted requests of such a chunk are cut anew, by the limits, the options and
    the budget of the run that plans. So is the run's own, also where nothing of it is wanted any more: the warehouse
    has changed. Another run's that holds nothing wanted is left alone.
    """
    divided = Division(to_send=set(wanted))
    for chunk in in_flight:
        needed = not chunk.request_ids.isdisjoint(wanted)
        if chunk.sent and needed:
            divided.join.append(chunk.chunk_id)
            divided.to_send.difference_update(chunk.request_ids)
        elif not chunk.sent and (needed or chunk.own):
            divided.take_over.append(chunk.chunk_id)
    return divided


def check_chunks(chunks: int, *, most: int | None) -> None:
    """
    Raises SpecError if a pass needs more batches than Airflow maps a task over.

    :param most: None: any number will do
    """
    if most is not None and chunks > most:
        raise SpecError(
            f"The pass needs {chunks:,} batches, and Airflow maps a task over {most:,} at most. Nothing was sent. Raise"
            " limits.batch_requests in pipeline.yaml and start a new run, or raise [core] max_map_length and clear this"
            " task."
        )


def is_closed(opened: OpenChunk, entry: Entry | None, loaded: Set[str], *, now: datetime) -> bool:
    """
    Whether an open chunk need not be looked at any more: it has landed, was withdrawn, or belongs to the past.

    :param loaded: the batches that are in the result store
    """
    if entry is None:
        return now - opened.planned_at > _FORGOTTEN
    if entry.state == "planned":
        return now - entry.changed_at > _FORGOTTEN
    if entry.batch_id in loaded or entry.state in ("landed", "withdrawn"):
        return True
    return now - entry.changed_at > _ARCHIVED


def check_canary(reasons: Mapping[str, str | None], *, pass_name: str) -> None:
    """
    Raises BatchError if no canary request succeeded, and none failed for a passing reason: the rest would fail alike.

    :param reasons: of each canary request, why it failed for good; None if it succeeded or may yet
    """
    why = Counter(reason for reason in reasons.values() if reason is not None)
    if not reasons or why.total() < len(reasons):
        return
    most_common = "; ".join(f"{reason} ({count:,})" for reason, count in why.most_common(3))
    again = (
        f" If the reason lay outside of the pipeline's folder, clear the `plan` of pass {pass_name} with downstream: it"
        " asks again what was not billed."
    )
    raise BatchError(
        f"The canary failed: none of its {len(reasons):,} requests gave a usable answer: {most_common}."
        " Nothing else was sent. Mend the model, prompt or schema and start a new run."
        f"{again if any(reason.startswith('errored') for reason in why) else ''}"
        " limits.canary_rows: 0 sends without a canary."
    )


def check_only_rejects(others: int, *, requests: int) -> None:
    """
    Raises ParamError if a run that asks only for the rejects would have to ask for other rows too.

    :param others: how many requests have no answer and stand for no rejected row
    :param requests: the run's distinct requests
    """
    if others:
        raise ParamError(
            f"This run asks only for the rejects (its param `only_rejects`), and {others:,} of the partition's"
            f" {requests:,} requests have no answer and are no rejects: the source, a prompt, the schema or the model"
            " has changed since the rows were rejected, or another run is asking for them just now. Nothing was sent,"
            " and what is published stays as it is. Start a plain run: it asks for them too."
        )
