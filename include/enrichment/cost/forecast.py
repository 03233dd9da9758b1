"""What a run would send: the outcome of a dry run."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from include.enrichment.cost.estimate import Estimate, cost_table
from include.enrichment.storage.version import Versioned


class PassForecast(BaseModel):
    """
    What one pass would do.

    :param in_flight: requests in batches that were planned before, which it would wait for
    :param to_send: requests that it would send, in so many ``bytes`` and new ``batches``
    :param estimate: what these will cost; None in what an earlier version has told
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    in_flight: int
    to_send: int
    bytes: int
    batches: int
    estimate: Estimate | None = None


class DryRun(Versioned):
    """
    What the passes of a run would send if they ran now.

    Of a retry pass it is what earlier runs have left to repair. What it asks again of this run's own passes, nobody can
    tell before.

    :param rows: rows read, each counted once for each sample
    :param unsendable: those of them that give no request that can be sent
    :param requests: distinct requests; fewer than rows where rows are alike
    :param answered: those of them that were answered and paid for already
    :param over_budget: why the run would stop before it has sent all of it; None if no budget is passed
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
        """All of it in lines for people."""
        estimates = {name: one.estimate for name, one in self.passes.items() if one.estimate}
        counts = {
            "in flight": {name: one.in_flight for name, one in self.passes.items()},
            "batches": {name: one.batches for name, one in self.passes.items()},
        }
        return "\n".join(
            [
                f"{self.rows:,} rows of {self.partition}, {self.unsendable:,} of them cannot be sent.",
                f"{self.requests:,} distinct requests to {self.model}, {self.answered:,} of them are answered already.",
                "What each pass would send:",
                cost_table(estimates, counts),
                *([self.over_budget] if self.over_budget else []),
            ]
        )
