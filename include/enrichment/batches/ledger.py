"""What the ledger knows of a chunk, and which change may follow which. Storing it is the work of gateways/ledger.py."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from include.enrichment.errors import BatchError
from include.enrichment.storage.version import Versioned

State = Literal["planned", "submitting", "unclear", "submitted", "landed", "withdrawn"]
_FOLLOWS: dict[State, tuple[State, ...]] = {
    "planned": ("submitting", "submitted", "withdrawn"),
    "submitting": ("submitted", "planned", "unclear", "submitting"),
    "unclear": ("submitted", "submitting", "planned"),
    "submitted": ("landed",),
    "landed": ("landed",),
    "withdrawn": ("submitted",),
}
#: In these a batch may exist that nobody has recorded yet.
UNSETTLED: tuple[State, ...] = ("submitting", "unclear")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fence(_Frozen):
    """
    What the workspace looked like before a create: a batch of ours can only be newer.

    :param newest_batch: the newest batch then, None if there was none
    :param at: when that was, UTC
    """

    newest_batch: str | None
    at: datetime


class OpenChunk(_Frozen):
    """
    A chunk that was planned and has not landed. Only a run that planned it may send it.

    :param folder: the working folder of the run that planned it last: one for each run and partition;
        layout.warm_ups() for what warms the prompt cache, which is no run's
    :param also_planned_by: the folders of the other runs that planned the very same chunk
    :param planned_at: by the last of them, UTC
    :param expected_usd: the high estimate of its cost: from when it is sent until its batch is in the books, budgets
        count it as spent. None where the price is not known
    """

    folder: str
    also_planned_by: list[str] = Field(default_factory=list)
    planned_at: datetime
    expected_usd: Decimal | None = None

    @property
    def planned_by(self) -> list[str]:
        """The folders of all runs that planned it."""
        return [self.folder, *self.also_planned_by]


class Entry(Versioned):
    """
    The ledger entry of one chunk.

    ``submitting`` is written before the paid call, with the fence, and ``submitted`` after it. An entry that stays
    ``submitting`` tells of a process that died within the call; ``unclear`` tells that the call has ended and its
    answer was lost. Either is settled by what the API lists and by nothing else. ``planned`` follows only where the
    API has surely made nothing. A plan that takes over requests of a chunk that was never sent makes it ``withdrawn``:
    it is never sent after that, and what nobody took over goes on as the chunk ``remainder``.

    :param chunk: the lake key of the chunk
    :param run_id: the run that sent it, or is about to; of a withdrawn chunk the run that took it over
    :param run_ids: every run that waits for its batch, or did
    :param partition: whose rows that run asks about; None where no run has planned it, or an earlier version wrote it
    :param changed_at: when the entry took its state, UTC
    :param refusals: creates in a row that made nothing
    :param refused_since: when the first of them ended, UTC
    :param was_open: of a withdrawn chunk what stood among the open ones
    :param remainder: the id of the chunk that holds what was left of a withdrawn one
    :param strangers: batches that an unclear create may have made by all that a list tells, and that hold none of the
        chunk's requests
    """

    chunk_id: str
    pipeline: str
    chunk: str
    requests: int
    run_id: str
    run_ids: list[str] = Field(default_factory=list)
    partition: str | None = None
    state: State
    changed_at: datetime
    batch_id: str | None = None
    fence: Fence | None = None
    refusals: int = 0
    refused_since: datetime | None = None
    was_open: OpenChunk | None = None
    remainder: str | None = None
    strangers: list[str] = Field(default_factory=list)

    @classmethod
    def planned(cls, *, chunk_id: str, pipeline: str, chunk: str, requests: int, run_id: str, at: datetime) -> Self:
        """The first entry of a chunk of which nothing was sent."""
        return cls(
            chunk_id=chunk_id,
            pipeline=pipeline,
            chunk=chunk,
            requests=requests,
            run_id=run_id,
            state="planned",
            changed_at=at,
        )

    def becomes(self, state: State, *, at: datetime, **changes: Any) -> Self:
        """
        The entry after a change of state.

        Raises BatchError if ``state`` cannot follow the present one, would have a batch and has none, or would change
        the batch.

        :param changes: of other fields
        """
        batch_id = changes.get("batch_id", self.batch_id)
        if (
            state not in _FOLLOWS[self.state]
            or (state in ("submitted", "landed")) != bool(batch_id)
            or (self.batch_id and batch_id != self.batch_id)
        ):
            raise BatchError(
                f"Chunk {self.chunk_id} is {self.state} in the ledger and cannot become {state}. Nothing was changed.",
                batch_ids=[known for known in dict.fromkeys([self.batch_id, batch_id]) if known],
            )
        return type(self).model_validate({**dict(self), "state": state, "changed_at": at, **changes})

    def held_by(self, run_id: str) -> Self:
        """The entry with that run among those that wait for the batch."""
        return self.model_copy(update={"run_ids": [*self.run_ids, run_id]})

    def goes_on_as(self, remainder: str) -> Self:
        """The withdrawn entry with the id of the chunk that holds what was left of it."""
        return self.model_copy(update={"remainder": remainder})

    def knowing(self, strangers: Iterable[str]) -> Self:
        """The entry with those batches among the strangers'."""
        return self.model_copy(update={"strangers": [*self.strangers, *strangers]})


class OpenChunks(Versioned):
    """
    The open chunks of a pipeline, by chunk id. Those that were not withdrawn hold disjoint requests: whoever plans
    changes this one object by compare-and-swap, so of two plans made at the same moment the second sees the first.
    """

    chunks: dict[str, OpenChunk] = Field(default_factory=dict)
