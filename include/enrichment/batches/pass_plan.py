"""Decides what a pass sends: the wanted requests that are neither answered nor in flight. steps/plan.py acts on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import Field

from include.enrichment.answers.reject_messages import (
    CLEAR_EXTRACT,
    Reasons,
    failed_checks,
    loosen_checks,
)
from include.enrichment.batches.ledger import Entry, OpenChunk
from include.enrichment.cost.estimate import Estimate
from include.enrichment.errors import BatchError, ParamError, SpecError
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.storage.version import Versioned

#: After this time, a chunk that was never sent is closed: its run has given up.
_FORGOTTEN = timedelta(days=7)
#: The API keeps results for 29 days.
_ARCHIVED = timedelta(days=30)


class PassPlan(Versioned):
    """
    The plan of one pass of a run.

    :param chunks: the lake keys of the chunks that the pass waits for: those already in flight, then its own
    :param synchronous: those of ``chunks`` that are asked synchronously
    :param batches: the batches in the result store that hold answers to the run's requests
    :param requests: the run's distinct requests
    :param to_send: how many of them this pass sends
    :param left_out: how many more a retry pass would have sent within a larger budget
    :param in_flight: how many are in batches of earlier plans
    :param estimate: the cost of the requests to send; None in a plan of an earlier version
    :param switch_at: when the waits cancel their batches for the run's deadline; None: never
    :param extracted_at: identifies the extract. A plan for an earlier extract of the run is void
    """

    chunks: list[str]
    synchronous: list[str] = Field(default_factory=list)
    batches: list[str]
    requests: int
    to_send: int
    in_flight: int
    left_out: int = 0
    switch_at: datetime | None = None
    extracted_at: datetime
    estimate: Estimate | None = None


def describe_plan(pass_name: str, made: PassPlan, *, joined: int) -> str:
    """
    Return what a pass does, in one sentence.

    :param joined: the number of chunks that hold the requests in flight, the first of the plan's
    """
    waited_for, own = made.chunks[:joined], made.chunks[joined:]
    facts: list[str] = []
    if made.to_send and own[0] in made.synchronous:
        facts.append(f"asking {made.to_send:,} synchronously")
    elif made.to_send:
        facts.append(f"sending {made.to_send:,} in {count_batches(len(own))}")
    if made.in_flight:
        asked = len(set(waited_for) & set(made.synchronous))
        where = [count_batches(joined - asked)] if joined > asked else []
        where += ["synchronous requests"] if asked else []
        facts.append(f"waiting for {made.in_flight:,} in flight in {' and '.join(where)}")
    return f"Pass {pass_name}: {', '.join(facts) or 'nothing to send'}. The run has {made.requests:,} requests."


def count_batches(number: int) -> str:
    """Return the number with its noun."""
    return f"{number:,} {'batch' if number == 1 else 'batches'}"


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """
    An open chunk of the pipeline, from the point of view of a plan.

    :param sent: the chunk has a batch or may have one
    :param own: only the run that plans now has planned it
    """

    chunk_id: str
    request_ids: RequestIds
    sent: bool
    own: bool


@dataclass(frozen=True, kw_only=True)
class Division:
    """
    The wanted requests, divided.

    :param to_send: requests that nobody has sent
    :param join: chunks in flight to wait for
    :param take_over: unsent chunks to withdraw, unless the plan makes the same ones
    """

    to_send: RequestIds
    join: list[str] = field(default_factory=list)
    take_over: list[str] = field(default_factory=list)


def divide(wanted: RequestIds, in_flight: Iterable[InFlight]) -> Division:
    """
    Divide the wanted requests into those in flight and those to be sent.

    The wanted requests of an unsent chunk are cut again, by the limits, options and budget of the run that plans. The
    run's own unsent chunks are taken over even if none of their requests is wanted any more, because the warehouse has
    changed. Unsent chunks of other runs that hold no wanted request are left alone.
    """
    to_send, join, take_over = wanted, list[str](), list[str]()
    for chunk in in_flight:
        needed = not chunk.request_ids.isdisjoint(wanted)
        if chunk.sent and needed:
            join.append(chunk.chunk_id)
            to_send -= chunk.request_ids
        elif not chunk.sent and (needed or chunk.own):
            take_over.append(chunk.chunk_id)
    return Division(to_send=to_send, join=join, take_over=take_over)


def check_chunks(chunks: int, *, most: int | None) -> None:
    """
    Check the number of chunks of a pass. Raises SpecError if it exceeds the map length that Airflow allows.

    :param most: None for no limit
    """
    if most is not None and chunks > most:
        raise SpecError(
            f"The pass needs {chunks:,} batches, and Airflow maps a task over at most {most:,}. Nothing was sent. Raise"
            " limits.batch_requests in pipeline.yaml and start a new run, or raise [core] max_map_length and clear this"
            " task."
        )


def is_closed(opened: OpenChunk, entry: Entry | None, loaded: Set[str], *, now: datetime) -> bool:
    """
    Return whether an open chunk can be ignored: it has landed, was withdrawn, or is too old.

    :param loaded: the batches in the result store
    """
    if entry is None:
        return now - opened.planned_at > _FORGOTTEN
    if entry.state == "planned":
        return now - entry.changed_at > _FORGOTTEN
    if entry.batch_id in loaded or entry.state in ("landed", "withdrawn"):
        return True
    # The answers to a chunk that is asked are on the lake.
    return entry.state != "asking" and now - entry.changed_at > _ARCHIVED


def check_canary(
    reasons: Mapping[str, str | None], checks: Mapping[str, int], *, pipeline: str, pass_name: str, variant: str = ""
) -> None:
    """
    Check the canary, or that of a variant. Raises BatchError if every canary request failed for good: the others would
    fail the same way.

    :param reasons: per canary request, the permanent failure; None if it succeeded or may succeed in a retry
    :param checks: the number of canary requests that failed each check
    :param variant: empty if the pipeline has no variants
    """
    permanent = [reason for reason in reasons.values() if reason is not None]
    if not reasons or len(permanent) < len(reasons):
        return
    why = Reasons()
    for reason in permanent:
        why.add(reason)
    again = (
        f"If the cause was outside the pipeline's folder, clear the `plan` of pass {pass_name} with downstream: it"
        " sends the unbilled requests again. "
    )
    left_out = "The run's param `variants` leaves a variant out. " if variant else ""
    raise BatchError(
        f"The canary{f' of variant {variant}' if variant else ''} failed: none of its {len(reasons):,} requests gave a"
        " usable answer"
        f"{f' ({failed_checks(checks)})' if checks else ''}: {'; '.join(why.most_common())}.\n"
        "Nothing else was sent, and the canary's answers are kept.\n"
        f"Fix the model, prompt or schema, then {CLEAR_EXTRACT}: the requests that change are sent and billed."
        f"{loosen_checks(pipeline) if checks else ''}\n"
        f"{again if any(reason.startswith('errored') for reason in permanent) else ''}"
        f"{left_out}limits.canary_rows: 0 runs without a canary."
    )


def check_only_rejects(others: int, *, requests: int) -> None:
    """
    Check a run with `only_rejects`. Raises ParamError if it would have to send requests for other rows too.

    :param others: requests without an answer that belong to no rejected row
    :param requests: the run's distinct requests
    """
    if others:
        raise ParamError(
            f"This run sends only the rejects (param `only_rejects`), but {others:,} of the partition's {requests:,}"
            " requests have no answer and are not rejects.\n"
            "The source, a prompt, the schema or the model has changed since the rows were rejected, or another run has"
            " these requests in flight.\n"
            "Nothing was sent, and the published table is unchanged. Start a run without `only_rejects` to send them."
        )
