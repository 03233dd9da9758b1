"""chunk.py: requests are split into chunks that the API takes as one batch each."""

from __future__ import annotations

import json
import random
import re

import msgspec
import pyarrow as pa
import pytest

from include.enrichment.documents.attachment import params_bytes_as_sent, reference
from include.enrichment.requests.chunk import (
    BODY_HEAD,
    BODY_SEPARATOR,
    BODY_TAIL,
    ITEM_PARTS,
    MAX_BATCH_BYTES,
    MAX_BATCH_REQUESTS,
    REQUESTS_SCHEMA,
    SIZES_SCHEMA,
    BatchLimits,
    body_bytes,
    chunk_id,
    request_sizes,
    split_chunks,
)
from include.enrichment.requests.request import Request, make_request
from tests.unit.enrichment.documents.test_attachment import SCAN


def _requests(*texts: str) -> list[Request]:
    return [make_request(json.dumps({"m": text}, ensure_ascii=False).encode()) for text in texts]


def _body(requests: list[Request]) -> bytes:
    before, between, after = ITEM_PARTS
    items = (f"{before}{request.request_id}{between}{request.params}{after}" for request in requests)
    return f"{BODY_HEAD}{BODY_SEPARATOR.join(items)}{BODY_TAIL}".encode()


def _chunks(requests: list[Request], limits: BatchLimits) -> list[list[Request]]:
    """The requests of each chunk, in the order of their ids."""
    by_id = {request.request_id: request for request in requests}
    parts = split_chunks(_sizes({request.request_id: len(request.params.encode()) for request in requests}), limits)
    return [[by_id[request_id] for request_id in part["request_id"].to_pylist()] for part in parts]


def _sizes(params_bytes: dict[str, int]) -> pa.Table:
    return pa.table([sorted(params_bytes), [params_bytes[each] for each in sorted(params_bytes)]], schema=SIZES_SCHEMA)


def _ordered(requests: list[Request]) -> list[Request]:
    return sorted(requests, key=lambda request: request.request_id)


def test_the_params_of_one_request_may_fill_the_body() -> None:
    for most in (1_000, MAX_BATCH_BYTES):
        params = BatchLimits(max_bytes=most).params_bytes
        assert body_bytes(["x" * 22], params) == most


def test_a_size_is_that_of_the_request_as_sent_with_the_bytes_of_its_attachments() -> None:
    text = make_request('{"text":"ü"}'.encode())
    attached = make_request(msgspec.json.encode([{"source": reference(SCAN)}]))
    requests = pa.RecordBatch.from_pylist([vars(each) for each in (text, attached, text)], REQUESTS_SCHEMA)
    as_sent = params_bytes_as_sent(attached.params.encode())
    assert as_sent > SCAN.sent_bytes
    assert request_sizes(requests)["params_bytes"].to_pylist() == [13, as_sent, 13]
    assert request_sizes(requests.slice(1, 1))["params_bytes"].to_pylist() == [as_sent]
    assert request_sizes(requests.slice(2))["params_bytes"].to_pylist() == [13]
    assert request_sizes(requests.slice(3))["params_bytes"].to_pylist() == []


def test_a_body_has_the_documented_form() -> None:
    first, second = _requests("é", "b")
    assert json.loads(_body([first, second])) == {
        "requests": [
            {"custom_id": first.request_id, "params": {"m": "é"}},
            {"custom_id": second.request_id, "params": {"m": "b"}},
        ]
    }


@pytest.mark.parametrize(
    ("requests", "limit", "sizes"),
    [(0, 3, []), (1, 3, [1]), (3, 3, [3]), (4, 3, [3, 1]), (6, 3, [3, 3]), (7, 3, [3, 3, 1]), (3, 1, [1, 1, 1])],
)
def test_a_chunk_closes_at_the_request_limit(requests: int, limit: int, sizes: list[int]) -> None:
    made = _requests(*map(str, range(requests)))
    assert [len(chunk) for chunk in _chunks(made, BatchLimits(max_requests=limit))] == sizes


@pytest.mark.parametrize(
    "texts", [("a", "b"), ("a", "b", "c"), ("é☃𝄞", "é☃𝄞é"), ("", "x" * 1000), ('"\\', "\u2028")], ids=str
)
def test_a_body_of_exactly_the_limit_is_one_chunk_and_a_byte_less_makes_two(texts: tuple[str, ...]) -> None:
    requests = _ordered(_requests(*texts))
    size = len(_body(requests))
    assert _chunks(requests, BatchLimits(max_bytes=size)) == [requests]
    assert _chunks(requests, BatchLimits(max_bytes=size - 1)) == [requests[:-1], requests[-1:]]


@pytest.mark.parametrize("seed", range(20))
def test_chunks_keep_every_request_and_are_as_full_as_the_limits_allow(seed: int) -> None:
    rng = random.Random(seed)
    requests = _requests(*(rng.choice("aé☃𝄞") * rng.randrange(200) + str(number) for number in range(60)))
    limits = BatchLimits(max_requests=rng.randrange(2, 20), max_bytes=rng.randrange(1500, 5000))
    chunks = _chunks(requests, limits)
    assert [request for chunk in chunks for request in chunk] == _ordered(requests)
    for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
        assert len(chunk) <= limits.max_requests
        assert len(_body(chunk)) <= limits.max_bytes
        if following:
            fuller = [*chunk, following[0]]
            assert len(fuller) > limits.max_requests or len(_body(fuller)) > limits.max_bytes


def test_a_request_above_the_byte_limit_makes_its_own_chunk() -> None:
    requests = _requests("a", "x" * 5000, "b")
    chunks = _chunks(requests, BatchLimits(max_bytes=1000))
    assert [requests[1]] in chunks
    assert sum(map(len, chunks)) == 3


def test_the_order_of_the_rows_does_not_change_the_chunks() -> None:
    requests = _requests(*map(str, range(50)))
    limits = BatchLimits(max_requests=7)
    assert _chunks(requests, limits) == _chunks(requests[::-1], limits)


def _first_release(params_bytes: dict[str, int], limits: BatchLimits) -> dict[str, int]:
    """Return the number of each request's chunk in the first release."""
    numbers: dict[str, int] = {}
    number, count, size = 0, 0, len('{"requests":[]}')
    for request_id in sorted(params_bytes):
        item = len('{"custom_id":"","params":}') + len(request_id) + params_bytes[request_id]
        separator = 1 if count else 0
        if count and (count == limits.max_requests or size + separator + item > limits.max_bytes):
            number, count, size, separator = number + 1, 0, len('{"requests":[]}'), 0
        count, size = count + 1, size + separator + item
        numbers[request_id] = number
    return numbers


@pytest.mark.parametrize("seed", range(50))
def test_every_release_makes_the_same_chunks(seed: int) -> None:
    """Other chunks would have other ids, and requests that are planned but not sent would be planned twice."""
    rng = random.Random(seed)
    sizes = {
        make_request(str(rng.random()).encode()).request_id: rng.choice([2, 50, rng.randrange(900)])
        for _ in range(rng.randrange(200))
    }
    limits = BatchLimits(max_requests=rng.choice([1, 7, 100_000]), max_bytes=rng.choice([100, 1_000, 250_000_000]))
    parts = split_chunks(_sizes(sizes), limits)
    numbers = {each: number for number, part in enumerate(parts) for each in part["request_id"].to_pylist()}
    assert numbers == _first_release(sizes, limits)


def test_the_defaults_are_the_apis_limits() -> None:
    assert (BatchLimits().max_requests, BatchLimits().max_bytes) == (MAX_BATCH_REQUESTS, MAX_BATCH_BYTES)
    assert MAX_BATCH_REQUESTS <= 100_000
    assert MAX_BATCH_BYTES < 256_000_000


def test_the_id_of_a_chunk_does_not_depend_on_the_order() -> None:
    assert chunk_id(["a", "b", "c"]) == chunk_id(["c", "a", "b"])


@pytest.mark.parametrize("other", [["a", "b"], ["a", "b", "c", "c"], ["a", "bc"], ["ab", "c"], []])
def test_other_requests_are_another_chunk(other: list[str]) -> None:
    assert chunk_id(other) != chunk_id(["a", "b", "c"])


def test_every_release_gives_a_chunk_the_same_id() -> None:
    """It names the ledger entry: the same chunk under another id would be billed again."""
    assert chunk_id(["b", "a"]) == "fhj3NzEbLcOy8mndeDlrA1"
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", chunk_id(["b", "a"]))


def test_requests_repeated_after_other_failed_batches_are_another_chunk() -> None:
    requests = ["a", "b"]
    afters: list[list[str]] = [[], ["msgbatch_1"], ["msgbatch_2"], ["msgbatch_1", "msgbatch_2"]]
    assert len({chunk_id(requests, after=after) for after in afters}) == 4


def test_requests_repeated_after_the_same_batches_are_the_same_chunk() -> None:
    again = chunk_id(["b", "a"], after=iter(["msgbatch_2", "msgbatch_1"]))
    assert again == chunk_id({"a", "b"}, after={"msgbatch_1", "msgbatch_2"}) == "d6r5AaXN3jEB1HP3FcDxFg"
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", again)


def test_a_first_chunk_follows_no_batch() -> None:
    assert chunk_id(["a"], after=[]) == chunk_id(["a"])


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_the_length_of_a_body_is_known_in_advance(count: int) -> None:
    requests = _requests(*(f"text {number} ü" for number in range(count)))
    params = sum(len(request.params.encode()) for request in requests)
    assert body_bytes([request.request_id for request in requests], params) == len(_body(requests))
