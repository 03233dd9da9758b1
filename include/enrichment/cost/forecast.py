"""The result of a dry run: what each pass would send, and the cost."""

from __future__ import annotations

from datetime import datetime

from include.enrichment.cost.bounds import Frozen
from include.enrichment.cost.cost_table import cost_table
from include.enrichment.cost.estimate import Estimate
from include.enrichment.storage.version import Versioned


class PassForecast(Frozen):
    """
    What one pass would do.

    :param in_flight: requests in batches of earlier plans that it would wait for
    :param to_send: requests that it would send, with their ``bytes`` and new ``batches``
    :param estimate: their cost; None in a dry run of an earlier version
    """

    in_flight: int
    to_send: int
    bytes: int
    batches: int
    estimate: Estimate | None = None


class DryRun(Versioned):
    """
    What the passes of a run would send if they ran now.

    The retry pass covers only the repairs that earlier runs have left. The retries of this run's own passes are not
    known yet.

    :param rows: rows read, each counted once per sample
    :param unsendable: rows whose request cannot be sent
    :param requests: distinct requests; fewer than rows if rows are alike
    :param answered: requests that are already answered and paid for
    :param over_budget: why a budget would stop the run; None if all budgets suffice
    """

    pipeline: str
    partition: str
    run_id: str
    extracted_at: datetime
    model: str
    rows: int
    unsendable: int
    requests: int
    answered: int
    passes: dict[str, PassForecast]
    over_budget: str | None = None

    def table(self) -> str:
        """Return the forecast as text for people."""
        estimates = {name: one.estimate for name, one in self.passes.items() if one.estimate}
        counts = {
            "in flight": {name: one.in_flight for name, one in self.passes.items()},
            "batches": {name: one.batches for name, one in self.passes.items()},
        }
        return "\n".join(
            [
                f"{self.rows:,} rows of {self.partition}; {self.unsendable:,} cannot be sent.",
                f"{self.requests:,} distinct requests to {self.model}; {self.answered:,} are already answered.",
                "Each pass would send:",
                cost_table(estimates, counts),
                *([self.over_budget] if self.over_budget else []),
            ]
        )
