"""ask: the requests of a pass's synchronous chunks are asked one by one, and their answers stored and loaded."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime

from include.enrichment.batches.ledger import Entry
from include.enrichment.batches.pass_plan import PassPlan
from include.enrichment.errors import BudgetExceeded, LakeError, NotSent, NotYet
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.storage import layout
from include.enrichment.storage.layout import RunFolder
from include.enrichment.synchronous import lease
from include.gateways.claude import Claude
from include.gateways.conditional_writes import check_conditional_writes
from include.gateways.lake import Lake
from include.gateways.ledger_store import Ledger, Recorded
from include.gateways.synchronous.answerer import Answerer
from include.steps.asking.asker import Asker
from include.steps.asking.lease import Lease, take_lease
from include.steps.asking.parts import Parts
from include.steps.asking.unanswered import open_unanswered
from include.steps.files.chunk_files import Chunk, read_chunk
from include.steps.files.extracted import read_extracted, read_pipeline
from include.steps.files.request_body import OpenBuckets
from include.steps.load import load
from include.steps.planning.budgets import check_month
from include.steps.planning.plan_files import read_plan
from include.steps.planning.remainder import write_remainder
from include.steps.submitting.claim import over_budget, release
from include.steps.submitting.uploads import upload_attachments

log = logging.getLogger(__name__)

#: What ask() counts beside the outcomes: the requests whose answer waits for a person.
WAITING = "waiting"
OpenAnswerer = Callable[[Pipeline], AbstractAsyncContextManager[Answerer]]


def planned_pass(folder: RunFolder, *, pass_name: str, lake: Lake) -> PassPlan:
    """Return the plan of the pass. Raises LakeError if the pass was not planned."""
    made = read_plan(lake, folder, pass_name, read_extracted(lake, folder).extracted_at)
    if made is None:
        raise LakeError(
            f"{lake.locate(folder.plan_json(pass_name))} is missing or belongs to an earlier extract. Nothing was"
            f" asked. Clear the `plan` of pass {pass_name} with downstream.",
            retryable=False,
        )
    return made


def ask(
    folder: RunFolder,
    *,
    pass_name: str,
    lake: Lake,
    claude: Claude,
    open_answerer: OpenAnswerer,
    open_buckets: OpenBuckets,
    stopping: threading.Event | None = None,
) -> dict[str, int]:
    """
    Ask every request of the pass's synchronous chunks that has no answer yet, and load the chunks. Return the number of
    requests for each outcome, and WAITING for those that wait for a person; their chunks are not loaded yet.

    Answers are stored as they come. A process that dies loses at most those of its open requests, of which there are at
    most ``limits.synchronous_requests``; the next one asks these again. A chunk that another run asks is waited for,
    and continued if that run has stopped.

    :param claude: uploads attachments
    :param open_answerer: opens what answers the requests of the run's pipeline
    :param open_buckets: opens the place of a chunk's attachments, see Chunk.attachments_connection
    :param stopping: set it to ask nothing more; what is open is still stored, and NotYet raised. None: nobody does

    Raises NotSent if the pass has no synchronous chunk, NotYet if the API accepts no call for a longer time or another
    process is asking a chunk: call again at the time that it names. Raises BudgetExceeded if other runs have used up
    the month's budget since the pass was planned, and SetupError if the API rejects the key or the account.
    """
    chunks = planned_pass(folder, pass_name=pass_name, lake=lake).synchronous
    if not chunks:
        raise NotSent(f"Pass {pass_name} asks nothing synchronously.")
    check_conditional_writes(lake)
    pass_ = _Pass(folder, lake, claude, open_answerer, open_buckets, stopping or threading.Event())
    return asyncio.run(pass_.ask(chunks))


class _Pass:
    """The chunks of a pass, asked one after the other by one answerer."""

    def __init__(
        self,
        folder: RunFolder,
        lake: Lake,
        claude: Claude,
        open_answerer: OpenAnswerer,
        open_buckets: OpenBuckets,
        stopping: threading.Event,
    ) -> None:
        self._folder = folder
        self._lake = lake
        self._claude = claude
        self._open_answerer = open_answerer
        self._open_buckets = open_buckets
        self._stopping = stopping
        self._pipeline = read_pipeline(lake, folder)
        self._ledger = Ledger(lake, pipeline=folder.pipeline)
        self._answerer: Answerer | None = None

    async def ask(self, chunks: list[str]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        later: list[NotYet] = []
        async with AsyncExitStack() as opened:
            for key in chunks:
                try:
                    counts.update(await self._chunk(key, opened))
                except NotSent as reason:
                    log.warning("%s", reason)
                except _Busy as busy:
                    later.append(busy)
        if later:
            raise min(later, key=lambda each: each.again_at)
        return dict(counts)

    async def _chunk(self, key: str, opened: AsyncExitStack) -> dict[str, int]:
        chunk = read_chunk(self._lake, key)
        known = self._ledger.find(chunk.chunk_id)
        match known.value.state if known else "planned":
            case "withdrawn":
                assert known
                run_id = self._folder.run_id
                left = write_remainder(chunk, known.value, run_id=run_id, ledger=self._ledger, lake=self._lake)
                return await self._chunk(left, opened)
            case "planned":
                self._check_planned(chunk)
            case "asking":
                assert known
                _check_free(known.value)
                if self._is_stored(known.value):
                    return self._load(chunk, known.value.batch_id)
            case _:
                assert known
                return self._load(chunk, known.value.batch_id)
        files = await asyncio.to_thread(
            upload_attachments,
            chunk,
            run=self._folder.prefix,
            lake=self._lake,
            claude=self._claude,
            open_buckets=self._open_buckets,
        )
        if self._answerer is None:
            self._answerer = await opened.enter_async_context(self._open_answerer(self._pipeline))
        held = self._take(chunk, known)
        waiting = await self._ask(chunk, held, self._answerer, files)
        return {WAITING: waiting} if waiting else self._load(chunk, held.recorded.value.batch_id)

    def _check_planned(self, chunk: Chunk) -> None:
        """Raise NotSent if only other runs planned the chunk: it follows their rows, their limits and budgets."""
        planned = self._ledger.open_chunks().get(chunk.chunk_id)
        if planned is None or self._folder.prefix not in planned.planned_by:
            raise NotSent(
                f"Chunk {chunk.chunk_id} ({len(chunk.request_ids):,} requests) was never asked, and this run did not"
                " plan it. The next pass of this run plans the requests that it needs."
            )

    def _take(self, chunk: Chunk, known: Recorded[Entry] | None) -> Lease:
        """Take the lease, and check the month's budget before the first request of the chunk."""
        taken_over = known is not None and known.value.state == "asking"
        simulated = not taken_over and self._claude.is_simulated()
        batch_id = layout.asked_id(chunk.chunk_id, simulated=simulated)
        held = take_lease(chunk, known, self._ledger, run_id=self._folder.run_id, batch_id=batch_id)
        if taken_over and Parts(self._lake, pipeline=chunk.pipeline, chunk_id=chunk.chunk_id).ended_at():
            return held  # some of it is paid for: it is finished
        try:
            # After the lease is taken: of two chunks that are taken at the same moment, each check finds the other.
            check_month(held.recorded.value, self._folder, self._ledger, self._lake)
        except BudgetExceeded as error:
            raise over_budget(error, chunk, held.recorded, self._ledger) from error
        except NotYet:
            release(held.recorded, self._ledger)
            raise
        return held

    def _is_stored(self, entry: Entry) -> bool:
        """Whether a load has stored all answers, and was killed before it recorded that."""
        return self._lake.exists(layout.results(entry.pipeline, entry.batch_id or ""))

    async def _ask(self, chunk: Chunk, held: Lease, answerer: Answerer, files: Mapping[str, str]) -> int:
        """Ask what has no answer yet, and return how many answers wait for a person."""
        at_once = self._pipeline.settings.limits.synchronous_requests
        parts = Parts(self._lake, pipeline=chunk.pipeline, chunk_id=chunk.chunk_id)
        asker = Asker(answerer, parts, held, at_once=at_once, stopping=self._stopping)
        try:
            # Read under the lease: whoever had it before may have stored some until then.
            unanswered = set(chunk.request_ids) - parts.request_ids()
            # Whoever loads the chunk deletes the parts, after its entry has landed: then this raises.
            held.confirm()
            log.info(
                "Chunk %s: %s of %s requests have no answer yet; asking at most %s at a time",
                chunk.chunk_id,
                f"{len(unanswered):,}",
                f"{len(chunk.request_ids):,}",
                f"{at_once:,}",
            )
            with open_unanswered(
                self._lake, chunk, unanswered, open_buckets=self._open_buckets, files=files
            ) as requests:
                await asker.ask(requests, first_alone=chunk.cached is not None)
        except BaseException:
            held.give_back()
            raise
        if asker.waiting:
            held.give_back()
        return asker.waiting

    def _load(self, chunk: Chunk, batch_id: str | None) -> dict[str, int]:
        assert batch_id
        return load(chunk.key, batch_id, lake=self._lake, claude=self._claude)


class _Busy(NotYet):
    """Another process asks the chunk. The others of the pass may go on."""


def _check_free(entry: Entry) -> None:
    """Raise _Busy while another process has the lease on the chunk."""
    if again_at := lease.free_at(entry, now=datetime.now(UTC)):
        raise _Busy(
            f"Chunk {entry.chunk_id} ({entry.requests:,} requests) is being asked by another process, which has"
            f" renewed its lease at {entry.changed_at:%H:%M:%S} UTC. If it has died, this run goes on when the lease"
            " has run out.",
            again_at=again_at,
        )
