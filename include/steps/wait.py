"""wait: what a batch that has not ended holds and costs, and which runs wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from pydantic import ValidationError

from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.pass_plan import PassPlan
from include.enrichment.cost.prices import format_usd
from include.enrichment.runs.partition import Partition
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.storage.version import parse
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger


def batch_contents(chunk_key: str, *, lake: Lake) -> tuple[int, Decimal | None] | None:
    """
    Return the number of requests in the chunk's batch and their share of the pass's expected cost. None for a chunk
    that the ledger does not know; the cost is None if no plan has it.
    """
    ledger = Ledger(lake, pipeline=layout.pipeline_of(chunk_key))
    (entry,) = ledger.latest([layout.chunk_id_of(chunk_key)])
    if entry is None:
        return None
    try:
        return entry.requests, _expected_usd(chunk_key, entry, lake)
    except ValidationError:  # an unreadable plan, which the next step that needs it reports
        return entry.requests, None


def describe_wait(batch_id: str, held: tuple[int, Decimal | None] | None) -> str:
    """
    Describe the wait for a batch: what it holds and how long it takes.

    :param held: what batch_contents() returns
    """
    requests, expected_usd = held or (None, None)
    facts = [] if requests is None else [f"{requests:,} {'request' if requests == 1 else 'requests'}"]
    facts += [] if expected_usd is None else [f"expected to cost {format_usd(expected_usd)}"]
    return (
        f"Waiting for batch {batch_id}{': ' if facts else ''}{', '.join(facts)}.\nMost batches end within an hour; the"
        " API's limit is 24 hours. No worker is held."
    )


def find_holders(chunk_key: str, batch_id: str, *, lake: Lake) -> list[str]:
    """Return the runs that need the chunk's batch; none if the ledger does not list the batch."""
    ledger = Ledger(lake, pipeline=layout.pipeline_of(chunk_key))
    (entry,) = ledger.latest([layout.chunk_id_of(chunk_key)])
    return entry.run_ids if entry and entry.batch_id == batch_id else []


def describe_switch(batch_id: str, switch_at: datetime) -> str:
    """Describe the cancel of a batch that has not ended by its switch time."""
    return (
        f"Batch {batch_id} was canceled to keep the run's deadline: it had not ended at {switch_at:%H:%M:%S} UTC. Its"
        " finished requests are loaded as usual; the next pass asks for the others synchronously."
    )


def describe_shared(batch_id: str, holders: Sequence[str]) -> str:
    """Describe why a batch is not canceled at its switch time."""
    return (
        f"Batch {batch_id} has not ended in time for the run's deadline. It is not canceled, because other runs may"
        f" need it ({', '.join(holders) or 'the ledger does not list them'}). The wait continues, and the run may miss"
        " its deadline."
    )


def _expected_usd(chunk_key: str, entry: Entry, lake: Lake) -> Decimal | None:
    if entry.partition is None:
        return None
    partition = Partition(start=date.fromisoformat(entry.partition))
    sender = RunFolder(pipeline=entry.pipeline, partition=partition, run_id=entry.run_id)
    for key in lake.list(sender.plans):
        if key.endswith(".json"):
            plan = parse(PassPlan, lake.read(key), lake.locate(key))
            if chunk_key in plan.chunks and plan.estimate and plan.estimate.cost_usd and plan.estimate.requests:
                return plan.estimate.cost_usd.expected * entry.requests / plan.estimate.requests
    return None
