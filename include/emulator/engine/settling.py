"""
From the requests of a batch to its result lines and its bill: what happens when a batch ends.

``write_results`` runs in a thread, may take seconds for a large batch, and depends on nothing but its arguments: if the
process is killed halfway, the next one writes the same files again.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from include.emulator import draws
from include.emulator.api_errors import RequestRefused, envelope
from include.emulator.billing.bills import Charge, Meter, bill_line
from include.emulator.billing.prompt_cache import Cache
from include.emulator.engine.batches import Batch, Counts, End
from include.emulator.engine.bodies import Item, open_items
from include.emulator.engine.faults import Canceled, Errored, Expired, RowFault
from include.emulator.engine.request_frame import Rules
from include.emulator.engine.simulated_answer import answer, read_prompt, start_of

_WRITE_BYTES = 1 << 20

_USER_FACING = {"error_visibility": "user_facing"}
log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What a batch came to."""

    counts: Counts
    #: Prompt prefixes it leaves in the cache, with their life in seconds.
    warmed: Mapping[str, int]
    charge: Charge


def write_results(
    batch: Batch, end: End, seed: int, body: Path, results: Path, bill: Path, warm_prefixes: frozenset[str]
) -> Settled:
    """
    Write one line per request, in an order that only the seed knows, the bill of those that succeeded, and count.

    The files appear under their names when they are whole.
    """
    cache = Cache(warm_prefixes)
    tally: Counter[str] = Counter()
    meter = Meter()
    result_part, bill_part = (path.with_name(f"{path.name}.part") for path in (results, bill))
    with result_part.open("wb", _WRITE_BYTES) as result_file, bill_part.open("wb", _WRITE_BYTES) as bill_file:
        for item, result in _results(batch, end, seed, open_items(body), cache):
            tally[result["type"]] += 1
            result_file.write(_encode({"custom_id": item.custom_id, "result": result}) + b"\n")
            if result["type"] == "succeeded":
                bill_file.write(bill_line(item.custom_id, item.params))
                meter.count(result["message"])
    os.replace(bill_part, bill)
    os.replace(result_part, results)
    return Settled(counts=Counts(**tally), warmed=cache.touched, charge=meter.charge())


def _results(
    batch: Batch, end: End, seed: int, items: list[Item], cache: Cache
) -> Iterator[tuple[Item, dict[str, Any]]]:
    rules = Rules(version=batch.version, betas=batch.betas, batch=True)
    row_faults = [fault for fault in batch.faults if isinstance(fault, RowFault)]
    Random(seed).shuffle(items)
    for item in items:
        yield item, _unbegun(batch, end, seed, item) or _outcome(item, rules, row_faults, seed, cache)


def _unbegun(batch: Batch, end: End, seed: int, item: Item) -> dict[str, Any] | None:
    """The result of a request that a cancel or the expiry found not yet begun; None if it was."""
    if end is End.PROCESSED:
        return None
    if batch.unfinished_share < 1 and draws.fraction(seed, "unfinished", item.custom_id) >= batch.unfinished_share:
        return None
    return {"type": "canceled" if end is End.CANCELED else "expired"}


def _outcome(item: Item, rules: Rules, row_faults: list[RowFault], seed: int, cache: Cache) -> dict[str, Any]:
    params = memoryview(item.params)
    fault = next((fault for fault in row_faults if fault.strikes(seed, item.custom_id, params)), None)
    start = start_of(seed, item.custom_id, params)
    match fault:
        case Canceled():
            return {"type": "canceled"}
        case Expired():
            return {"type": "expired"}
        case Errored():
            # Failures while running carry a worker's id; those found by validation carry none.
            return _errored(fault.error_type, fault.message, f"workerreq_simulated_{start:016x}", None)
    try:
        prompt = read_prompt(params, rules)
        return {"type": "succeeded", "message": answer(prompt, start, cache, "batch", fault)}
    except RequestRefused as refusal:
        return _errored(refusal.type, refusal.message, None, _USER_FACING)
    except Exception:  # one request must not keep a batch from ending: the real service gives an api_error, too
        log.exception("request %s of batch could not be answered", item.custom_id)
        return _errored("api_error", "Internal server error", f"workerreq_simulated_{start:016x}", None)


def _errored(type: str, message: str, request_id: str | None, details: Mapping[str, object] | None) -> dict[str, Any]:
    return {"type": "errored", "error": envelope(type, message, request_id, details)}
