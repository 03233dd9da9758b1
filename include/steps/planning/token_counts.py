"""Token counts: the API counts a sample of a run's requests, free of charge, before any of them is sent."""

from __future__ import annotations

import binascii
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from include.enrichment.cost.attached_sizes import ATTACHED_SIZES_SCHEMA, attached_sizes
from include.enrichment.cost.token_sample import CountedVariants, TokenSample, choose_sample, summarise_sample
from include.enrichment.documents.attachment import Attachment, attachments_in, source_around, split_attachments
from include.enrichment.errors import ApiError, LakeError, SetupError
from include.enrichment.requests.chunk import SIZES_SCHEMA, request_sizes
from include.enrichment.requests.request_ids import RequestIds
from include.enrichment.requests.template import Template
from include.enrichment.spec.pipeline import Pipeline
from include.enrichment.spec.variants.files import SYSTEM
from include.enrichment.storage.layout import RunFolder
from include.gateways.disk import working_folder
from include.gateways.documents.attachment_bytes import AttachmentBytes
from include.gateways.documents.buckets import Buckets
from include.gateways.documents.inspector import Inspector
from include.gateways.lake import Lake
from include.steps.files.extracted import (
    fetch_rows,
    read_pipeline,
    read_request_ids,
    read_requests,
    read_variant_ids,
)

if TYPE_CHECKING:  # plan imports this module too and needs no SDK
    from include.gateways.claude import Claude

log = logging.getLogger(__name__)

_CALLS_AT_ONCE = 16
_COUNTED: TypeAdapter[TokenSample | CountedVariants] = TypeAdapter(TokenSample | CountedVariants)


class _Count(NamedTuple):
    """
    A request that was counted: its text, which is all but its attachments, and these.

    :param reckoned: the tokens that its attachments were expected to take
    :param attached: the tokens that they take
    """

    request_id: str
    text_bytes: int
    text_tokens: int
    reckoned: int
    attached: int


def count_sample(
    folder: RunFolder, *, lake: Lake, claude: Claude, buckets: Buckets | None = None
) -> dict[str, TokenSample]:
    """
    Let the API count the tokens of a sample of the run's requests, and write the counts to the run's folder. Return the
    counts of each variant; without variants the only one has no name.

    choose_sample() chooses the requests; of a small run, all. A request with attachments is counted with them and
    without. A request that the API does not count, or whose attachments cannot be read, is left out, and if the API
    fails, the counts so far are used. If no request of a variant can be sent or was counted, it has no counts, and its
    estimates use earlier batches. Counting is free.

    :param buckets: where the attachments are; None if there are none
    """
    pipeline = read_pipeline(lake, folder)
    found: dict[str, TokenSample] = {}
    with working_folder() as temporary, ExitStack() as opened:
        rows = temporary / "rows.parquet"
        fetch_rows(lake, folder, rows)
        attached = AttachmentBytes(buckets, opened.enter_context(Inspector())) if buckets else None
        groups = read_variant_ids(rows, pipeline.variants) or {"": read_request_ids(rows)}
        for name, of_variant in pipeline.by_variant.items():
            if sample := _count_variant(name, of_variant, rows, groups, claude, attached):
                found[name] = sample
    if found:
        written = CountedVariants(variants=found) if pipeline.variants else found[""]
        lake.write(folder.counted_json, written.model_dump_json(indent=1).encode())
    return found


def _count_variant(
    name: str,
    pipeline: Pipeline,
    rows: Path,
    groups: Mapping[str, RequestIds],
    claude: Claude,
    attached: AttachmentBytes | None,
) -> TokenSample | None:
    """
    :param groups: the requests of each variant
    """
    requests = _sample(rows, groups[name], pipeline, share=len(groups))
    first = next(requests, None)
    if first is None:
        return None
    frame = msgspec.json.decode(first[1])
    if Template(pipeline.system, file=SYSTEM).columns:
        del frame["system"]  # it differs from row to row
    frame["messages"] = [{"role": "user", "content": "."}]
    prefix = {name: frame[name] for name in ("model", "tools", "system", "messages") if name in frame}
    of_variant = f" of variant {name}" if name else ""
    try:
        frame_tokens, prefix_tokens = map(claude.count_tokens, (frame, prefix))
        if "system" in prefix:
            log.info(
                "All requests%s begin with the same %s tokens, as the API counts them", of_variant, f"{prefix_tokens:,}"
            )
    except (ApiError, SetupError) as error:
        log.warning("%s No tokens were counted: estimates use earlier batches, or a rule of thumb", error)
        return None
    counts = list(_counts(chain([first], requests), claude, attached))
    if not counts:
        return None
    return summarise_sample(
        [(each.text_bytes, each.text_tokens) for each in counts],
        prefix_tokens=prefix_tokens,
        frame=(len(msgspec.json.encode(frame)), frame_tokens),
        request_ids=[each.request_id for each in counts],
        attached=[(each.reckoned, each.attached) for each in counts],
    )


def read_counted(folder: RunFolder, lake: Lake) -> dict[str, TokenSample]:
    """Return the counts that count_sample() wrote; none if they cannot be read."""
    if (stored := lake.find(folder.counted_json)) is None:
        return {}
    try:
        found = _COUNTED.validate_json(stored.data)
    except ValidationError as error:
        log.warning("%s cannot be read: %s", lake.locate(folder.counted_json), error)
        return {}
    return found.variants if isinstance(found, CountedVariants) else {"": found}


def _sample(rows: Path, request_ids: RequestIds, pipeline: Pipeline, *, share: int) -> Iterator[tuple[str, str]]:
    """
    Id and params of each request to count.

    :param share: of this many variants, each has its own sample, and all of them are as large as one
    """
    attaching = bool(pipeline.settings.attached_columns)
    measure, schema = (attached_sizes, ATTACHED_SIZES_SCHEMA) if attaching else (request_sizes, SIZES_SCHEMA)
    sizes = map(measure, read_requests(rows, request_ids))
    for batch in read_requests(rows, choose_sample(pa.Table.from_batches(sizes, schema), share=share)):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _counts(requests: Iterator[tuple[str, str]], claude: Claude, attached: AttachmentBytes | None) -> Iterator[_Count]:
    """The counts of the requests, until the API fails. Only a few requests are in memory at once."""

    def count(request: tuple[str, str]) -> _Count | None:
        request_id, text = request
        params = text.encode()
        attachments = attachments_in(params)
        reckoned = sum(each.tokens for each in attachments)
        try:
            if not attachments or attached is None:
                return _Count(request_id, len(params), claude.count_tokens(msgspec.json.decode(params)), 0, 0)
            bare = _without_attachments(params)
            tokens = claude.count_tokens(_with_bytes(params, attached))
            text_tokens = claude.count_tokens(bare)
            text_bytes = len(msgspec.json.encode(bare))
            return _Count(request_id, text_bytes, text_tokens, reckoned, max(tokens - text_tokens, 0))
        except ApiError as error:
            if error.retryable:
                raise
            log.warning("%s The estimates do without this count", error)
        except LakeError as error:
            log.warning("%s Its request is left out of the counted sample.", error)
        return None

    with ThreadPoolExecutor(_CALLS_AT_ONCE) as callers:
        while portion := list(islice(requests, _CALLS_AT_ONCE)):
            try:
                yield from filter(None, list(callers.map(count, portion)))
            except (ApiError, SetupError) as error:
                log.warning("%s The estimates use the requests counted so far", error)
                return


def _with_bytes(params: bytes, attached: AttachmentBytes) -> dict[str, Any]:
    """Return the params as they are sent inline."""

    def piece_as_sent(piece: bytes | Attachment) -> bytes:
        if isinstance(piece, bytes):
            return piece
        head, tail = source_around(piece)
        return b"".join([head, binascii.b2a_base64(attached.read(piece), newline=False), tail])

    decoded: dict[str, Any] = msgspec.json.decode(b"".join(map(piece_as_sent, split_attachments(params))))
    return decoded


def _without_attachments(params: bytes) -> dict[str, Any]:
    """Return the params without the content blocks that are attachments."""
    decoded: dict[str, Any] = msgspec.json.decode(params)
    for message in decoded["messages"]:
        if isinstance(blocks := message["content"], list):
            message["content"] = [block for block in blocks if not _is_attachment(block)]
    return decoded


def _is_attachment(block: dict[str, Any]) -> bool:
    source = block.get("source")
    return isinstance(source, dict) and source.get("type") == "attachment"
