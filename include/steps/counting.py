"""count: the API counts the tokens of some of a run's requests, for nothing, before any of them is sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
from pydantic import ValidationError

from include.enrichment.errors import ApiError, SetupError
from include.enrichment.estimate import Counted, counted
from include.enrichment.layout import RunFolder
from include.gateways.lake import Lake

if TYPE_CHECKING:  # plan comes by here too, and can do without the SDK
    from include.gateways.claude import Claude

log = logging.getLogger(__name__)

_SAMPLE = 20
_CALLS_AT_ONCE = 8


def count_sample(folder: RunFolder, *, lake: Lake, claude: Claude) -> Counted | None:
    """
    Have the API count some requests of the extracted run, and leave what it says in the run's folder.

    They are taken evenly from all rows. None, and nothing is left, where there is no row that can be sent, or the API
    counts nothing now: the run's estimates then go by earlier batches. Nothing is spent.
    """
    requests = [msgspec.json.decode(params) for params in _sample(folder, lake)]
    if not requests:
        return None
    try:
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as callers:
            tokens = list(callers.map(claude.count_tokens, [*requests, _prefix(requests[0])]))
    except (ApiError, SetupError) as error:
        log.warning("%s No tokens were counted: estimates go by earlier batches, or by a rule of thumb", error)
        return None
    sizes = [len(msgspec.json.encode(request)) for request in requests]
    found = counted(list(zip(sizes, tokens, strict=False)), prefix_tokens=tokens[-1])
    lake.write(folder.counted_json, found.model_dump_json(indent=1).encode())
    return found


def read_counted(folder: RunFolder, lake: Lake) -> Counted | None:
    """What count_sample() has left, None if nothing."""
    stored = lake.find(folder.counted_json)
    try:
        return Counted.model_validate_json(stored.data) if stored else None
    except ValidationError as error:
        log.warning("%s cannot be read: %s", lake.locate(folder.counted_json), error)
        return None


def _sample(folder: RunFolder, lake: Lake) -> Iterator[str]:
    """The params of some rows, evenly from all; only the row groups that they lie in are read."""
    with lake.open(folder.rows) as file, pq.ParquetFile(file) as rows:
        total = rows.metadata.num_rows
        wanted = sorted({number * total // _SAMPLE for number in range(min(_SAMPLE, total))})
        first = 0
        for group in range(rows.num_row_groups):
            end = first + rows.metadata.row_group(group).num_rows
            here = [number - first for number in wanted if first <= number < end]
            if here:
                column = rows.read_row_group(group, columns=["params"])["params"]
                yield from (params for params in column.take(here).to_pylist() if params is not None)
            first = end


def _prefix(request: dict[str, Any]) -> dict[str, Any]:
    """What stands first in every request, with the shortest of texts after it."""
    first = {name: request[name] for name in ("model", "tools", "system") if name in request}
    return first | {"messages": [{"role": "user", "content": "."}]}
