"""The ledger entry of a chunk and its changes of state. gateways/ledger_store.py stores it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from include.enrichment.errors import BatchError
from include.enrichment.storage.version import Versioned

State = Literal["planned", "submitting", "unclear", "submitted", "asking", "landed", "withdrawn"]
_FOLLOWS: dict[State, tuple[State, ...]] = {
    "planned": ("submitting", "submitted", "asking", "withdrawn"),
    "submitting": ("submitted", "planned", "unclear", "submitting"),
    "unclear": ("submitted", "submitting", "planned"),
    "submitted": ("landed",),
    "asking": ("asking", "planned", "landed"),
    "landed": ("landed",),
    "withdrawn": ("submitted",),
}
#: What a chunk that goes back to ``planned`` no longer has.
_NOT_ASKED: dict[str, Any] = {"batch_id": None, "asked_since": None, "asked_until": None}
#: In these states a batch may exist that is not recorded yet.
UNSETTLED: tuple[State, ...] = ("submitting", "unclear")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fence(_Frozen):
    """
    The newest batch of the workspace before a create: the batch of that create can only be newer.

    :param newest_batch: None if there was none
    :param at: UTC
    """

    newest_batch: str | None
    at: datetime


class OpenChunk(_Frozen):
    """
    A chunk that was planned and has not landed. Only a run that planned it may send it.

    :param folder: the working folder of the run that planned it last: one per run and partition. For warm-ups,
        which belong to no run, layout.warm_ups()
    :param also_planned_by: the folders of the other runs that planned the same chunk
    :param planned_at: when the last of them did, UTC
    :param expected_usd: the high estimate of its cost. Budgets count it from the create until the batch has a usage
        record. None if the price is unknown
    """

    folder: str
    also_planned_by: list[str] = Field(default_factory=list)
    planned_at: datetime
    expected_usd: Decimal | None = None

    @property
    def planned_by(self) -> list[str]:
        """The folders of all runs that planned the chunk."""
        return [self.folder, *self.also_planned_by]


class Entry(Versioned):
    """
    The ledger entry of one chunk.

    ``submitting`` is written before the paid call, with the fence, and ``submitted`` after it. An entry stays
    ``submitting`` if the process died during the call, and becomes ``unclear`` if the call ended and its response was
    lost. Only the API's list of batches settles these two. ``planned`` follows only if the API certainly made no batch.

    A synchronous chunk is ``asking`` from before its first call until its answers are loaded. Its batch id is
    layout.asked_id(). One process alone asks it, which renews its lease; if it does not, another one may go on.
    ``planned`` follows only if nothing was asked.

    A plan that takes over requests of an unsent chunk makes that chunk ``withdrawn``. It is never sent after that, and
    its other requests continue as the chunk ``remainder``.

    :param chunk: the lake key of the chunk
    :param run_id: the run that sent it or is about to; for a withdrawn chunk, the run that took it over
    :param run_ids: every run that waits or waited for its batch
    :param partition: of that run; None if no run has planned it, or in an entry of an earlier version
    :param changed_at: when the entry took its state, UTC
    :param refusals: consecutive creates that made no batch
    :param refused_since: when the first of them ended, UTC
    :param was_open: the open chunk before it was withdrawn
    :param remainder: the id of the chunk that holds the rest of a withdrawn one
    :param asked_since: when the first synchronous call of the chunk was about to be made, UTC
    :param asked_until: the end of the lease of the process that asks it, UTC; None: no process does
    :param strangers: batches that match an unclear create in the list, but hold none of the chunk's requests
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
    asked_since: datetime | None = None
    asked_until: datetime | None = None
    strangers: list[str] = Field(default_factory=list)

    @classmethod
    def planned(cls, *, chunk_id: str, pipeline: str, chunk: str, requests: int, run_id: str, at: datetime) -> Self:
        """Return the first entry of a chunk that was not sent."""
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
        Return the entry after a change of state.

        :param changes: of other fields

        Raises BatchError if ``state`` cannot follow the current one, if it needs a batch and has none, or if the batch
        would change.
        """
        if state == "planned":
            changes = _NOT_ASKED | changes
        batch_id = changes.get("batch_id", self.batch_id)
        if (
            state not in _FOLLOWS[self.state]
            or (state in ("submitted", "asking", "landed")) != bool(batch_id)
            or (self.batch_id and batch_id and batch_id != self.batch_id)
        ):
            raise BatchError(
                f"Chunk {self.chunk_id} is {self.state} in the ledger and cannot become {state}. Nothing was changed.",
                batch_ids=[known for known in dict.fromkeys([self.batch_id, batch_id]) if known],
            )
        return type(self).model_validate({**dict(self), "state": state, "changed_at": at, **changes})

    def with_run(self, run_id: str) -> Self:
        """Return the entry with one more run that waits for the batch."""
        return self.model_copy(update={"run_ids": [*self.run_ids, run_id]})

    def with_remainder(self, remainder: str) -> Self:
        """Return the withdrawn entry with the id of the chunk that holds the rest of its requests."""
        return self.model_copy(update={"remainder": remainder})

    def with_strangers(self, strangers: Iterable[str]) -> Self:
        """Return the entry with more batches that are known to be strangers'."""
        return self.model_copy(update={"strangers": [*self.strangers, *strangers]})


class OpenChunks(Versioned):
    """
    The open chunks of a pipeline, by chunk id.

    The chunks that are not withdrawn hold disjoint requests: every plan changes this one object by compare-and-swap, so
    of two simultaneous plans the second sees the first.
    """

    chunks: dict[str, OpenChunk] = Field(default_factory=dict)
