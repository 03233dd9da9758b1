"""token_sample.py: which requests the API counts, and what the counts say about the others."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest

from include.enrichment.cost.token_sample import choose_sample, summarise_sample
from include.enrichment.requests.chunk import SIZES_SCHEMA


def sizes_of(sizes: Mapping[str, int]) -> pa.Table:
    return pa.table([pa.array(sizes, pa.string()), pa.array(sizes.values(), pa.int32())], SIZES_SCHEMA)


def test_all_of_up_to_200_requests_are_counted() -> None:
    assert choose_sample(sizes_of({f"r{n}": n for n in range(200)})) == {f"r{n}" for n in range(200)}
    assert choose_sample(SIZES_SCHEMA.empty_table()) == set()


def test_the_largest_are_always_counted() -> None:
    large = {f"large{n}": 1_000_000 + n for n in range(20)}
    chosen = choose_sample(sizes_of({f"r{n}": 400 for n in range(5_000)} | large))
    assert chosen >= large.keys()
    assert len(chosen) == 200


def test_the_sample_has_a_few_long_texts_and_many_short_ones() -> None:
    sizes = {f"short{n}": 300 + n % 9 for n in range(5_000)} | {f"long{n}": 90_000 for n in range(200)}
    chosen = choose_sample(sizes_of(sizes))
    assert sum(name.startswith("short") for name in chosen) > 50
    assert sum(name.startswith("long") for name in chosen) > 50


def test_the_order_of_the_rows_does_not_matter() -> None:
    sizes = {f"r{n}": 300 + n % 50 for n in range(1_000)}
    assert choose_sample(sizes_of(sizes)) == choose_sample(sizes_of(dict(reversed(sizes.items()))))


def test_the_common_frame_is_separated_from_the_text_of_each_request() -> None:
    found = summarise_sample([(1_000 + 4 * n, 500 + n) for n in (10, 200, 1_000)], prefix_tokens=0, frame=(1_000, 500))
    assert (found.frame_bytes, found.frame_tokens, found.per_byte.expected) == (1_000, 500, 0.25)


def test_different_densities_give_bounds() -> None:
    found = summarise_sample([(400, 100), (400, 200)], prefix_tokens=0).per_byte
    assert (found.low, found.expected, found.high) == (0.25, 0.375, 0.5)


@pytest.mark.parametrize("counts", [[(321 + n % 4, 81 + n % 4) for n in range(20)], [(100, 90), (110, 10)]])
def test_a_byte_adds_between_zero_and_one_token(counts: list[tuple[int, int]]) -> None:
    found = summarise_sample(counts, prefix_tokens=0, frame=(99, 0)).per_byte
    assert 0 <= found.low <= found.expected <= found.high <= 1


def test_without_text_in_the_sample_each_byte_may_be_a_token() -> None:
    assert summarise_sample([(400, 100)], prefix_tokens=0, frame=(400, 100)).per_byte.high == 1
