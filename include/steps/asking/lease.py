"""The lease on a chunk that this process asks: taken, renewed and given back by compare-and-swap."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime

from include.enrichment.batches.ledger import Entry
from include.enrichment.errors import LakeError, NotYet
from include.enrichment.synchronous import lease
from include.gateways.lake import Conflict
from include.gateways.ledger_store import Ledger, Recorded
from include.steps.files.chunk_files import Chunk
from include.steps.submitting.claim import write_over

log = logging.getLogger(__name__)


class Lease:
    """
    The lease on a chunk.

    :param recorded: the chunk's entry as this process has written it
    """

    def __init__(self, recorded: Recorded[Entry], ledger: Ledger) -> None:
        self.recorded = recorded
        self._ledger = ledger

    def check(self) -> None:
        """Raise NotYet if the lease has run out, for example because this machine was suspended."""
        if not lease.is_held(self.recorded.value, now=datetime.now(UTC)):
            raise self._lost("has not been renewed in time")

    def renew(self) -> None:
        """
        Renew the lease. A store that fails for now is tried again at the next renewal.

        Raises NotYet if another process has the chunk now, or if the lease has run out.
        """
        try:
            self.confirm()
        except LakeError as error:
            log.warning("The lease on chunk %s is not renewed yet: %s", self.recorded.value.chunk_id, error)
            self.check()

    def confirm(self) -> None:
        """Renew the lease now. Raises NotYet if another process has the chunk or has loaded it, else LakeError."""
        now = datetime.now(UTC)
        entry = self.recorded.value.becomes("asking", at=now, asked_until=now + lease.LEASE)
        try:
            self.recorded = self._ledger.write(entry, over=self.recorded)
        except Conflict as error:
            raise self._lost("was taken over") from error

    def give_back(self) -> None:
        """Let any process ask the chunk at once. If that fails, it may once the lease has run out."""
        entry = self.recorded.value.becomes("asking", at=datetime.now(UTC), asked_until=None)
        with suppress(LakeError):
            self.recorded = self._ledger.write(entry, over=self.recorded)

    def _lost(self, why: str) -> NotYet:
        entry = self.recorded.value
        return NotYet(
            f"The lease on chunk {entry.chunk_id} {why}: this process asks nothing more of it. Another one may be"
            " asking the requests that were open, which are then paid for twice.",
            again_at=datetime.now(UTC) + lease.LEASE,
        )


def take_lease(chunk: Chunk, known: Recorded[Entry] | None, ledger: Ledger, *, run_id: str, batch_id: str) -> Lease:
    """
    Record that this process asks the chunk.

    :param batch_id: what its answers have in place of a batch's id, see layout.asked_id()
    :param known: the chunk's entry as it was read; if it is ``asking``, nobody holds its lease

    Raises NotYet if another process has changed the entry since.
    """
    now = datetime.now(UTC)
    entry = known.value if known else None
    if entry is None:
        entry = Entry.planned(
            chunk_id=chunk.chunk_id,
            pipeline=chunk.pipeline,
            chunk=chunk.key,
            requests=len(chunk.request_ids),
            run_id=run_id,
            at=now,
        )
    asked = entry.becomes(
        "asking",
        at=now,
        # The run that asks first pays.
        run_id=run_id if entry.asked_since is None else entry.run_id,
        run_ids=entry.run_ids if run_id in entry.run_ids else [*entry.run_ids, run_id],
        partition=entry.partition or chunk.partition,
        batch_id=entry.batch_id or batch_id,
        asked_since=entry.asked_since or now,
        asked_until=now + lease.LEASE,
    )
    return Lease(write_over(known, asked, ledger), ledger)
