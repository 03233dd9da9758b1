"""count: the API counts the tokens of some of a run's requests, for nothing, before any of them is sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from pydantic import ValidationError

from include.enrichment.cost.estimate import Counted, choose_sample, counted
from include.enrichment.errors import ApiError, SetupError
from include.enrichment.requests.chunk import SIZES_SCHEMA, sizes_of
from include.enrichment.requests.template import Template
from include.enrichment.spec.pipeline import SYSTEM
from include.enrichment.storage.layout import RunFolder
from include.gateways.disk import working_folder
from include.gateways.lake import Lake
from include.steps.files.extracted import fetch_rows, read_pipeline, read_request_ids, read_requests

if TYPE_CHECKING:  # plan comes by here too, and can do without the SDK
    from include.gateways.claude import Claude

log = logging.getLogger(__name__)

_CALLS_AT_ONCE = 16


def count_sample(folder: RunFolder, *, lake: Lake, claude: Claude) -> Counted | None:
    """
    Have the API count requests of the extracted run, and leave the counts in the run's folder.

    Counts the requests that to_count() chooses; of a small run, all. A request that the API refuses to count is left
    out, and if the API fails, the counts so far are enough. None, and nothing is left, if no row can be sent or nothing
    was counted: the run's estimates then go by earlier batches. Nothing is spent.
    """
    with working_folder() as temporary:
        rows = temporary / "rows.parquet"
        fetch_rows(lake, folder, rows)
        sizes = map(sizes_of, read_requests(rows, read_request_ids(rows)))
        chosen = read_requests(rows, choose_sample(pa.Table.from_batches(sizes, SIZES_SCHEMA)))
        requests = (
            request for batch in chosen for request in zip(*(c.to_pylist() for c in batch.columns), strict=True)
        )
        first = next(requests, None)
        if first is None:
            return None
        frame = msgspec.json.decode(first[1])
        if Template(read_pipeline(lake, folder).system, file=SYSTEM).columns:
            del frame["system"]  # it differs from row to row
        frame["messages"] = [{"role": "user", "content": "."}]
        prefix = {name: frame[name] for name in ("model", "tools", "system", "messages") if name in frame}
        try:
            frame_tokens, prefix_tokens = map(claude.count_tokens, (frame, prefix))
        except (ApiError, SetupError) as error:
            log.warning("%s No tokens were counted: estimates go by earlier batches, or by a rule of thumb", error)
            return None
        counts = list(_counts(chain([first], requests), claude))
    if not counts:
        return None
    found = counted(
        [(size, tokens) for _, size, tokens in counts],
        prefix_tokens=prefix_tokens,
        frame=(len(msgspec.json.encode(frame)), frame_tokens),
        request_ids=[request_id for request_id, _, _ in counts],
    )
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


def _counts(requests: Iterator[tuple[str, str]], claude: Claude) -> Iterator[tuple[str, int, int]]:
    """Id, bytes and tokens of each request that the API counts, until it fails. Only a few are in memory at once."""

    def count(params: str) -> int | None:
        try:
            return claude.count_tokens(msgspec.json.decode(params))
        except ApiError as error:
            if error.retryable:
                raise
            log.warning("%s The estimates go without this count", error)
            return None

    with ThreadPoolExecutor(_CALLS_AT_ONCE) as callers:
        while some := list(islice(requests, _CALLS_AT_ONCE)):
            try:
                tokens = list(callers.map(count, [params for _, params in some]))
            except (ApiError, SetupError) as error:
                log.warning("%s The estimates go by the requests counted so far", error)
                return
            for (request_id, params), found in zip(some, tokens, strict=True):
                if found is not None:
                    yield request_id, len(params.encode()), found
