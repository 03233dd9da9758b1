"""Recipes: how the bytes that are sent are made from those of an object."""

from __future__ import annotations

import re

import msgspec

from include.enrichment.documents.document import Inspected

_FORM = re.compile(
    r"decrypted|pages (?P<first>[1-9]\d*)-(?P<last>[1-9]\d*)"
    r"|(?P<upright>upright)?(?:(?(upright) )(?P<width>[1-9]\d*)x(?P<height>[1-9]\d*))?"
)
#: What an image becomes if a recipe changes it. A GIF has too few colours to be scaled down.
_MADE = {"image/gif": "image/png"}


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to make the bytes to send. Its text is ``decrypted``, ``pages 1-20``, ``upright``, ``1568x1100`` or
    ``upright 1568x1100``; empty if the object's bytes are sent unchanged.

    :param decrypted: all pages of a PDF that opens without a password, without its encryption
    :param pages: only these pages of a PDF, both inclusive, from 1; without encryption
    :param upright: an image turned as its EXIF orientation says
    :param size: an image scaled down to this width and height in pixels, as it is shown
    """

    decrypted: bool = False
    pages: tuple[int, int] | None = None
    upright: bool = False
    size: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.decrypted:
            return "decrypted"
        if self.pages:
            return f"pages {self.pages[0]}-{self.pages[1]}"
        size = f"{self.size[0]}x{self.size[1]}" if self.size else ""
        return f"{'upright' if self.upright else ''} {size}".strip()


def parse_recipe(text: str) -> Recipe:
    """Return the recipe with this text. Raises ValueError for a text that is not a recipe."""
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is not a recipe, for example 'pages 1-20' or 'upright 1568x1100'")
    first, last, upright, width, height = found.group("first", "last", "upright", "width", "height")
    return Recipe(
        decrypted=text == "decrypted",
        pages=(int(first), int(last)) if first else None,
        upright=bool(upright),
        size=(int(width), int(height)) if width else None,
    )


def recipe_for_pages(inspected: Inspected, first: int, last: int) -> str:
    """Return the recipe for these pages of an inspected PDF, both inclusive; ``last`` may be beyond the end."""
    last = min(last, len(inspected.pages))
    if (first, last) != (1, len(inspected.pages)):
        return str(Recipe(pages=(first, last)))
    return str(Recipe(decrypted=inspected.encrypted))


def recipe_for_image(inspected: Inspected, size: tuple[int, int]) -> str:
    """Return the recipe for an inspected image of which no more than ``size`` (width, height) is of use."""
    smaller = inspected.pixels is not None and (size[0] < inspected.pixels[0] or size[1] < inspected.pixels[1])
    return str(Recipe(upright=inspected.orientation != 1, size=size if smaller else None))


def media_type_made(media_type: str, recipe: str) -> str:
    """Return the media type of what the recipe makes from an object of ``media_type``."""
    return _MADE.get(media_type, media_type) if recipe else media_type
