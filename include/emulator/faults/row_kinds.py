"""The kinds of faults that strike rows of a batch, and synchronous messages."""

from __future__ import annotations

import mmap
from typing import Annotated, Literal

import msgspec

from include.emulator import draws
from include.emulator.faults.fault import BatchFault, Share, kind_of

LineErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
]


class RowFault(BatchFault, frozen=True):
    """
    Strikes some requests of its batch.

    A row is struck if it meets all given conditions: ``custom_ids`` lists it, its params contain the text ``match``,
    and its seeded draw is below ``share``. With ``match``, only a batch that contains the text is a chance. Each
    synchronous message that meets the conditions is a chance, too; it has no custom_id.
    """

    share: Share = 1.0
    custom_ids: frozenset[str] | None = None
    match: str | None = None

    def concerns(self, body: mmap.mmap) -> bool:
        return self.match is None or body.find(self.match.encode()) >= 0

    def strikes(self, seed: int, custom_id: str, params: bytes | memoryview) -> bool:
        """Return whether this row is struck; deterministic."""
        if self.custom_ids is not None and custom_id not in self.custom_ids:
            return False
        if self.match is not None and self.match.encode() not in bytes(params):
            return False
        return self.share >= 1 or draws.fraction(seed, kind_of(type(self).__name__), custom_id) < self.share


class Errored(RowFault, frozen=True):
    """The row ends as ``errored`` while running."""

    error_type: LineErrorType = "api_error"
    message: str = "Simulated internal error."


class CouldNotProcess(RowFault, frozen=True):
    """The first ``attempts`` times that the row is sent, a PDF or an image in it cannot be processed."""

    attempts: Annotated[int, msgspec.Meta(ge=1)] = 1


class Expired(RowFault, frozen=True):
    """The row ends as ``expired``."""


class Canceled(RowFault, frozen=True):
    """The row ends as ``canceled``."""


class Refusal(RowFault, frozen=True):
    """The row succeeds with ``stop_reason: refusal``."""

    category: Literal["cyber", "bio", "frontier_llm", "reasoning_extraction", "general_harms"] | None = "general_harms"


class Truncated(RowFault, frozen=True):
    """The row succeeds with half its text, ``stop_reason: max_tokens`` and ``max_tokens`` billed."""


class InvalidJson(RowFault, frozen=True):
    """The row succeeds with a text that is not JSON."""


class ViolatesSchema(RowFault, frozen=True):
    """The row succeeds with JSON that does not fit its schema."""


class WrongCaseEnum(RowFault, frozen=True):
    """The row succeeds with its enum and const strings in the wrong case."""


class Blank(RowFault, frozen=True):
    """The row succeeds with a text of nothing but whitespace."""


class WrongLanguage(RowFault, frozen=True):
    """The row succeeds with texts in another language than the one that they should have."""


class LostPlaceholder(RowFault, frozen=True):
    """The row succeeds with texts that lack one placeholder, or have another in its place."""


class TooLong(RowFault, frozen=True):
    """The row succeeds with texts that are longer than they may be."""


class DuplicateText(RowFault, frozen=True):
    """The row succeeds with the same texts as all rows of its language that are struck."""


class InventedNumber(RowFault, frozen=True):
    """The row succeeds with texts that have a number which stands nowhere in the request."""


class WrongPage(RowFault, frozen=True):
    """The row succeeds with evidence that names other pages than those of its quotes."""


class ParaphrasedQuote(RowFault, frozen=True):
    """The row succeeds with evidence that says in other words what stands in the document."""


class InventedQuote(RowFault, frozen=True):
    """The row succeeds with evidence that quotes what stands nowhere in the document."""


class Runaway(RowFault, frozen=True):
    """The answer calls the first of the request's tools, with the same input, whatever the results so far."""


class PauseTurn(RowFault, frozen=True):
    """The answer stops with ``stop_reason: pause_turn``; sent back at the end of the messages, it is continued."""


class ForbiddenText(RowFault, frozen=True, kw_only=True):
    """The row succeeds with texts that contain ``text``."""

    text: Annotated[str, msgspec.Meta(min_length=1)]
