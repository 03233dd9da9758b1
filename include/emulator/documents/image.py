"""
The size of an image, and its tokens.

A token is a patch of 28 by 28 pixels. An image larger than the model's limits is scaled down first, to the largest
size that keeps both (the API's documentation of vision, 2026-08).
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image

from include.emulator.documents.document import Unreadable

MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
#: More pixels are not decoded: no image has as many whose sides the API takes.
_MOST_DECODED = 128_000_000
_PATCH = 28


@dataclass(frozen=True)
class Resolution:
    """The longest side in pixels, and the most tokens, of an image as a model sees it."""

    side: int
    tokens: int


#: Of models before 4.7, and of the others.
STANDARD, HIGH = Resolution(1568, 1568), Resolution(2576, 4784)


def read_image(data: bytes, media_type: str) -> tuple[int, int]:
    """Return width and height in pixels. Raises Unreadable if it is not an image of this media type."""
    if not data:
        raise Unreadable("image cannot be empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "GIF", "WEBP"))
            width, height = image.size
            if image.get_format_mimetype() not in (media_type, "image/mpo"):
                raise Unreadable(f"Image does not match the provided media type {media_type}")
            if width * height > _MOST_DECODED:
                raise _too_large()
            image.verify()
    except Image.DecompressionBombError as error:
        raise _too_large() from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow raises all of these for damaged files
        raise Unreadable("Could not process image") from error
    return width, height


def _too_large() -> Unreadable:
    return Unreadable("At least one of the image dimensions exceed max allowed size: 8000 pixels")


def image_tokens(width: int, height: int, most: Resolution) -> int:
    """Return the tokens of an image of this size, in pixels, for models of this resolution."""
    width, height = _seen(width, height, most)
    return _patches(width, height)


def _patches(width: int, height: int) -> int:
    return -(-width // _PATCH) * -(-height // _PATCH)


def _seen(width: int, height: int, most: Resolution) -> tuple[int, int]:
    """Return the size that the model sees."""
    long, short = max(width, height), min(width, height)
    if long <= most.side and _patches(width, height) <= most.tokens:
        return width, height
    least, too_long = 1, min(long, most.side) + 1
    while too_long - least > 1:  # patches only grow with the long side
        middle = (least + too_long) // 2
        fits = _patches(middle, _scaled(short, middle, long)) <= most.tokens
        least, too_long = (middle, too_long) if fits else (least, middle)
    return least, _scaled(short, least, long)


def _scaled(short: int, to_long: int, long: int) -> int:
    return max(round(short * to_long / long), 1)
