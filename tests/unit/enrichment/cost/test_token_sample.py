"""token_sample.py: which requests the API counts, and what the counts say about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import pyarrow as pa
import pytest

from include.enrichment.cost.attached_sizes import ATTACHED_SIZES_SCHEMA
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


# Attachments


def attached(requests: Sequence[tuple[int, int, str]]) -> pa.Table:
    """Return the sizes of requests, each with its bytes of attachments, its tokens and its media type."""
    lines = [
        {
            "request_id": f"r{number}",
            "params_bytes": 500,  # attachments that are uploaded add nothing to it, and are counted nevertheless
            "attached_bytes": size,
            "text_bytes": 500,
            "attached_tokens": tokens,
            "most_attached_tokens": tokens,
            "media_types": media_type,
        }
        for number, (size, tokens, media_type) in enumerate(requests)
    ]
    return pa.Table.from_pylist(lines, ATTACHED_SIZES_SCHEMA)


def bytes_of(chosen: Set[str], sizes: pa.Table) -> int:
    return sum(line["attached_bytes"] for line in sizes.to_pylist() if line["request_id"] in chosen)


def test_a_sample_with_attachments_has_at_most_20_megabytes() -> None:
    sizes = attached([(1_400_000 + n, 2_300 * (1 + n % 9), "application/pdf") for n in range(2_000)])
    chosen = choose_sample(sizes)
    assert len(chosen) >= 10
    assert bytes_of(chosen, sizes) <= 20_000_000


def test_small_documents_are_all_counted_beside_a_large_one() -> None:
    sizes = attached([(28_000_000, 200_000, "application/pdf")] + [(60_000, 2_300, "application/pdf")] * 19)
    assert choose_sample(sizes) == {f"r{n}" for n in range(1, 20)}
    assert choose_sample(sizes[:1]) == {"r0"}


def test_attachments_are_chosen_by_their_tokens_and_not_by_their_bytes() -> None:
    many_bytes = [(900_000, 1_600, "application/pdf")] * 400
    many_tokens = [(50_000, 90_000, "application/pdf")] * 20
    chosen = choose_sample(attached(many_bytes + many_tokens))
    assert sum(int(name[1:]) >= 400 for name in chosen) >= 5


def test_each_media_type_is_in_the_sample() -> None:
    pages = [(150_000, 2_300 * (1 + n % 3), "application/pdf") for n in range(900)]
    images = [(150_000, 1_500, "image/png")] * 100
    chosen = choose_sample(attached(pages + images))
    assert 3 <= sum(int(name[1:]) >= 900 for name in chosen) <= 30


def test_counted_attachments_correct_what_was_reckoned() -> None:
    found = summarise_sample(
        [(400, 100), (400, 100), (400, 100)],
        prefix_tokens=0,
        request_ids=["a", "b", "c"],
        attached=[(1_000, 900), (3_000, 3_300), (0, 0)],
    )
    assert found.tokens == {"a": 1_000, "b": 3_400, "c": 100}
    assert found.per_byte.expected == 0.25
    assert found.attachments
    assert [found.attachments.low, found.attachments.expected, found.attachments.high] == [0.9, 1.05, 1.1]
    assert summarise_sample([(400, 100)], prefix_tokens=0).attachments is None


@pytest.mark.parametrize(("share", "chosen"), [(1, 200), (2, 100), (3, 66), (20, 50)])
def test_several_variants_share_the_requests_that_are_counted(share: int, chosen: int) -> None:
    assert len(choose_sample(sizes_of({f"r{n}": 400 for n in range(1_000)}), share=share)) == chosen
