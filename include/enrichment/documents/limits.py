"""The API's limits for the documents and images of one request, and the size at which an image is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.enrichment.documents.attachment import Attachment, base64_bytes
from include.enrichment.documents.document import IMAGES, PDF

#: The largest object that is read: what the Files API takes (its documentation of files, 2026-08).
MAX_OBJECT_BYTES = 500_000_000
#: The limits of PDFs (documentation of PDF support, 2026-08-20) and of images (documentation of vision, 2026-08).
_LARGE_CONTEXT = 1_000_000
_LARGE, _SMALL = 600, 100
_MAX_IMAGE_BYTES = 10_000_000
_MAX_SIDE = 8_000
_MANY_IMAGES, _MAX_SIDE_OF_MANY = 20, 2_000


@dataclass(frozen=True, kw_only=True)
class Sent:
    """
    A document or image as it would be sent.

    :param name: of its object, for messages
    :param pages: sent as pages of a PDF; 0 for text and images
    :param pixels: width and height of an image as sent
    :param tokens: the input tokens that it probably takes
    :param attachment: None for text
    """

    name: str
    tokens: int
    pages: int = 0
    pixels: tuple[int, int] | None = None
    attachment: Attachment | None = None


@dataclass(frozen=True, kw_only=True)
class RequestLimits:
    """
    What a model takes in one request.

    :param model: for messages
    :param context_tokens: of the model; None: the API does not say, so that it may be the largest
    """

    model: str
    context_tokens: int | None = None

    @property
    def most(self) -> int:
        """The most pages of PDFs, and the most images."""
        return _SMALL if self.context_tokens is not None and self.context_tokens < _LARGE_CONTEXT else _LARGE

    def problem(self, sent: Sequence[Sent], *, split: bool) -> str | None:
        """
        Return why one request cannot have all of these, with the numbers; None if it can.

        :param split: documents are split already, so that this is not the remedy
        """
        pages = sum(one.pages for one in sent)
        images = [one for one in sent if one.pixels]
        tokens = sum(one.tokens for one in sent)
        remedy = "" if split else "; attachments.split_pages sends a long document in parts"
        if pages > self.most:
            return f"{_them(sent)} {pages:,} pages; {self.model} takes {self.most:,} in one request{remedy}"
        if self.context_tokens is not None and tokens > self.context_tokens:
            amount = f"about {tokens:,} tokens"
            within = f"the context window of {self.model} has {self.context_tokens:,}"
            return f"{_them(sent)} {amount}{f' on {pages:,} pages' if pages else ''}; {within}{remedy}"
        if len(images) > self.most:
            return f"it has {len(images):,} images; {self.model} takes {self.most:,} in one request"
        return next((problem for one in images if (problem := _image_problem(one, len(images)))), None)


def longest_side(images: int) -> int:
    """Return the most pixels that a side of an image may have in a request with so many images."""
    return _MAX_SIDE_OF_MANY if images > _MANY_IMAGES else _MAX_SIDE


def _image_problem(image: Sent, images: int) -> str | None:
    width, height = image.pixels or (0, 0)
    size = base64_bytes(image.attachment.sent_bytes) if image.attachment else 0
    if max(width, height) > (most := longest_side(images)):
        among = f" in a request with {images} images" if images > _MANY_IMAGES else ""
        return f"the image {image.name} has {width:,} × {height:,} pixels; the API takes {most:,} a side{among}"
    if size > _MAX_IMAGE_BYTES:
        return f"the image {image.name} has {size:,} bytes in base64; the API takes {_MAX_IMAGE_BYTES:,}"
    return None


def _them(sent: Sequence[Sent]) -> str:
    return f"the document {sent[0].name} has" if len(sent) == 1 else f"its {len(sent)} documents have together"


def kind_problem(media_type: str, kind: str) -> str | None:
    """
    Return why bytes of this type cannot be sent as this kind of block, as words that continue "the document"; None if
    they can.

    :param kind: ``auto``, ``document``, ``image`` or ``text``
    """
    is_image = media_type in IMAGES
    if kind == "auto" or is_image == (kind == "image"):
        return None
    what = "is an image" if is_image else f"is {media_type}, not an image"
    return f"{what} ({media_type}), but its column is sent `as: {kind}`" if is_image else f"{what}, but `as: {kind}`"


def chosen_pages(first_last: str | None, count: int, split: int | None) -> list[tuple[int, int]]:
    """
    Return the ranges of pages, from 1 and inclusive, in which a document is sent: one, or one for each part. Empty if
    it has none of the chosen pages.

    :param first_last: the pages to choose, for example ``1-20``; None: all
    :param count: the pages that the document has
    :param split: the most pages of a part; None: they are sent together
    """
    first, last = map(int, first_last.split("-")) if first_last else (1, count)
    last = min(last, count)
    step = split or max(count, 1)
    return [(start, min(start + step - 1, last)) for start in range(first, last + 1, step)]


def is_whole(pages: tuple[int, int], media_type: str, count: int) -> bool:
    """Return whether these are all pages of the document, so that it is sent as it is."""
    return media_type != PDF or pages == (1, count)
