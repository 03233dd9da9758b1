"""
Judges each line of a batch's results: one line gives one outcome. Format of the lines: message-batches reference of the
API, 2026-10-08.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal, cast

import msgspec
import pyarrow as pa

from include.enrichment.answers.billed_usage import is_long_prompt, used
from include.enrichment.answers.evidence.cited_text import CitedText
from include.enrichment.answers.lenient import read_leniently
from include.enrichment.answers.schema.output import NO_TEXT, Output, TextOutput
from include.enrichment.cost.prices import prices

OutcomeName = Literal["succeeded", "invalid", "errored", "expired", "canceled", "missing"]
Remedy = Literal["again", "repair"]

#: The start of the reason if ``max_tokens`` cut the answer. A repair then asks for a shorter answer.
CUT_AT_MAX_TOKENS = "cut at max_tokens"


# None of these can hold a reference to itself, so the garbage collector skips them (gc=False): collecting them takes
# longer than decoding them.
class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    # Those of another form than documented are left out later, but the answer is valid.
    citations: Any = None


class _StopDetails(msgspec.Struct, gc=False):
    category: str | None = None
    explanation: str | None = None


class _Message(msgspec.Struct, gc=False):
    model: str | None = None
    content: list[_Block] = []
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    # An answer is valid even if its usage is malformed.
    usage: Any = None


class _Error(msgspec.Struct, gc=False):
    type: str | None = None
    message: str = ""


class _ErrorResponse(msgspec.Struct, gc=False):
    """An error line nests twice: ``result.error.error`` holds type and message."""

    error: _Error | None = None


class _Result(msgspec.Struct, gc=False):
    type: str
    message: _Message | None = None
    error: _ErrorResponse | None = None


class ResultLine(msgspec.Struct, gc=False):
    """A line as the API sends it; unused members are ignored."""

    custom_id: str
    result: _Result


_decode = msgspec.json.Decoder(ResultLine).decode


def decode_line(line: bytes) -> ResultLine:
    """Decode a result line. Raises msgspec.DecodeError if it is truncated or garbled."""
    try:
        return _decode(line.removeprefix(codecs.BOM_UTF8))
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    The outcome of one request; every request that was sent has exactly one.

    :param output: the answer, text or JSON that fits the schema; None unless ``succeeded``
    :param reason: why there is no output; None if ``succeeded``
    :param error_type: the API's name of the error, for example ``overloaded_error``, or one of COULD_NOT_PROCESS and
        FILE_GONE; None unless ``errored``, or if the API names none
    :param text: the answer, if it was paid for and is unusable
    :param service_tier: ``batch``, or the tier of a synchronous answer, which costs twice as much; None: not read
    :param long_prompt: whether the rates for long prompts apply to the sum of several calls; None: the tokens decide
    :param upper_bound: the usage is unreadable. The counts are 0 until with_upper_bound() sets them to the most that
        the request can have used
    """

    request_id: str
    outcome: OutcomeName
    output: str | None = None
    reason: str | None = None
    error_type: str | None = None
    text: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    web_searches: int = 0
    inference_geo: str | None = None
    service_tier: str | None = None
    long_prompt: bool | None = None
    upper_bound: bool = False


OUTCOMES_SCHEMA = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("output", "reason", "error_type", "text", "model", "stop_reason")),
        *(
            pa.field(f"{kind}_tokens", pa.int64(), nullable=False)
            for kind in ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
        ),
        pa.field("web_searches", pa.int64()),
        pa.field("inference_geo", pa.string()),
        pa.field("service_tier", pa.string()),
        pa.field("long_prompt", pa.bool_()),
        pa.field("upper_bound", pa.bool_()),
    ]
)


_REASON_CHARACTERS = 1_000
_UNBILLED = ("errored", "expired", "canceled")


def unreadable(line: bytes, error: Exception) -> Outcome | None:
    """
    Return the outcome of a line that does not match the API's documentation; None if its request is unknown.

    The line counts as paid for unless it clearly says that there was no answer. Its text, model and usage are read as
    far as possible.
    """
    found = read_leniently(line)
    reason = f"its result line cannot be read: {error}"[:_REASON_CHARACTERS]
    if found.custom_id is None:
        return None
    if found.result_type in _UNBILLED:
        outcome = cast(OutcomeName, found.result_type)
        return Outcome(request_id=found.custom_id, outcome=outcome, reason=reason, text=found.text)
    # In such a line, a model without a price is a garbled name: with_upper_bound() takes the requested model.
    model = found.model if found.model in prices().models else None
    return Outcome(
        request_id=found.custom_id,
        outcome="invalid",
        reason=reason,
        text=found.text,
        model=model,
        **used(found.usage),
    )


def missing_outcome(request_id: str) -> Outcome:
    """Return the outcome of a request that was sent and has no line in the batch's results."""
    return Outcome(request_id=request_id, outcome="missing", reason="the API's results hold no line for it")


#: Errors that a retry pass does not retry (docs of errors, 2026-10-08). The request causes the first three, which would
#: recur. The key or the account causes the others: nothing within a run fixes them, and a later run sends the request
#: again.
_PERMANENT_ERRORS = frozenset(
    {
        *("invalid_request_error", "not_found_error", "request_too_large"),
        *("permission_error", "authentication_error", "billing_error"),
    }
)
#: Claude ended by itself, so the answer is complete.
USABLE_STOPS = frozenset({"end_turn", "stop_sequence"})
#: Names of our own for two errors that the API gives a permanent type and that another try may not have. The API
#: sometimes cannot process a document or an image at first (docs of PDF support, field reports of 2026), and a file may
#: have been deleted or have expired before its request was processed.
COULD_NOT_PROCESS, FILE_GONE = "could_not_process", "file_gone"
_PASSING_ERRORS = (
    (COULD_NOT_PROCESS, "invalid_request_error", re.compile(r"\bcould not process (the )?(pdf|image|document)", re.I)),
    (FILE_GONE, "not_found_error", re.compile(r"\bfile( |_)", re.I)),
)
#: If Claude ended by itself or ran out of ``max_tokens``, another answer may fit. Not at the end of the context window,
#: because a repair is even longer, not after a refusal, and not in a paused turn. An unreadable line has None and no
#: answer to repair.
_REPAIRABLE_STOPS = USABLE_STOPS | {"max_tokens"}


def remedy(outcome: str, error_type: str | None, stop_reason: str | None) -> Remedy | None:
    """
    Return what a retry pass does about an outcome: send the request ``again``, ``repair`` the answer, or nothing.

    :param error_type: of the outcome; unknown types are retried, and so is COULD_NOT_PROCESS, which
        PriorResults.failed knows to be for good when it comes twice
    :param stop_reason: of the outcome; unknown ones are not repaired, as the answer was paid for
    """
    match outcome:
        case "expired" | "canceled" | "missing":
            return "again"
        case "errored":
            return None if error_type in _PERMANENT_ERRORS else "again"
        case "invalid":
            return "repair" if stop_reason in _REPAIRABLE_STOPS else None
        case _:
            return None


def is_paid(outcome: str) -> bool:
    """
    Return whether the request was answered and paid for, and is therefore never sent again unchanged.

    All other outcomes are not billed, and a later plan may send them again (docs of batch processing, 2026-10-08).
    """
    return outcome in ("succeeded", "invalid")


def outcomes_batch(outcomes: Sequence[Outcome]) -> pa.RecordBatch:
    """Return the outcomes as a batch for the result store, in OUTCOMES_SCHEMA."""
    columns = [pa.array(list(map(attrgetter(field.name), outcomes)), field.type) for field in OUTCOMES_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=OUTCOMES_SCHEMA)


def judge(line: ResultLine, output: Output) -> Outcome:
    """
    Judge one received line.

    An unknown result type counts as errored with its name as the reason, or as invalid and paid for if it has a
    message. Raises msgspec.DecodeError if a succeeded line has no message.
    """
    result = line.result
    match result.type:
        case "succeeded" if result.message is not None:
            return _judge_message(line.custom_id, result.message, output)
        case "errored":
            error = (result.error and result.error.error) or _Error()
            return Outcome(
                request_id=line.custom_id,
                outcome="errored",
                reason=f"{error.type or 'unknown_error'}: {error.message}".removesuffix(": "),
                error_type=_error_type(error),
            )
        case "expired":
            return Outcome(
                request_id=line.custom_id,
                outcome="expired",
                reason="the API's 24 hours passed before the request was processed; not billed",
            )
        case "canceled":
            return Outcome(
                request_id=line.custom_id,
                outcome="canceled",
                reason="the batch was canceled before the request was processed; not billed",
            )
        case "succeeded":
            raise msgspec.DecodeError("it succeeded, and there is no message")
        case other if result.message is not None:
            paid = _judge_message(line.custom_id, result.message, TextOutput())
            reason = f"unknown result type {other!r}"
            return msgspec.structs.replace(
                paid, outcome="invalid", output=None, reason=reason, text=paid.text or paid.output, stop_reason=None
            )
        case other:
            return Outcome(request_id=line.custom_id, outcome="errored", reason=f"unknown result type {other!r}")


def _error_type(error: _Error) -> str | None:
    for name, type, message in _PASSING_ERRORS:
        if error.type == type and message.search(error.message):
            return name
    return error.type


def _judge_message(request_id: str, message: _Message, output: Output) -> Outcome:
    texts = [block.text or "" for block in message.content if block.type == "text"]
    text = output.answer_in(texts) if texts else ""
    usable, reason = None, _stopped_early(message)
    if reason is None:
        usable, reason = output.check(text) if texts else (None, NO_TEXT)
    if usable is not None and isinstance(output, CitedText):
        usable = output.with_citations(usable, [block.citations for block in message.content])
    return Outcome(
        request_id=request_id,
        outcome="invalid" if reason else "succeeded",
        output=usable,
        reason=reason and reason[:_REASON_CHARACTERS],
        text=text if reason else None,
        model=message.model or "",
        stop_reason=message.stop_reason,
        long_prompt=is_long_prompt(message.model, message.usage),
        **used(message.usage),
    )


def _stopped_early(message: _Message) -> str | None:
    match message.stop_reason:
        case "max_tokens":
            return f"{CUT_AT_MAX_TOKENS}, after {used(message.usage).get('output_tokens', 0):,} output tokens"
        case "model_context_window_exceeded":
            return "cut at the end of the model's context window"
        case "pause_turn":
            return "paused in the middle of a server tool's loop"
        case "limit":  # ours, see agent/transcript.py
            return f"stopped: {(message.stop_details or _StopDetails()).explanation}"
        case "refusal":
            details = message.stop_details or _StopDetails()
            return ": ".join(part for part in ("refused", details.category, details.explanation) if part)
        case _:
            return None
