"""
The input tokens that documents, images and texts probably take, before the API has counted any.

A page of a PDF is sent to the model twice, as a picture and as the text in it. Measured in October 2026 (data set
pdf-token-cost v2): a page of prose takes 2,347 tokens (Claude Haiku 4.5: 2,115), a page with a table 2,481 (2,278), a
scanned page 1,600 (1,592); the same prose as plain text takes 728 (503).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from include.enrichment.documents.document import Page

#: An image takes one token per square with sides of this many pixels (the API's documentation of vision, 2026-08).
_PATCH_PIXELS = 28
#: The most UTF-8 bytes per token of ordinary text. A token has at least one byte, so no text takes more than this many
#: times the tokens expected.
MOST_BYTES_PER_TOKEN = 4.5


@dataclass(frozen=True, kw_only=True)
class _Tier:
    """
    How the models of one generation see.

    :param edge_pixels: of an image as they see it, at most
    :param image_tokens: of an image, at most
    :param page_tokens: of the picture of a PDF's page
    :param bytes_per_token: of ordinary text, in UTF-8
    """

    edge_pixels: int
    image_tokens: int
    page_tokens: int
    bytes_per_token: float


_BEFORE_4_7 = _Tier(edge_pixels=1568, image_tokens=1568, page_tokens=1592, bytes_per_token=MOST_BYTES_PER_TOKEN)
_FROM_4_7 = _Tier(edge_pixels=2576, image_tokens=4784, page_tokens=1600, bytes_per_token=3.5)
#: ``-4-5`` in claude-haiku-4-5-20251001, ``-5`` in claude-opus-5.
_VERSION = re.compile(r"-(\d{1,2})(?:-(\d{1,2}))?(?=-|$)")


def text_tokens(text: str, model: str) -> int:
    """Return the tokens of a text that is sent as text."""
    return ceil(len(text.encode(errors="replace")) / _tier(model).bytes_per_token)


def layer_tokens(pages: Iterable[Page], model: str) -> int:
    """Return the tokens of the text in these pages."""
    return sum(text_tokens(page.text, model) for page in pages)


def pdf_tokens(pages: Sequence[Page], model: str) -> int:
    """Return the tokens of these pages of a PDF that is sent as it is: of their pictures, and of the text in them."""
    return len(pages) * _tier(model).page_tokens + layer_tokens(pages, model)


def image_tokens(pixels: tuple[int, int], model: str) -> int:
    """Return the tokens of an image, given its width and height. They are exact."""
    return _patches(*seen_pixels(pixels, model))


def seen_pixels(pixels: tuple[int, int], model: str) -> tuple[int, int]:
    """
    Return the width and height at which the model sees an image.

    The API scales larger images down without an error, so sending more pixels than these gains nothing.
    """
    tier = _tier(model)
    long, short = max(pixels), min(pixels)

    def scaled(edge: int) -> tuple[int, int]:
        return edge, max(round(short * edge / long), 1)

    if long <= tier.edge_pixels and _patches(long, short) <= tier.image_tokens:
        return pixels
    edges = range(1, min(long, tier.edge_pixels) + 1)
    edge = bisect_right(edges, tier.image_tokens, key=lambda edge: _patches(*scaled(edge)))
    return scaled(edge) if pixels[0] == long else scaled(edge)[::-1]


def _patches(width: int, height: int) -> int:
    return ceil(width / _PATCH_PIXELS) * ceil(height / _PATCH_PIXELS)


def _tier(model: str) -> _Tier:
    """A model without a version in its name is a newer one than any that is known here."""
    found = _VERSION.search(model)
    version = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    return _BEFORE_4_7 if version < (4, 7) else _FROM_4_7
