"""The API's limits for the documents and images of one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.enrichment.documents.attachment import base64_bytes
from include.enrichment.documents.tokens import seen_pixels

#: The largest object that is read, in bytes: what the Files API takes (its documentation of files, 2026-08).
MAX_OBJECT_BYTES = 500_000_000
#: The most pages of PDFs in a request, and the most images: with a context window of 1,000,000 tokens, and with less
#: (documentation of PDF support, 2026-08-20, and of vision, 2026-08).
MAX_PAGES, _MAX_PAGES_OF_SMALL = 600, 100
_LARGE_CONTEXT = 1_000_000
#: The most documents of a row that are read: no request takes more images, or PDFs, of which each has a page.
MAX_DOCUMENTS = MAX_PAGES
#: The most bytes of an image in base64, the most pixels of its sides, and of those of each image if there are many.
_MAX_IMAGE_BYTES = 10_000_000
_MAX_SIDE = 8_000
_MANY_IMAGES, _MAX_SIDE_OF_MANY = 20, 2_000


@dataclass(frozen=True, kw_only=True)
class Size:
    """
    What a document or image takes of a request.

    :param name: of its object, for messages
    :param tokens: the input tokens that it probably takes
    :param pages: of a PDF that is sent as its pages; 0 for text and images
    :param pixels: width and height of an image as sent; None for documents
    :param sent_bytes: of an image as sent, before base64
    """

    name: str
    tokens: int
    pages: int = 0
    pixels: tuple[int, int] | None = None
    sent_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """
    What a model takes in one request.

    :param context_tokens: its context window; None: the API does not say, so that it may be the largest
    """

    model: str
    context_tokens: int | None = None

    def problem(self, sizes: Sequence[Size], *, is_part: bool) -> str | None:
        """
        Return why one request cannot have all of these, with the numbers; None if it can.

        :param is_part: of a document that is split already, so that this is not the remedy
        """
        pages = sum(one.pages for one in sizes)
        tokens = sum(one.tokens for one in sizes)
        images = [one for one in sizes if one.pixels]
        remedy = f"; set attachments.split_pages{' lower' if is_part else ''}" if pages else ""
        if pages > self._most:
            return f"{_they_have(sizes)} {pages:,} pages, but {self.model} takes {self._most:,} in a request{remedy}"
        if self.context_tokens is not None and tokens > self.context_tokens:
            has = f"{_they_have(sizes)} about {tokens:,} tokens{f' on {pages:,} pages' if pages else ''}"
            return f"{has}, but the context window of {self.model} has {self.context_tokens:,}{remedy}"
        if len(images) > self._most:
            return f"there are {len(images):,} images, but {self.model} takes {self._most:,} in a request"
        return next((problem for image in images if (problem := _image_problem(image, len(images)))), None)

    @property
    def _most(self) -> int:
        is_small = self.context_tokens is not None and self.context_tokens < _LARGE_CONTEXT
        return _MAX_PAGES_OF_SMALL if is_small else MAX_PAGES


def image_size(pixels: tuple[int, int], model: str, *, images: int) -> tuple[int, int]:
    """
    Return the width and height at which an image is sent: as the model sees it, and within the API's limit.

    :param pixels: its width and height
    :param images: the number of images in the request
    """
    width, height = seen_pixels(pixels, model)
    most = _MAX_SIDE_OF_MANY if images > _MANY_IMAGES else _MAX_SIDE
    scale = min(1.0, most / max(width, height))
    return max(int(width * scale), 1), max(int(height * scale), 1)


def _image_problem(image: Size, images: int) -> str | None:
    size, side = base64_bytes(image.sent_bytes), max(image.pixels or (0,))
    most = _MAX_SIDE_OF_MANY if images > _MANY_IMAGES else _MAX_SIDE
    if side > most:
        among = f" with {images:,} images" if images > _MANY_IMAGES else ""
        return f"the longer side of the image {image.name} has {side:,} pixels, but the API takes {most:,}{among}"
    if size > _MAX_IMAGE_BYTES:
        return f"the image {image.name} has {size:,} bytes in base64, but the API takes {_MAX_IMAGE_BYTES:,}"
    return None


def _they_have(sizes: Sequence[Size]) -> str:
    return f"the document {sizes[0].name} has" if len(sizes) == 1 else f"together, the {len(sizes):,} documents have"
