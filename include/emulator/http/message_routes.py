"""The synchronous calls: one message, a token count, the models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from include.emulator.api_errors import ApiError, RequestRejected, envelope
from include.emulator.billing.bills import hash_params
from include.emulator.billing.prompt_cache import Cache
from include.emulator.draws import digest
from include.emulator.engine import models
from include.emulator.engine.attachments import OpenFile, no_files, with_file_contents
from include.emulator.engine.models import Model
from include.emulator.engine.simulated_answer import MAX_BYTES, Prompt, make_message, read_prompt
from include.emulator.faults.answer_kinds import AnswerFault
from include.emulator.faults.kinds import HttpError
from include.emulator.faults.message_kinds import LostAnswer, RateLimit, StreamError
from include.emulator.faults.row_kinds import Canceled, CouldNotProcess, Errored, Expired, PauseTurn, RowFault
from include.emulator.http.paging import read_page, render_page
from include.emulator.http.rate_limits import RateLimits
from include.emulator.http.server import Call, json_response, simulated_error
from include.emulator.http.streaming import EventStream, broken_off, events_of
from include.emulator.http.wire import Broken, Reset

# Within the limit of every model that is not retired.
_ENOUGH_TOKENS = 64_000
_SMALL_BYTES = 100_000


async def create_message(call: Call) -> Response:
    """Answer and bill one request at once, at the standard tier, in one piece or as a stream."""
    params, fields = await _object(call)
    model = models.find(_text(fields.get("model")))
    if model is not None:
        _check_rate(call, _rate_limits(call, model), None)  # first, because it costs nothing
    prompt = await _prompt(params, call)
    # Separate from the batches' cache: neither warms the other.
    scope, store = f"{call.workspace}/synchronous", call.server.store
    now = call.now
    cache = Cache(store.warm_prefixes(scope, now, _prefixes(prompt)), warm_hit_percent=100)
    identity = hash_params(params)
    fault = _row_fault(call, identity, params, prompt)
    values = list(call.server.strikes(call.workspace, AnswerFault, lambda fault: fault.strikes(params)))
    try:
        message = make_message(prompt, digest(call.server.seed, identity), cache, "standard", fault, values)
    except RequestRejected as rejection:
        raise rejection.to_api_error() from rejection
    limits = _rate_limits(call, prompt.frame.model)
    _check_rate(call, limits, message["usage"])
    limits.take(message["usage"])
    store.warm(scope, cache.touched, started_at=now, readable_at=now)
    store.messages.add(call.workspace, with_file_contents(params, _files(params, call)), message)
    if error := call.strike(HttpError, lambda fault: fault.on == "messages" and fault.created):
        raise simulated_error(error)
    return _response(call, message, limits.headers(), streamed=_is_true(fields.get("stream")))


def _prefixes(prompt: Prompt) -> set[str]:
    markers = prompt.conversation.markers
    return {marker.prefix for marker in markers} | {prefix for marker in markers for prefix, _ in marker.earlier}


def _rate_limits(call: Call, model: Model) -> RateLimits:
    armed = [one.fault for one in call.server.store.faults.of(call.workspace) if isinstance(one.fault, RateLimit)]
    return RateLimits(model.id, armed, call.server.buckets, call.workspace, call.now)


def _check_rate(call: Call, limits: RateLimits, usage: Mapping[str, Any] | None) -> None:
    exceeded = limits.exceeded(usage)
    if exceeded is None:
        return
    limit, error = exceeded
    if call.strike(RateLimit, lambda fault: fault is limit):
        raise error


def _row_fault(call: Call, identity: str, params: bytes, prompt: Prompt) -> RowFault | None:
    """
    Return the fault for rows that strikes a message. Raises ApiError if it has no answer.

    A chance is a message that meets the fault's conditions. A message never expires, and nobody cancels it.
    """
    pictures, paused = prompt.conversation.pictures, prompt.conversation.paused

    def applies(fault: RowFault) -> bool:
        if isinstance(fault, Expired | Canceled) or (isinstance(fault, PauseTurn) and paused):
            return False
        if isinstance(fault, CouldNotProcess) and pictures is None:
            return False
        return fault.strikes(call.server.seed, identity, params)

    fault = call.strike(RowFault, applies)
    if isinstance(fault, Errored):
        raise RequestRejected(fault.message, type=fault.error_type).to_api_error()
    if isinstance(fault, CouldNotProcess):
        raise ApiError(400, f"Could not process {pictures}")
    return fault


def _response(call: Call, message: dict[str, Any], headers: Mapping[str, str], *, streamed: bool) -> Response:
    lost = call.strike(LostAnswer)
    if lost and not lost.midway:
        return Reset()
    if not streamed:
        whole = json_response(message, headers=headers)
        return Broken([bytes(whole.body)[: len(whole.body) // 2]], whole.headers) if lost else whole
    events = events_of(message)
    if lost:
        return Broken(events[: len(events) // 2], {**headers, "content-type": "text/event-stream"})
    if fault := call.strike(StreamError):
        events = broken_off(events, envelope(fault.error_type, fault.message, None))
    return EventStream(events, headers)


async def count_tokens(call: Call) -> Response:
    """Return the tokens of one request's prompt."""
    params, _ = await _object(call)
    fields = msgspec.json.decode(params)
    if "max_tokens" in fields:
        raise ApiError(400, "max_tokens: Extra inputs are not permitted")
    params = msgspec.json.encode({**fields, "max_tokens": _ENOUGH_TOKENS})
    prompt = await _prompt(params, call)
    return json_response({"input_tokens": prompt.conversation.tokens})


async def retrieve_model(call: Call) -> Response:
    """Return one model, by id or alias."""
    name = call.request.path_params["model_id"]
    model = models.find(name)
    if model is None:
        raise ApiError(404, f"model: {name}")
    return json_response(model.describe())


async def list_models(call: Call) -> Response:
    """Return a page of the models, newest first; retired ones only if ``lifecycle`` includes them."""
    query = call.request.query_params
    wanted = query.getlist("lifecycle[]") or query.getlist("lifecycle") or ["active", "deprecated"]
    found = [model for model in models.CATALOGUE if model.lifecycle in wanted]
    page = read_page(query)
    ids = [model.id for model in found]
    for cursor in (page.after_id, page.before_id):
        if cursor and cursor not in ids:
            raise ApiError(400, f"model: {cursor}")
    if page.before_id:
        side = found[: ids.index(page.before_id)]
        shown = side[-page.limit :]
    else:
        side = found[ids.index(page.after_id) + 1 :] if page.after_id else found
        shown = side[: page.limit]
    return json_response(render_page([model.describe() for model in shown], has_more=len(side) > len(shown)))


def _is_true(value: msgspec.Raw | None) -> bool:
    return value is not None and bytes(value) == b"true"


async def _object(call: Call) -> tuple[bytes, dict[str, msgspec.Raw]]:
    """Return the body, and each of its fields as JSON."""
    body = bytearray()
    async for piece in call.pieces:
        body += piece
        if len(body) > MAX_BYTES:
            raise ApiError(413, "Request exceeds the maximum size")
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError as error:
        raise ApiError(400, "Input should be a valid dictionary") from error
    except msgspec.DecodeError as error:
        raise ApiError(400, f"The request body is not valid JSON: {error}") from error
    return bytes(body), fields


def _text(value: msgspec.Raw | None) -> str:
    decoded = "" if value is None else msgspec.json.decode(value)
    return decoded if isinstance(decoded, str) else ""


def _files(params: bytes, call: Call) -> OpenFile:
    # Looking up all files takes time, and few requests name any.
    return call.server.store.files.contents(call.workspace, call.now).resolve if b'"file"' in params else no_files


async def _prompt(params: bytes, call: Call) -> Prompt:
    rules, open_file = call.rules(batch=False), _files(params, call)
    try:
        if len(params) < _SMALL_BYTES:  # faster than a thread
            return read_prompt(params, rules, open_file)
        return await asyncio.to_thread(read_prompt, params, rules, open_file)
    except RequestRejected as rejection:
        raise rejection.to_api_error() from rejection
