"""limits.py: what a model takes in one request, with the numbers of what it does not."""

from __future__ import annotations

import pytest

from include.enrichment.documents.limits import RequestLimits, Size, image_size

LARGE = RequestLimits(model="claude-sonnet-5", context_tokens=1_000_000)
SMALL = RequestLimits(model="claude-haiku-4-5", context_tokens=200_000)


def _pdf(pages: int, tokens: int = 0) -> Size:
    return Size(name="a.pdf", pages=pages, tokens=tokens)


def _image(side: int = 100, sent_bytes: int = 100) -> Size:
    return Size(name="a.png", tokens=1, pixels=(side, 1), sent_bytes=sent_bytes)


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        (LARGE, [_pdf(600, 1_000_000)]),
        (SMALL, [_pdf(60), _pdf(40, 200_000)]),
        (RequestLimits(model="new"), [_pdf(600, 5_000_000)]),
        (LARGE, [_image()] * 600),
        (LARGE, [_image(8_000)] * 20),
        (LARGE, [_image(2_000, 7_500_000)] * 21),
    ],
)
def test_the_limits_are_inclusive(limits: RequestLimits, sizes: list[Size]) -> None:
    assert limits.problem(sizes, is_part=False) is None


@pytest.mark.parametrize(
    ("limits", "sizes", "problem"),
    [
        (LARGE, [_pdf(601)], "the document a.pdf has 601 pages, but claude-sonnet-5 takes 600 in a request"),
        (SMALL, [_pdf(60), _pdf(41)], "together, the 2 documents have 101 pages, but claude-haiku-4-5 takes 100"),
        (
            LARGE,
            [_pdf(500, 1_200_000)],
            "the document a.pdf has about 1,200,000 tokens on 500 pages, but the context window of claude-sonnet-5 has"
            " 1,000,000; set attachments.split_pages",
        ),
        (SMALL, [Size(name="a.txt", tokens=200_001)], "the document a.txt has about 200,001 tokens, but the context"),
        (SMALL, [_image()] * 101, "there are 101 images, but claude-haiku-4-5 takes 100 in a request"),
        (LARGE, [_image(8_001)], "the longer side of the image a.png has 8,001 pixels, but the API takes 8,000"),
        (
            LARGE,
            [_image(2_001)] * 21,
            "the longer side of the image a.png has 2,001 pixels, but the API takes 2,000 with 21 images",
        ),
        (LARGE, [_image(100, 7_500_001)], "the image a.png has 10,000,004 bytes in base64, but the API takes 10,000,0"),
    ],
)
def test_what_exceeds_a_limit_is_told_with_its_numbers(limits: RequestLimits, sizes: list[Size], problem: str) -> None:
    assert str(limits.problem(sizes, is_part=False)).startswith(problem)


def test_a_part_that_is_too_long_is_to_be_split_lower() -> None:
    assert str(SMALL.problem([_pdf(101)], is_part=True)).endswith("; set attachments.split_pages lower")


@pytest.mark.parametrize(
    ("pixels", "model", "images", "size"),
    [
        ((1_000, 500), "claude-haiku-4-5", 1, (1_000, 500)),
        ((3_136, 1_568), "claude-haiku-4-5", 1, (1_568, 784)),
        ((2_400, 100), "claude-sonnet-5-5", 20, (2_400, 100)),
        ((2_400, 100), "claude-sonnet-5-5", 21, (2_000, 83)),
        ((9_000, 1), "claude-sonnet-5-5", 21, (2_000, 1)),
    ],
)
def test_an_image_is_sent_as_the_model_sees_it(
    pixels: tuple[int, int], model: str, images: int, size: tuple[int, int]
) -> None:
    assert image_size(pixels, model, images=images) == size
