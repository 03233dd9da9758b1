"""How the bytes that are sent are made from those of an object."""

from __future__ import annotations

import pytest

from include.enrichment.documents.document import PDF, Inspected, Page
from include.enrichment.documents.recipe import (
    Recipe,
    media_type_made,
    parse_recipe,
    recipe_for_image,
    recipe_for_pages,
)

FIVE_PAGES = [Page(number=number, text="x") for number in range(1, 6)]


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (Recipe(), ""),
        (Recipe(decrypted=True), "decrypted"),
        (Recipe(pages=(1, 20)), "pages 1-20"),
        (Recipe(upright=True), "upright"),
        (Recipe(size=(1568, 1100)), "1568x1100"),
        (Recipe(upright=True, size=(1568, 1100)), "upright 1568x1100"),
    ],
)
def test_a_recipe_is_the_same_after_it_was_a_text(recipe: Recipe, text: str) -> None:
    assert str(recipe) == text
    assert parse_recipe(text) == recipe


@pytest.mark.parametrize(
    "text", ["pages", "pages 0-3", "pages 1", "upright1568x1100", " 1x1", "1x0", "sideways", "1x1\n"]
)
def test_another_text_is_no_recipe(text: str) -> None:
    with pytest.raises(ValueError, match="is not a recipe"):
        parse_recipe(text)


@pytest.mark.parametrize(
    ("first", "last", "encrypted", "recipe"),
    [
        (1, 5, False, ""),
        (1, 600, False, ""),
        (1, 600, True, "decrypted"),
        (1, 4, True, "pages 1-4"),
        (4, 600, False, "pages 4-5"),
    ],
)
def test_only_what_differs_from_the_object_is_made(first: int, last: int, encrypted: bool, recipe: str) -> None:
    inspected = Inspected(media_type=PDF, pages=FIVE_PAGES, encrypted=encrypted)
    assert recipe_for_pages(inspected, first, last) == recipe


@pytest.mark.parametrize(
    ("pixels", "orientation", "recipe"),
    [
        ((1568, 1100), 1, ""),
        ((1568, 1100), 8, "upright"),
        ((3136, 2200), 1, "1568x1100"),
        ((3136, 2200), 6, "upright 1568x1100"),
        ((900, 600), 1, ""),
    ],
)
def test_an_image_is_turned_and_only_made_smaller(pixels: tuple[int, int], orientation: int, recipe: str) -> None:
    inspected = Inspected(media_type="image/png", pixels=pixels, orientation=orientation)
    assert recipe_for_image(inspected, (1568, 1100)) == recipe


def test_a_gif_becomes_a_png_once_it_is_made_anew() -> None:
    assert media_type_made("image/gif", "") == "image/gif"
    assert media_type_made("image/gif", "100x100") == "image/png"
    assert media_type_made("image/jpeg", "upright") == "image/jpeg"
