"""Token counts: the API counts a sample of a run's requests, free of charge, before any of them is sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from pydantic import ValidationError

from include.enrichment.cost.token_sample import TokenSample, choose_sample, summarise_sample
from include.enrichment.errors import ApiError, SetupError
from include.enrichment.requests.chunk import SIZES_SCHEMA, request_sizes
from include.enrichment.requests.template import Template
from include.enrichment.spec.pipeline import SYSTEM
from include.enrichment.storage.layout import RunFolder
from include.gateways.disk import working_folder
from include.gateways.lake import Lake
from include.steps.files.extracted import fetch_rows, read_pipeline, read_request_ids, read_requests

if TYPE_CHECKING:  # plan imports this module too and needs no SDK
    from include.gateways.claude import Claude

log = logging.getLogger(__name__)

_CALLS_AT_ONCE = 16


def count_sample(folder: RunFolder, *, lake: Lake, claude: Claude) -> TokenSample | None:
    """
    Let the API count the tokens of a sample of the run's requests, and write the counts to the run's folder.

    choose_sample() chooses the requests; of a small run, all. A request that the API does not count is left out, and if
    the API fails, the counts so far are used. Returns None and writes nothing if no row can be sent or nothing was
    counted: estimates then use earlier batches. Counting is free.
    """
    with working_folder() as temporary:
        rows = temporary / "rows.parquet"
        fetch_rows(lake, folder, rows)
        sizes = map(request_sizes, read_requests(rows, read_request_ids(rows)))
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
            if "system" in prefix:
                log.info("All requests begin with the same %s tokens, as the API counts them", f"{prefix_tokens:,}")
        except (ApiError, SetupError) as error:
            log.warning("%s No tokens were counted: estimates use earlier batches, or a rule of thumb", error)
            return None
        counts = list(_counts(chain([first], requests), claude))
    if not counts:
        return None
    found = summarise_sample(
        [(size, tokens) for _, size, tokens in counts],
        prefix_tokens=prefix_tokens,
        frame=(len(msgspec.json.encode(frame)), frame_tokens),
        request_ids=[request_id for request_id, _, _ in counts],
    )
    lake.write(folder.counted_json, found.model_dump_json(indent=1).encode())
    return found


def read_counted(folder: RunFolder, lake: Lake) -> TokenSample | None:
    """Return the counts that count_sample() wrote, or None if there are none."""
    stored = lake.find(folder.counted_json)
    try:
        return TokenSample.model_validate_json(stored.data) if stored else None
    except ValidationError as error:
        log.warning("%s cannot be read: %s", lake.locate(folder.counted_json), error)
        return None


def _counts(requests: Iterator[tuple[str, str]], claude: Claude) -> Iterator[tuple[str, int, int]]:
    """Id, bytes and tokens of each request, until the API fails. Only a few requests are in memory at once."""

    def count(params: str) -> int | None:
        try:
            return claude.count_tokens(msgspec.json.decode(params))
        except ApiError as error:
            if error.retryable:
                raise
            log.warning("%s The estimates do without this count", error)
            return None

    with ThreadPoolExecutor(_CALLS_AT_ONCE) as callers:
        while portion := list(islice(requests, _CALLS_AT_ONCE)):
            try:
                tokens = list(callers.map(count, [params for _, params in portion]))
            except (ApiError, SetupError) as error:
                log.warning("%s The estimates use the requests counted so far", error)
                return
            for (request_id, params), found in zip(portion, tokens, strict=True):
                if found is not None:
                    yield request_id, len(params.encode()), found
