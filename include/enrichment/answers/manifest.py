"""The manifest of a published partition: written last, so that whoever finds it finds the rest."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer, model_validator

from include.enrichment.cost.estimate import Estimate, expected_usd
from include.enrichment.cost.prices import format_decimal
from include.enrichment.storage.version import Versioned

#: JSON has no exact number for it, so it stands there as text.
_Usd = Annotated[Decimal, PlainSerializer(format_decimal, when_used="json-unless-none")]


class Manifest(Versioned):
    """
    What one partition holds and where it came from.

    Raises ValueError if the counts do not reconcile: every row is published or rejected, once.

    :param trial: of how many rows this is a trial, which has replaced nothing; None: it is the whole partition
    :param requests: distinct requests; fewer than rows where rows are alike
    :param rejected_by: rejected rows by outcome
    :param batches: the batches that hold the answers
    :param reused: those of them that an earlier run had submitted: this run sent nothing for them, and paid nothing
    :param cost_usd: what the batches cost that this run sent, by the books; None where that is not known, and in a
        manifest of an earlier version. Batches of an extract that was made anew since are not among them
    :param partition_cost_usd: the sum of ``_cost_usd`` over table and rejects: what the answers to these rows cost, in
        whichever run of the partition; None as above
    :param estimates: by pass, what was told before it was sent; empty in a manifest of an earlier version
    :param columns: the published columns, by name, as Arrow types
    :param sha256: of the table's and of the rejects' object, by the names of those two fields; empty in a manifest of
        an earlier version
    """

    pipeline: str
    partition: str
    run_id: str
    trial: int | None = None
    extracted_at: datetime
    published_at: datetime
    rows: int
    requests: int
    published: int
    rejected: int
    rejected_by: dict[str, int]
    batches: list[str]
    reused: list[str]
    cost_usd: _Usd | None = None
    partition_cost_usd: _Usd | None = None
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    model: str
    columns: dict[str, str]
    table: str
    rejects: str
    sha256: dict[str, str] = Field(default_factory=dict)

    @property
    def expected_usd(self) -> Decimal | None:
        """What its passes were expected to cost before they were sent; None where a price is not known."""
        return expected_usd(self.estimates.values())

    @property
    def simulated(self) -> bool:
        """Whether the emulator gave any of the answers: it says so in the ids of its batches."""
        return any("simulated" in batch_id for batch_id in self.batches)

    @model_validator(mode="after")
    def _reconcile(self) -> Manifest:
        if self.rows != self.published + self.rejected or self.rejected != sum(self.rejected_by.values()):
            raise ValueError(
                f"{self.rows:,} rows, but {self.published:,} published and {self.rejected:,} rejected"
                f" ({self.rejected_by})"
            )
        return self
