"""The cost of a run: the usage records of the batches that it sent."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from decimal import Decimal

from include.enrichment.batches.poll import WINDOW
from include.enrichment.batches.usage import BatchFacts, total_usd
from include.enrichment.runs import passes
from include.enrichment.spec.cascade.escalation import request_groups
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage.layout import RunFolder
from include.gateways.usage_store import UsageStore

log = logging.getLogger(__name__)


def cost_of_run(
    known: Iterable[BatchFacts | None], folder: RunFolder, usage_store: UsageStore, *, warms: bool
) -> tuple[Decimal | None, Decimal | None]:
    """
    Return the cost of the batches and synchronous chunks that this run sent, and the part of the latter. Each is None
    if the cost of one of them is not known.

    :param known: the batches that the run reads
    :param warms: the run may also have sent warm-ups, which belong to no pass
    """
    sent = [facts for facts in known if facts and facts.run_id == folder.run_id]
    costs = {facts.batch_id: usage_store.cost_usd(facts) for facts in sent}
    if warms and sent:
        costs |= _warm_ups(sent, folder, usage_store)
    if unknown := [batch_id for batch_id, cost in costs.items() if cost is None]:
        log.warning(
            "The cost of this run is unknown, as no cost is recorded for %s. Either its model has no price in"
            " include/enrichment/cost/prices.yaml, or its `load` was interrupted and the next usage report records it",
            ", ".join(unknown),
        )
    synchronous = (costs[facts.batch_id] for facts in sent if facts.mode == "synchronous")
    return total_usd(costs.values()), total_usd(synchronous)


def _warm_ups(sent: Sequence[BatchFacts], folder: RunFolder, usage_store: UsageStore) -> dict[str, Decimal | None]:
    """The cost of each of the run's warm-ups. A warm-up is created before the batches that need it."""
    created = sorted(facts.created_at for facts in sent)
    usage_records = usage_store.read((created[0] - WINDOW).date(), created[-1].date(), pipeline=folder.pipeline)
    ours = (passes.WARM_UP, folder.run_id, str(folder.partition))
    return {
        record["batch_id"]: record["cost_usd"]
        for record in usage_records.to_pylist()
        if (record["pass_name"], record["run_id"], record["partition"]) == ours
    }


def may_warm(pipeline: Pipeline) -> bool:
    """Whether a warm-up may have been sent for any of the pipeline's requests."""
    return any(group.pipeline.cached_prefix is not None for group in request_groups(pipeline).values())
