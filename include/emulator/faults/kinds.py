"""
The kinds of faults.

A fault is a JSON object ``{"kind": …}`` with three optional fields: ``after`` (0), ``chance`` (1) and ``times`` (null).
Every occasion on which it could strike is a chance. The first ``after`` chances pass. Each later one is struck with the
probability ``chance``, by a draw from the seed, the fault and the number of the chance. After ``times`` strikes the
fault is used up; null means never. The counts survive a restart. The kinds differ in when they strike:

on an HTTP call         http_error  not_found  archived  slow  reset_before_create  reset_after_create  list_lag
                        calls_per_minute  queue_limit  workspace_human_review_disabled
on a whole batch        stuck  leaky_counters  duration  unfinished           \\ stored at create, so that a restart and
on rows of a batch      errored  expired  canceled  refusal  truncated        /  a second download see the same batch
                        invalid_json  violates_schema  wrong_case_enum  blank  wrong_language  lost_placeholder
                        too_long  duplicate_text  invented_number  forbidden_text
                        runaway  pause_turn  could_not_process  wrong_page  paraphrased_quote  invented_quote
on what answers say     accuracy  preference                                     as above
on a message            rate_limit  lost_answer  stream_error; and those on rows and on what answers say
on a results download   cut_results  stall_results  gzip_results  no_final_newline  missing_lines  duplicate_lines
                        foreign_lines
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from include.emulator.faults.answer_kinds import Accuracy, Preference
from include.emulator.faults.fault import BatchFault, Count, Fault, Share, kind_of
from include.emulator.faults.message_kinds import LostAnswer, RateLimit, StreamError
from include.emulator.faults.row_kinds import (
    Blank,
    Canceled,
    CouldNotProcess,
    DuplicateText,
    Errored,
    Expired,
    ForbiddenText,
    InvalidJson,
    InventedNumber,
    InventedQuote,
    LostPlaceholder,
    ParaphrasedQuote,
    PauseTurn,
    Refusal,
    Runaway,
    TooLong,
    Truncated,
    ViolatesSchema,
    WrongCaseEnum,
    WrongLanguage,
    WrongPage,
)

BatchEndpoint = Literal["create", "retrieve", "list", "cancel", "delete", "results"]
FileEndpoint = Literal["upload_file", "list_files", "retrieve_file", "delete_file"]
Endpoint = BatchEndpoint | FileEndpoint | Literal["messages", "count_tokens", "models"]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
ErrorStatus = Annotated[int, msgspec.Meta(ge=400, le=599)]


class HttpError(Fault, frozen=True):
    """
    An error response instead of the right one.

    ``created``: the batch or file is made anyway, or the message answered and billed (``on`` create, upload_file or
    messages). ``error_code`` goes into
    ``error.details``, for example ``enforced_spend_limit_reached``. ``retry_after`` is in seconds; null sends no such
    header.
    """

    status: ErrorStatus
    on: Endpoint = "create"
    message: str = "Simulated failure."
    retry_after: Seconds | None = None
    error_code: str | None = None
    created: bool = False

    def __post_init__(self) -> None:
        if self.created and self.on not in ("create", "upload_file", "messages"):
            raise ValueError("`created` goes with `on: create`, `on: upload_file` or `on: messages` only")


class NotFound(Fault, frozen=True):
    """
    A 404 for a batch that exists.

    ``seconds``: only for a batch younger than this; null means any batch. With a ``list_lag`` of the same seconds,
    a new batch is invisible at first.
    """

    on: Literal["retrieve", "cancel", "results"] = "retrieve"
    seconds: Seconds | None = None


class Archived(Fault, frozen=True):
    """An ended batch is shown without its results, as after 29 days; a chance is a call that shows ended batches."""


class Slow(Fault, frozen=True):
    """The response comes ``seconds`` late; the call takes effect (for example, makes the batch) without delay."""

    seconds: Seconds
    on: Endpoint = "create"


class ResetBeforeCreate(Fault, frozen=True):
    """The connection is reset, before the body is read if ``body_read`` is false, else after; no batch is made."""

    body_read: bool = True


class ResetAfterCreate(Fault, frozen=True):
    """The connection is reset after the batch is made, so the client never learns its id."""


class ListLag(Fault, frozen=True):
    """A new batch is missing from the list for its first ``seconds``."""

    seconds: Seconds


class CallsPerMinute(Fault, frozen=True):
    """
    A 429 for every call beyond the first ``calls`` of a minute by the workspace's clock.

    All batch endpoints count together; with ``on: files`` all of the Files API do. ``retry-after`` is the whole seconds
    to the next minute. A restart resets the count. A chance is a call beyond the limit.
    """

    calls: Count
    on: Literal["batches", "files"] = "batches"


class QueueLimit(Fault, frozen=True):
    """
    A 429 for a create that would exceed a limit on the workspace's batches that have not ended.

    The limit is either ``requests`` or ``batches``. ``retry_after`` is in seconds; null sends no such header.
    A chance is a create that would exceed the limit.
    """

    requests: Count | None = None
    batches: Count | None = None
    retry_after: Seconds | None = None

    def __post_init__(self) -> None:
        if (self.requests is None) == (self.batches is None):
            raise ValueError("set either `requests` or `batches`")

    def exceeded_by(self, requests: int, batches: int) -> bool:
        """Return whether this many waiting requests or batches exceed the limit."""
        if self.requests is not None:
            return requests > self.requests
        return self.batches is not None and batches > self.batches


class WorkspaceHumanReviewDisabled(Fault, frozen=True):
    """A create is rejected, as in a workspace with Human Review turned off; a chance is a create."""


class Stuck(BatchFault, frozen=True):
    """The batch never ends by itself, not even after 24 hours. A cancel still ends it."""


class LeakyCounters(BatchFault, frozen=True):
    """``request_counts`` change while the batch is in progress, contrary to the documentation."""


class Duration(BatchFault, frozen=True):
    """The batch takes ``seconds`` instead of the command line's value; above 86,400 it expires after 24 hours."""

    seconds: Seconds


class Unfinished(BatchFault, frozen=True):
    """The share of requests that have not begun when a batch is canceled or expires (1 without this fault)."""

    share: Share


class DownloadFault(Fault, frozen=True):
    """Strikes a download of results; ``times`` counts downloads."""


class CutResults(DownloadFault, frozen=True):
    """
    The download ends early.

    ``mid_line`` breaks the connection inside a line. ``line_boundary`` closes it cleanly after a line, in a response
    without a length, which an HTTP client cannot tell from a whole one. ``after_lines`` defaults to half of them.
    """

    at: Literal["mid_line", "line_boundary"] = "mid_line"
    after_lines: Count | None = None


class StallResults(DownloadFault, frozen=True):
    """The download pauses for ``seconds`` after half its bytes, then continues."""

    seconds: Seconds


class GzipResults(DownloadFault, frozen=True):
    """The download is compressed if the client accepts gzip; when cut inside a line, the gzip stream breaks off too."""


class NoFinalNewline(DownloadFault, frozen=True):
    """The last line of the download ends without a newline."""


class LineFault(DownloadFault, frozen=True):
    """Strikes the first ``count`` lines of a download."""

    count: Annotated[int, msgspec.Meta(ge=1)] = 1


class MissingLines(LineFault, frozen=True):
    """Lines are missing."""


class DuplicateLines(LineFault, frozen=True):
    """Lines come twice."""


class ForeignLines(LineFault, frozen=True):
    """Lines with a custom_id that was never sent are added."""


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
    | CouldNotProcess
    | Expired
    | Canceled
    | Refusal
    | Runaway
    | PauseTurn
    | Truncated
    | InvalidJson
    | ViolatesSchema
    | WrongCaseEnum
    | Blank
    | WrongLanguage
    | LostPlaceholder
    | TooLong
    | DuplicateText
    | InventedNumber
    | ForbiddenText
    | WrongPage
    | ParaphrasedQuote
    | InventedQuote
    | Accuracy
    | Preference
    | RateLimit
    | LostAnswer
    | StreamError
    | CutResults
    | StallResults
    | GzipResults
    | NoFinalNewline
    | MissingLines
    | DuplicateLines
    | ForeignLines
)

#: By the ``kind`` of a fault in JSON.
FAULT_BY_KIND: dict[str, type[Fault]] = {kind_of(cls.__name__): cls for cls in AnyFault.__args__}
