"""
One line of a batch's results becomes one outcome. Shapes of the lines: docs/message-batches reference of the API,
2026-10-08.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, cast

import msgspec
import pyarrow as pa

from include.enrichment.answers.lenient import read_leniently
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.cost.prices import prices

OutcomeName = Literal["succeeded", "invalid", "errored", "expired", "canceled", "missing"]
Remedy = Literal["again", "repair"]

#: How the reason begins where ``max_tokens`` cut the answer; what asks for a better one asks for a shorter one then.
CUT_AT_MAX_TOKENS = "cut at max_tokens"

#: No request uses so many tokens: a hundred times the longest context window. A count beyond it is a mistake, which no
#: sum and no amount could hold.
MOST_TOKENS = 100_000_000


# None of these can hold itself, so the garbage collector need not look at them (gc=False): that takes longer than to
# decode them.
class _Block(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None


class _StopDetails(msgspec.Struct, gc=False):
    category: str | None = None
    explanation: str | None = None


class _Message(msgspec.Struct, gc=False):
    model: str | None = None
    content: list[_Block] = []
    stop_reason: str | None = None
    stop_details: _StopDetails | None = None
    # Whatever it says of its usage, the answer is an answer.
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
    """A line as the API sends it; members that nobody here reads are passed over."""

    custom_id: str
    result: _Result


_decode = msgspec.json.Decoder(ResultLine).decode


def decode_line(line: bytes) -> ResultLine:
    """A line of results. Raises msgspec.DecodeError for one that is cut or garbled."""
    try:
        return _decode(line.removeprefix(codecs.BOM_UTF8))
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    What became of one request; exactly one for each request that was sent.

    :param output: the answer as JSON that fits the schema (or as plain text, where there is none); None unless
        ``succeeded``
    :param reason: why there is no output; None if ``succeeded``
    :param error_type: the API's name for what went wrong, such as ``overloaded_error``; None unless ``errored``, and
        where the API names none
    :param text: what Claude said, kept where it was paid for and is not usable
    :param upper_bound: its usage cannot be read. The counts are the most that the request can have used, as
        at_most() puts them, and zero before
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
        pa.field("upper_bound", pa.bool_()),
    ]
)


#: What is written to the cache in all, in the API's words.
_WRITTEN = "cache_creation_input_tokens"
_REASON_CHARACTERS = 1_000
_UNBILLED = ("errored", "expired", "canceled")


def unreadable(line: bytes, error: Exception) -> Outcome | None:
    """
    The outcome of a line that is not as the API documents it; None if it does not say whose it is.

    It counts as paid for, unless it says plainly that there was no answer. Its text, its model and what it used are
    read as far as they can be.
    """
    found = read_leniently(line)
    reason = f"its result line cannot be read: {error}"[:_REASON_CHARACTERS]
    if found.custom_id is None:
        return None
    if found.result_type in _UNBILLED:
        outcome = cast(OutcomeName, found.result_type)
        return Outcome(request_id=found.custom_id, outcome=outcome, reason=reason, text=found.text)
    # In such a line a model that has no price is a name that is garbled: at_most() takes the one that was asked.
    model = found.model if found.model in prices().models else None
    return Outcome(
        request_id=found.custom_id,
        outcome="invalid",
        reason=reason,
        text=found.text,
        model=model,
        **_used(found.usage),
    )


def missing_outcome(request_id: str) -> Outcome:
    """The outcome of a request that was sent and of which the batch's results say nothing."""
    return Outcome(request_id=request_id, outcome="missing", reason="the API's results hold no line for it")


#: Errors that a retry pass does not try again. The first two lie in the request, and every time it is sent it ends the
#: same way. The others lie in the key or the account: nothing that happens within a run mends them, and a later run
#: asks again by itself (docs of errors, 2026-10-08).
_PERMANENT_ERRORS = frozenset(
    {"invalid_request_error", "not_found_error", "permission_error", "authentication_error", "billing_error"}
)
#: Where Claude ended by itself, so that the answer is whole.
USABLE_STOPS = frozenset({"end_turn", "stop_sequence"})
#: Where Claude ended by itself or ran out of ``max_tokens``, another answer may fit. Not at the end of the context
#: window: a request that holds the answer as well is longer still. Not after a refusal, and not in a paused turn. None
#: stands for a line that cannot be read: there is no answer to repair.
_REPAIRABLE_STOPS = USABLE_STOPS | {"max_tokens"}


def remedy(outcome: str, error_type: str | None, stop_reason: str | None) -> Remedy | None:
    """
    What a retry pass does about an outcome: send the same request ``again``, ask Claude to ``repair`` its answer, or
    nothing.

    :param error_type: that of the outcome; a type that is not known here is worth another try
    :param stop_reason: that of the outcome; one that is not known here is left alone, as its answer was paid for
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


def is_settled(outcome: str) -> bool:
    """
    Whether the request was answered and paid for: it is then never asked again as it is. Every other outcome was not
    billed, and a later plan may ask again (docs of batch processing, 2026-10-08).
    """
    return outcome in ("succeeded", "invalid")


def outcomes_batch(outcomes: Sequence[Outcome]) -> pa.RecordBatch:
    """The outcomes as they stand in the result store, in OUTCOMES_SCHEMA."""
    columns = [pa.array(list(map(attrgetter(field.name), outcomes)), field.type) for field in OUTCOMES_SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=OUTCOMES_SCHEMA)


def judge(line: ResultLine, schema: OutputSchema | None) -> Outcome:
    """
    The outcome of one received line. Without a schema the answer is taken as text.

    A result type that is not known yet counts as errored, with its name as the reason; with a message it was paid for.
    Raises msgspec.DecodeError for an answer that is not there.
    """
    result = line.result
    match result.type:
        case "succeeded" if result.message is not None:
            return _judge_message(line.custom_id, result.message, schema)
        case "errored":
            error = (result.error and result.error.error) or _Error()
            return Outcome(
                request_id=line.custom_id,
                outcome="errored",
                reason=f"{error.type or 'unknown_error'}: {error.message}".removesuffix(": "),
                error_type=error.type,
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
            paid = _judge_message(line.custom_id, result.message, None)
            reason = f"unknown result type {other!r}"
            return msgspec.structs.replace(
                paid, outcome="invalid", output=None, reason=reason, text=paid.text or paid.output, stop_reason=None
            )
        case other:
            return Outcome(request_id=line.custom_id, outcome="errored", reason=f"unknown result type {other!r}")


def _judge_message(request_id: str, message: _Message, schema: OutputSchema | None) -> Outcome:
    texts = [block.text or "" for block in message.content if block.type == "text"]
    text = "".join(texts) if schema is None else (texts[-1] if texts else "")
    reason = _stopped_early(message)
    output: str | None = text
    if reason is None and not texts:
        reason = "no text in the answer"
    elif reason is None and schema is not None:
        output, reason = schema.check(text)
    return Outcome(
        request_id=request_id,
        outcome="invalid" if reason else "succeeded",
        output=None if reason else output,
        reason=reason and reason[:_REASON_CHARACTERS],
        text=text if reason else None,
        model=message.model or "",
        stop_reason=message.stop_reason,
        **_used(message.usage),
    )


def _used(usage: Any) -> dict[str, Any]:
    """What of an outcome follows from the usage that a line tells, however it tells it."""
    usage = _members(usage)
    written, searched = _members(usage.get("cache_creation")), _members(usage.get("server_tool_use"))
    counts = {
        "input_tokens": usage.get("input_tokens"),
        "cache_write_5m_tokens": written.get("ephemeral_5m_input_tokens") or 0,
        "cache_write_1h_tokens": written.get("ephemeral_1h_input_tokens") or 0,
        "cache_read_tokens": usage.get("cache_read_input_tokens") or 0,
        "output_tokens": usage.get("output_tokens"),
        "web_searches": searched.get("web_search_requests") or 0,
        _WRITTEN: usage.get(_WRITTEN) or 0,
    }
    geo = usage.get("inference_geo")
    place = {"inference_geo": geo if isinstance(geo, str) and geo.isascii() else None}
    for name, count in counts.items():
        if type(count) is float and count.is_integer():
            counts[name] = count = int(count)
        if type(count) is not int or not 0 <= count <= MOST_TOKENS:
            return place | {"upper_bound": True}
    # What was written for nobody knows how long has the higher price.
    unknown = counts.pop(_WRITTEN) - counts["cache_write_5m_tokens"] - counts["cache_write_1h_tokens"]
    counts["cache_write_1h_tokens"] += max(unknown, 0)
    return counts | place


def _members(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _stopped_early(message: _Message) -> str | None:
    match message.stop_reason:
        case "max_tokens":
            return f"{CUT_AT_MAX_TOKENS}, after {_used(message.usage).get('output_tokens', 0):,} output tokens"
        case "model_context_window_exceeded":
            return "cut at the end of the model's context window"
        case "pause_turn":
            return "paused in the middle of a server tool's loop"
        case "refusal":
            details = message.stop_details or _StopDetails()
            return ": ".join(part for part in ("refused", details.category, details.explanation) if part)
        case _:
            return None
