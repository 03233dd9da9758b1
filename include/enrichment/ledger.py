"""What the ledger knows of a chunk, and which change may follow which. Storing it is the work of gateways/ledger.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from include.enrichment.errors import BatchError

State = Literal["planned", "submitting", "submitted", "landed"]
_FOLLOWS: dict[State, tuple[State, ...]] = {
    "planned": ("submitting",),
    "submitting": ("submitted", "planned"),
    "submitted": ("landed",),
    "landed": ("landed",),
}


class Entry(BaseModel):
    """
    The ledger entry of one chunk.

    ``submitting`` is written before the paid call and ``submitted`` after it: an entry that stays ``submitting`` tells
    that a call may have been made whose answer nobody has. It goes back to ``planned`` only when the API has surely
    made nothing.

    :param chunk: the lake key of the chunk that was sent
    :param run_id: the run that sent it
    :param changed_at: when the entry took its state, UTC
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    chunk_id: str
    pipeline: str
    chunk: str
    requests: int
    run_id: str
    state: State
    changed_at: datetime
    batch_id: str | None = None

    def becomes(self, state: State, *, at: datetime, batch_id: str | None = None, run_id: str | None = None) -> Self:
        """
        The entry after a change of state.

        Raises BatchError if ``state`` cannot follow the present one, or would have a batch and has none.

        :param run_id: the run that changes it, where it is another one
        """
        batch_id = batch_id or self.batch_id
        if state not in _FOLLOWS[self.state] or (state in ("submitted", "landed") and not batch_id):
            raise BatchError(
                f"Chunk {self.chunk_id} is {self.state} in the ledger and cannot become {state}. Nothing was changed.",
                batch_ids=[self.batch_id] if self.batch_id else (),
            )
        changes = {"state": state, "changed_at": at, "batch_id": batch_id, "run_id": run_id or self.run_id}
        return self.model_copy(update=changes)
