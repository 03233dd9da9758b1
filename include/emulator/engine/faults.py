"""
What can be made to go wrong, and how it is asked for.

A fault is a JSON object ``{"kind": …}`` with three optional fields. Every time it could strike is a chance, and the
chances of one fault are counted: the first ``after`` of them (0) pass unharmed, each later one is struck with the
probability ``chance`` (1), by a draw that follows from the seed, the fault and the number of the chance; after
``times`` strikes (null: until it is cleared) the fault is spent. All of it outlives the process. The kinds differ in
when they strike:

on an HTTP call         http_error  not_found  archived  slow  reset_before_create  reset_after_create  list_lag
                        calls_per_minute  queue_limit  workspace_human_review_disabled
for a whole batch       stuck  leaky_counters  duration  unfinished           \\ noted at create, so that a restart and
for rows of a batch     errored  expired  canceled  refusal  truncated        /  a second download see the same batch
                        invalid_json  violates_schema  wrong_case_enum
on a results download   cut_results  stall_results  gzip_results  no_final_newline  missing_lines  duplicate_lines
                        foreign_lines
"""

from __future__ import annotations

import difflib
import mmap
import re
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from include.emulator import draws

BatchEndpoint = Literal["create", "retrieve", "list", "cancel", "delete", "results"]
Endpoint = BatchEndpoint | Literal["messages", "count_tokens", "models"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
ErrorStatus = Annotated[int, msgspec.Meta(ge=400, le=599)]
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


class FaultError(ValueError):
    """A fault list that cannot be understood; the message names the entry and what would be valid."""


def _kind(class_name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", class_name).lower()


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag=_kind):
    """Anything that can be asked to go wrong."""

    times: Annotated[int, msgspec.Meta(ge=1)] | None = None
    after: Count = 0
    chance: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0

    def strikes_at(self, chance_number: int, seed: int) -> bool:
        """Whether it strikes at this chance, the first being 0; the same answer each time it is asked."""
        if chance_number < self.after or self.chance >= 1:
            return chance_number >= self.after
        # Sets in order, or their order would differ between two processes, and with it the draw.
        text = msgspec.json.encode(self, order="deterministic")
        return draws.fraction(seed, "chance", text, str(chance_number)) < self.chance


class HttpError(Fault, frozen=True):
    """
    An error answer instead of the right one.

    ``created``: the batch is made all the same (create only). ``error_code`` goes into ``error.details``, as with
    ``enforced_spend_limit_reached``. ``retry_after`` is in seconds; null sends no such header.
    """

    status: ErrorStatus
    on: Endpoint = "create"
    message: str = "Simulated failure."
    retry_after: Seconds | None = None
    error_code: str | None = None
    created: bool = False

    def __post_init__(self) -> None:
        if self.created and self.on != "create":
            raise ValueError("`created` goes with `on: create` only")


class NotFound(Fault, frozen=True):
    """
    A 404 for a batch that is there.

    ``seconds``: only for a batch younger than that; null is any batch. Together with a ``list_lag`` of as many seconds
    a new batch is seen nowhere at first.
    """

    on: Literal["retrieve", "cancel", "results"] = "retrieve"
    seconds: Seconds | None = None


class Archived(Fault, frozen=True):
    """An ended batch is shown, and its results are gone, as if 29 days had passed; a chance is one look at batches."""


class Slow(Fault, frozen=True):
    """The answer comes ``seconds`` late; what the call does (a batch made, say) is done before."""

    seconds: Seconds
    on: Endpoint = "create"


class ResetBeforeCreate(Fault, frozen=True):
    """The connection is reset after the whole body was read, or before, if ``body_read`` is false; no batch is made."""

    body_read: bool = True


class ResetAfterCreate(Fault, frozen=True):
    """The connection is reset after the batch was made, so its id is never told."""


class ListLag(Fault, frozen=True):
    """A new batch is missing from the list for its first ``seconds``."""

    seconds: Seconds


class CallsPerMinute(Fault, frozen=True):
    """
    A 429 for every batch call beyond the first ``calls`` of a minute by the workspace's clock.

    All batch endpoints count together; ``retry-after`` is the whole seconds to the next minute. The count starts anew
    with the process. A chance is a call beyond the limit.
    """

    calls: Count


class QueueLimit(Fault, frozen=True):
    """
    A 429 for a create after which too much would be waiting in the batches of the workspace that have not ended.

    Either ``requests`` or ``batches`` is how much may wait. ``retry_after`` is in seconds; null sends no such header.
    A chance is a create that would exceed the limit.
    """

    requests: Count | None = None
    batches: Count | None = None
    retry_after: Seconds | None = None

    def __post_init__(self) -> None:
        if (self.requests is None) == (self.batches is None):
            raise ValueError("give either `requests` or `batches`")

    def exceeded_by(self, requests: int, batches: int) -> bool:
        """Whether so much waiting at once is too much."""
        if self.requests is not None:
            return requests > self.requests
        return self.batches is not None and batches > self.batches


class WorkspaceHumanReviewDisabled(Fault, frozen=True):
    """A create is refused for good, as in a workspace that has Human Review turned off; a chance is a create."""


class BatchFault(Fault, frozen=True):
    """Goes with a batch from its create on; a chance is a create, and ``times`` counts batches."""

    def concerns(self, body: mmap.mmap) -> bool:
        """Whether the create of a batch with this body is a chance."""
        return True


class Stuck(BatchFault, frozen=True):
    """The batch never ends by itself, not even after 24 hours. A cancel still ends it."""


class LeakyCounters(BatchFault, frozen=True):
    """``request_counts`` move while the batch is in progress, against the documented contract."""


class Duration(BatchFault, frozen=True):
    """The batch takes ``seconds`` instead of what the command line says; above 86,400 it expires at 24 hours."""

    seconds: Seconds


class Unfinished(BatchFault, frozen=True):
    """The share of requests not yet begun when a batch is canceled or expires (1 without this fault)."""

    share: Share


class RowFault(BatchFault, frozen=True):
    """
    Strikes some requests of its batch.

    A row is struck if it meets all that is given: ``custom_ids`` lists it, its params contain the text ``match``, and
    its seeded draw is below ``share``. With ``match``, only a batch that contains the text is a chance.
    """

    share: Share = 1.0
    custom_ids: frozenset[str] | None = None
    match: str | None = None

    def concerns(self, body: mmap.mmap) -> bool:
        return self.match is None or body.find(self.match.encode()) >= 0

    def strikes(self, seed: int, custom_id: str, params: bytes | memoryview) -> bool:
        """Whether this row is struck; the same answer each time it is asked."""
        if self.custom_ids is not None and custom_id not in self.custom_ids:
            return False
        if self.match is not None and self.match.encode() not in bytes(params):
            return False
        return self.share >= 1 or draws.fraction(seed, _kind(type(self).__name__), custom_id) < self.share


class Errored(RowFault, frozen=True):
    """The row ends as ``errored`` while running."""

    error_type: LineErrorType = "api_error"
    message: str = "Simulated internal error."


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


class DownloadFault(Fault, frozen=True):
    """Strikes one download of results; ``times`` counts downloads."""


class CutResults(DownloadFault, frozen=True):
    """
    The download ends early.

    ``mid_line`` breaks the connection inside a line. ``line_boundary`` closes it neatly after a line, in an answer
    without a length, which no HTTP client can tell from a whole one. ``after_lines`` defaults to half of them.
    """

    at: Literal["mid_line", "line_boundary"] = "mid_line"
    after_lines: Count | None = None


class StallResults(DownloadFault, frozen=True):
    """The download pauses for ``seconds`` after half its bytes, then goes on to its end."""

    seconds: Seconds


class GzipResults(DownloadFault, frozen=True):
    """The download is compressed, if its client accepts gzip; cut inside a line, its gzip stream breaks off, too."""


class NoFinalNewline(DownloadFault, frozen=True):
    """The last line of the download ends without a newline."""


class LineFault(DownloadFault, frozen=True):
    """Strikes ``count`` lines of a download, from its first on."""

    count: Annotated[int, msgspec.Meta(ge=1)] = 1


class MissingLines(LineFault, frozen=True):
    """Lines are left out."""


class DuplicateLines(LineFault, frozen=True):
    """Lines come twice."""


class ForeignLines(LineFault, frozen=True):
    """Lines appear whose custom_id was never sent."""


AnyFault = (
    HttpError
    | NotFound
    | Archived
    | Slow
    | ResetBeforeCreate
    | ResetAfterCreate
    | ListLag
    | CallsPerMinute
    | QueueLimit
    | WorkspaceHumanReviewDisabled
    | Stuck
    | LeakyCounters
    | Duration
    | Unfinished
    | Errored
    | Expired
    | Canceled
    | Refusal
    | Truncated
    | InvalidJson
    | ViolatesSchema
    | WrongCaseEnum
    | CutResults
    | StallResults
    | GzipResults
    | NoFinalNewline
    | MissingLines
    | DuplicateLines
    | ForeignLines
)
KINDS: tuple[str, ...] = tuple(_kind(cls.__name__) for cls in AnyFault.__args__)
_BATCH_FAULTS = msgspec.json.Decoder(list[AnyFault])


def parse(text: str | bytes) -> list[Fault]:
    """
    Read a fault list from JSON or YAML: a list of faults, or an object with such a list as ``faults``.

    Raises FaultError, naming the entry and the valid names, for anything that is not understood.
    """
    try:
        document = msgspec.yaml.decode(text)
    except msgspec.DecodeError as error:
        raise FaultError(f"The faults are neither JSON nor YAML: {error}") from error
    if isinstance(document, dict) and set(document) == {"faults"}:
        document = document["faults"]
    if not isinstance(document, list):
        raise FaultError('Faults are a list of objects like {"kind": "http_error", "status": 529, "times": 2}.')
    return [_read(number, entry) for number, entry in enumerate(document)]


def _read(number: int, entry: object) -> Fault:
    given = entry if isinstance(entry, dict) else {}
    kind = given.get("kind")
    if kind not in KINDS:
        raise FaultError(
            f"Fault {number}: kind {kind!r} is unknown.{_nearest(str(kind), KINDS)} Kinds: {', '.join(KINDS)}."
        )
    fields = sorted(next(cls.__struct_fields__ for cls in AnyFault.__args__ if _kind(cls.__name__) == kind))
    if unknown := [str(name) for name in given if name != "kind" and name not in fields]:
        raise FaultError(
            f"Fault {number} ({kind}): field {unknown[0]!r} is unknown.{_nearest(unknown[0], fields)}"
            f" Fields: {', '.join(fields)}."
        )
    try:
        fault: Fault = msgspec.convert(given, AnyFault)
    except msgspec.ValidationError as error:
        raise FaultError(f"Fault {number} ({kind}): {error}. Fields: {', '.join(fields)}.") from error
    return fault


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def encode(faults: Iterable[Fault]) -> bytes:
    """Faults as the JSON that ``decode`` reads."""
    return msgspec.json.encode(list(faults))


def decode(data: bytes) -> list[Fault]:
    """Faults that ``encode`` wrote."""
    return list(_BATCH_FAULTS.decode(data))
