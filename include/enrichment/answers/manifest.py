"""The manifest of a published partition. It is written last, so if it exists, all other objects do."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field, PlainSerializer, model_validator

from include.enrichment.answers.table import ESCALATED
from include.enrichment.cost.estimate import Estimate, expected_usd
from include.enrichment.cost.prices import format_decimal
from include.enrichment.runs.deadline import format_duration
from include.enrichment.storage.version import Versioned

#: Written as text, because JSON numbers are not exact.
_Usd = Annotated[Decimal, PlainSerializer(format_decimal, when_used="json-unless-none")]


class Manifest(Versioned):
    """
    The content of one partition and its origin.

    :param trial: the number of rows of a trial, which replaces nothing; None for the whole partition
    :param deadline: when the run should have been published; None for a run without a deadline
    :param source_rows: rows of the source; None in a manifest of an earlier version
    :param source_sha256: of the published table that the rows are from; None for any other source, and in a manifest of
        an earlier version
    :param requests: distinct requests; fewer than rows if rows are alike
    :param not_kept: rows that another candidate for the same published row was preferred to; 0 without ``keep``
    :param escalated: published rows whose answer is that of the dearer model; 0 without ``request.escalate``
    :param rejected_by: rejected rows by outcome
    :param failed_checks: rows, rejected or not kept, by the check that they failed; a row may fail several
    :param warned_checks: published rows by the check that warns of them
    :param batches: the batches that hold the answers
    :param reused: the batches of earlier runs among them: this run sent and paid nothing for these
    :param sent: the requests in the batches that this run sent; None in a manifest of an earlier version
    :param cost_usd: the recorded cost of the batches that this run sent for this extract; None if unknown, and in a
        manifest of an earlier version
    :param synchronous_cost_usd: the part of it for synchronous requests; None as above
    :param partition_cost_usd: the sum of ``_cost_usd`` over table, rejects and samples: the cost of the answers to
        these rows, in all runs of the partition; None as above
    :param estimates: the cost estimate of each pass; empty in a manifest of an earlier version
    :param columns: the Arrow types of the published columns, by name
    :param samples: the address of the rows that were not kept, or of the other answers to rows that were escalated;
        None without both
    :param sha256: hashes of the objects ``table``, ``rejects`` and ``samples``; empty in a manifest of an earlier
        version

    Raises ValueError if the counts do not reconcile: every row is published, rejected or not kept, exactly once.
    """

    pipeline: str
    partition: str
    run_id: str
    trial: int | None = None
    extracted_at: datetime
    published_at: datetime
    deadline: datetime | None = None
    rows: int
    source_rows: int | None = None
    source_sha256: str | None = None
    requests: int
    published: int
    rejected: int
    not_kept: int = 0
    escalated: int = 0
    rejected_by: dict[str, int]
    failed_checks: dict[str, int] = Field(default_factory=dict)
    warned_checks: dict[str, int] = Field(default_factory=dict)
    batches: list[str]
    reused: list[str]
    sent: int | None = None
    cost_usd: _Usd | None = None
    synchronous_cost_usd: _Usd | None = None
    partition_cost_usd: _Usd | None = None
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    model: str
    columns: dict[str, str]
    table: str
    rejects: str
    samples: str | None = None
    sha256: dict[str, str] = Field(default_factory=dict)

    @property
    def keeps_best(self) -> bool:
        """Whether only the best of several candidates was published for a row."""
        return self.samples is not None and ESCALATED not in self.columns

    @property
    def rows_read(self) -> str:
        """How many rows were read, and how many became of them, for people."""
        if self.source_rows in (None, self.rows):
            return f"{self.rows:,} rows read"
        return f"{self.source_rows:,} rows read ({self.rows:,} with for_each, variants, samples and parts)"

    @property
    def expected_usd(self) -> Decimal | None:
        """The expected cost of its passes before they were sent; None if a price is unknown."""
        return expected_usd(self.estimates.values())

    @property
    def deadline_kept(self) -> str:
        """Whether the run kept its deadline, and by how much; empty for a run without one."""
        if self.deadline is None:
            return ""
        early = self.deadline - self.published_at
        if early < timedelta():
            return f"missed by {format_duration(-early)}"
        return f"kept, {format_duration(early)} ahead"

    @property
    def simulated(self) -> bool:
        """Whether the emulator gave any of the answers. It marks the ids of its batches."""
        return any("simulated" in batch_id for batch_id in self.batches)

    @model_validator(mode="after")
    def _reconcile(self) -> Manifest:
        counted = self.published + self.rejected + self.not_kept
        if self.rows != counted or self.rejected != sum(self.rejected_by.values()):
            raise ValueError(
                f"{self.rows:,} rows, but {self.published:,} published, {self.rejected:,} rejected"
                f" ({self.rejected_by}) and {self.not_kept:,} not kept"
            )
        return self
