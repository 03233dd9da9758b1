"""The tokens that documents, images and texts probably take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.enrichment.documents.document import Page
from include.enrichment.documents.tokens import image_tokens, layer_tokens, pdf_tokens, seen_pixels, text_tokens

NEW, OLD = "claude-sonnet-5-5", "claude-haiku-4-5-20251001"
#: As long as the prose of the measured page: 728 tokens on 5.5 models.
PROSE = "The parties agree as follows. " * 85


@pytest.mark.parametrize(
    ("text", "model", "measured"), [(PROSE, NEW, 2_347), (PROSE, OLD, 2_115), ("", NEW, 1_600), ("", OLD, 1_592)]
)
def test_a_page_takes_what_was_measured(text: str, model: str, measured: int) -> None:
    assert pdf_tokens([Page(number=1, text=text)], model) == pytest.approx(measured, rel=0.05)


def test_a_page_as_text_takes_less_than_a_third_of_its_tokens() -> None:
    assert text_tokens(PROSE, NEW) == pytest.approx(728, rel=0.05)
    assert text_tokens(PROSE, NEW) * 3 < pdf_tokens([Page(number=1, text=PROSE)], NEW)


def test_tokens_are_linear_in_the_pages() -> None:
    page = Page(number=1, text=PROSE)
    assert pdf_tokens([page] * 150, NEW) == 150 * pdf_tokens([page], NEW)
    assert layer_tokens([page] * 150, NEW) == 150 * text_tokens(PROSE, NEW)
    assert pdf_tokens([], NEW) == 0


def test_a_text_with_half_a_character_is_no_error() -> None:
    assert text_tokens("\ud83d", NEW) == 1


@pytest.mark.parametrize(
    ("pixels", "model", "seen", "tokens"),
    [
        ((200, 100), NEW, (200, 100), 8 * 4),
        ((1092, 1092), OLD, (1092, 1092), 39 * 39),
        ((3000, 2000), OLD, (1344, 896), 48 * 32),
        ((2000, 3000), OLD, (896, 1344), 48 * 32),
        ((3000, 2000), NEW, (2352, 1568), 84 * 56),
        ((8000, 8000), NEW, (1932, 1932), 69 * 69),
        ((8000, 10), OLD, (1568, 2), 56),
        ((8000, 1), OLD, (1568, 1), 56),
    ],
)
def test_an_image_takes_a_token_for_each_square_of_28_pixels_as_the_model_sees_it(
    pixels: tuple[int, int], model: str, seen: tuple[int, int], tokens: int
) -> None:
    assert (seen_pixels(pixels, model), image_tokens(pixels, model)) == (seen, tokens)


@given(
    st.tuples(st.integers(1, 40_000), st.integers(1, 40_000)), st.sampled_from([(NEW, 2576, 4784), (OLD, 1568, 1568)])
)
def test_no_image_is_seen_larger_than_the_documented_limits(
    pixels: tuple[int, int], tier: tuple[str, int, int]
) -> None:
    model, edge, tokens = tier
    seen = seen_pixels(pixels, model)
    assert max(seen) <= edge
    assert image_tokens(pixels, model) <= tokens
    assert seen_pixels(seen, model) == seen


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("claude-haiku-4-5", 1568),
        ("claude-sonnet-4-6", 1568),
        ("claude-opus-4-7", 4784),
        ("claude-opus-5", 4784),
        ("claude-sonnet-4-20250514", 1568),
        ("claude-3-5-haiku-20241022", 1568),
        ("claude-of-tomorrow", 4784),
    ],
)
def test_models_from_4_7_on_see_more(model: str, most: int) -> None:
    assert most * 0.9 < image_tokens((8000, 6000), model) <= most
