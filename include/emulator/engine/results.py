"""
The result lines and the bill of a batch, written when it ends.

``write_results`` runs in a thread and may take seconds for a large batch. It depends only on its arguments: if the
process is killed halfway, the next one writes the same files again.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from include.emulator import draws
from include.emulator.api_errors import RequestRejected, envelope
from include.emulator.billing.bills import Charge, Meter, bill_line
from include.emulator.billing.prompt_cache import Cache
from include.emulator.engine.attachments import OpenFile, no_files, with_file_contents
from include.emulator.engine.batches import Batch, Counts, End
from include.emulator.engine.bodies import Item, open_items
from include.emulator.engine.request_frame import Rules
from include.emulator.engine.simulated_answer import make_message, read_prompt, seed_request
from include.emulator.faults.answer_kinds import AnswerFault
from include.emulator.faults.row_kinds import Canceled, CouldNotProcess, Errored, Expired, RowFault

_WRITE_BYTES = 1 << 20

_COULD_NOT_PROCESS = "Could not process "
_USER_FACING = {"error_visibility": "user_facing"}
log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Situation:
    """
    What a batch finds when it is processed.

    :param refused: how often each custom_id's PDF or image could not be processed before
    """

    warm_prefixes: frozenset[str] = frozenset()
    open_file: OpenFile = no_files
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The totals of an ended batch."""

    counts: Counts
    #: Prompt prefixes that it leaves in the cache, with their TTL in seconds.
    warmed: Mapping[str, int]
    charge: Charge
    #: By custom_id, how often it could not process a request's PDF or image.
    refused: Mapping[str, int]


def write_results(
    batch: Batch,
    end: End,
    seed: int,
    body: Path,
    results: Path,
    bill: Path,
    situation: Situation,
) -> Totals:
    """
    Write one result line per request, in an order that depends on the seed, and the bill of those that succeeded.

    The files get their names when they are complete.
    """
    cache = Cache(situation.warm_prefixes)
    tally: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    meter = Meter()
    result_part, bill_part = (path.with_name(f"{path.name}.part") for path in (results, bill))
    with result_part.open("wb", _WRITE_BYTES) as result_file, bill_part.open("wb", _WRITE_BYTES) as bill_file:
        for item, result in _results(batch, end, seed, open_items(body), cache, situation):
            tally[result["type"]] += 1
            result_file.write(_encode({"custom_id": item.custom_id, "result": result}) + b"\n")
            if result["type"] == "errored" and result["error"]["error"]["message"].startswith(_COULD_NOT_PROCESS):
                refused[item.custom_id] += 1
            if result["type"] == "succeeded":
                bill_file.write(bill_line(item.custom_id, with_file_contents(item.params, situation.open_file)))
                meter.count(result["message"])
    os.replace(bill_part, bill)
    os.replace(result_part, results)
    return Totals(counts=Counts(**tally), warmed=cache.touched, charge=meter.charge(), refused=refused)


def _results(
    batch: Batch, end: End, seed: int, items: list[Item], cache: Cache, situation: Situation
) -> Iterator[tuple[Item, dict[str, Any]]]:
    rules = Rules(version=batch.version, betas=batch.betas, batch=True)
    row_faults = [fault for fault in batch.faults if isinstance(fault, RowFault)]
    answer_faults = [fault for fault in batch.faults if isinstance(fault, AnswerFault)]
    Random(seed).shuffle(items)
    for item in items:
        unprocessed = _unprocessed(batch, end, seed, item)
        yield item, unprocessed or _result(item, rules, row_faults, answer_faults, seed, cache, situation)


def _unprocessed(batch: Batch, end: End, seed: int, item: Item) -> dict[str, Any] | None:
    """Return the result of a request that had not begun when the batch was canceled or expired; None if it had."""
    if end is End.PROCESSED:
        return None
    if batch.unfinished_share < 1 and draws.fraction(seed, "unfinished", item.custom_id) >= batch.unfinished_share:
        return None
    return {"type": "canceled" if end is End.CANCELED else "expired"}


def _result(
    item: Item,
    rules: Rules,
    row_faults: list[RowFault],
    answer_faults: list[AnswerFault],
    seed: int,
    cache: Cache,
    situation: Situation,
) -> dict[str, Any]:
    params = memoryview(item.params)
    refused = situation.refused.get(item.custom_id, 0)
    faults = [one for one in row_faults if not isinstance(one, CouldNotProcess) or refused < one.attempts]
    fault = next((one for one in faults if one.strikes(seed, item.custom_id, params)), None)
    request_seed = seed_request(seed, item.custom_id, params)
    match fault:
        case Canceled():
            return {"type": "canceled"}
        case Expired():
            return {"type": "expired"}
        case Errored():
            # Errors at run time carry a worker's id; validation errors carry none.
            return _errored(fault.error_type, fault.message, f"workerreq_simulated_{request_seed:016x}", None)
    try:
        prompt = read_prompt(params, rules, situation.open_file)
        if isinstance(fault, CouldNotProcess) and prompt.conversation.pictures:
            raise RequestRejected(f"{_COULD_NOT_PROCESS}{prompt.conversation.pictures}")
        values = [one for one in answer_faults if one.strikes(params)]
        return {"type": "succeeded", "message": make_message(prompt, request_seed, cache, "batch", fault, values)}
    except RequestRejected as rejection:
        return _errored(rejection.type, rejection.message, None, {**_USER_FACING, **(rejection.details or {})})
    except Exception:  # one request must not keep a batch from ending: the real API returns an api_error too
        log.exception("Request %s could not be answered; it ends as errored.", item.custom_id)
        return _errored("api_error", "Internal server error", f"workerreq_simulated_{request_seed:016x}", None)


def _errored(type: str, message: str, request_id: str | None, details: Mapping[str, object] | None) -> dict[str, Any]:
    return {"type": "errored", "error": envelope(type, message, request_id, details)}
