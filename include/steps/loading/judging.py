"""
The judge of a batch's result lines. An unreadable line usually means a broken download, so the download is repeated; if
no download holds a better line, as much of it is read as possible.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from include.enrichment.answers.outcome import Outcome, decode_line, judge, outcomes_batch, unreadable
from include.enrichment.answers.schema.output import Output
from include.enrichment.answers.upper_bound import is_incomplete, with_upper_bound
from include.enrichment.batches.usage import billed_usd, sum_usd, total_usd
from include.enrichment.cost.prices import format_usd
from include.enrichment.errors import LoadError
from include.gateways.lake import Lake
from include.steps.files.chunk_files import Chunk, params_of
from include.steps.loading.decoding import Decoded

#: The tier of a synchronous request that names none (docs of service tiers, 2026-10-08).
_SYNCHRONOUS_TIER = "standard"


@dataclass(kw_only=True)
class Judge:
    """
    Judges the lines of one download.

    :param outstanding: the requests that have no line yet; the caller removes those whose outcomes it receives
    :param final: no later download will hold a better line
    """

    chunk: Chunk
    batch_id: str
    output: Output
    outstanding: Collection[str]
    lake: Lake
    final: bool
    _first_unreadable: str = ""
    _unreadable: int = 0
    _left_out: int = 0
    _bounds: int = 0
    _bounds_usd: Decimal | None = Decimal(0)

    def outcomes(self, decoded: Decoded) -> Iterator[pa.RecordBatch]:
        """
        Yield the outcomes of a part: the usable answers, then all others.

        Raises LoadError for a line that cannot be read, unless this is final. Then an unreadable line with a known
        request id becomes an outcome, and any other is left out as if it was missing. So is an unreadable line without
        a line feed: it may have been cut even in a download that seems complete.
        """
        usable, others = decoded.usable(self.output)
        yield self._with_tier(usable)
        if others:
            wanted = set(others)
            found = ((number, line) for number, line in enumerate(decoded.part) if number in wanted and line.strip())
            judged = [
                outcome for number, line in found if (outcome := self._outcome(line, decoded.part.first + number))
            ]
            yield self._with_tier(outcomes_batch(self._completed(judged)))

    def _with_tier(self, outcomes: pa.RecordBatch) -> pa.RecordBatch:
        """
        The outcomes, with the tier of a synchronous request where an answer names none: no tier has the price of a
        batch.
        """
        if not self.chunk.synchronous:
            return outcomes
        place = outcomes.schema.get_field_index("service_tier")
        tiers = pc.fill_null(outcomes["service_tier"], _SYNCHRONOUS_TIER)
        return outcomes.set_column(place, outcomes.schema.field(place), tiers)

    def _outcome(self, line: bytes, number: int) -> Outcome | None:
        try:
            return judge(decode_line(line), self.output)
        except msgspec.DecodeError as error:
            if not self.final:
                raise LoadError(
                    f"Line {number:,} of batch {self.batch_id}'s results cannot be read ({error}): the download was"
                    " cut or garbled. Nothing was loaded. The last try of this task loads the other lines.",
                    retryable=True,
                ) from error
            self._first_unreadable = self._first_unreadable or f"line {number:,}: {error}"
            self._unreadable += 1
            outcome = unreadable(line, error) if line.endswith((b"\n", b"\r")) else None
            if outcome is None or outcome.request_id not in self.outstanding:
                self._left_out += 1
                return None
            return outcome

    def _completed(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes, with an upper bound of their usage where a line does not have it."""
        incomplete = {outcome.request_id for outcome in outcomes if is_incomplete(outcome)}
        if not incomplete:
            return outcomes
        params = params_of(self.lake, self.chunk, incomplete)
        completed = [
            with_upper_bound(outcome, params[outcome.request_id]) if outcome.request_id in params else outcome
            for outcome in outcomes
        ]
        bounds = [outcome for outcome in completed if outcome.upper_bound]
        self._bounds += len(bounds)
        bounds_usd = sum_usd(billed_usd(self._with_tier(outcomes_batch(bounds))))
        self._bounds_usd = total_usd([self._bounds_usd, bounds_usd])
        return completed

    def odd(self) -> list[str]:
        """Describe the unusual lines, one sentence for each kind."""
        sentences = []
        if self._unreadable:
            sentences.append(
                f"{self._unreadable:,} of {len(self.chunk.request_ids):,} result lines cannot be read"
                f" ({self._first_unreadable}). The readable parts are kept, and their rows become rejects."
            )
        if self._left_out:
            sentences.append(f"{self._left_out:,} of them could not be matched with a request and were left out.")
        if self._bounds:
            sentences.append(
                f"The usage of {self._bounds:,} of {len(self.chunk.request_ids):,} answers cannot be read: the usage"
                f" record has the most that they can have cost ({format_usd(self._bounds_usd)} in all)."
            )
        return sentences
