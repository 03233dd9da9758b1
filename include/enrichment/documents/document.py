"""What inspection finds in an object: its type by its bytes, its pages and their text."""

from __future__ import annotations

import msgspec

PDF = "application/pdf"
#: The types of images that the API takes (its documentation of vision, 2026-08).
IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_NAMES = {
    **{PDF: "PDF", DOCX: "DOCX"},
    **dict(zip(IMAGES, ("JPEG", "PNG", "GIF", "WebP"), strict=True)),
    **{"text/html": "HTML", "text/markdown": "Markdown", "text/csv": "CSV", "application/json": "JSON"},
    "text/plain": "plain text",
}


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """
    A page of a document. A text without pages is one page; an image has none.

    :param number: from 1, in the whole document
    :param text: its text layer, lines in reading order; empty for a scan
    :param image_share: the part of its area that images cover, 0 to 1
    :param rules: its horizontal and vertical lines, of which tables are drawn
    """

    number: int
    text: str
    image_share: float = 0.0
    rules: int = 0


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """
    What inspection found in an object's bytes.

    :param media_type: by its bytes, whatever its name says. Empty if ``problem`` says that nothing is known
    :param pages: those of a PDF; one page with the text of any other text, for example DOCX or CSV; none of an image
    :param pixels: width and height of an image as it is shown, so after EXIF rotation
    :param orientation: the EXIF orientation of an image, 1 to 8; 1 is upright
    :param encrypted: opens without a password but is encrypted, so it is sent decrypted
    :param left_out: the pictures, charts and formulas of a DOCX, of which only the text is sent
    :param problem: why it cannot be sent, in words that continue "the document"; None: it can
    """

    media_type: str
    pages: list[Page] = []
    pixels: tuple[int, int] | None = None
    orientation: int = 1
    encrypted: bool = False
    left_out: int = 0
    problem: str | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """
    An object that was read in full.

    :param uri: ``s3://bucket/key`` exactly as stored, or the absolute path of a local file
    :param version: its ETag
    :param sha256: of its bytes, in hex
    """

    uri: str
    version: str
    size_bytes: int
    sha256: str


def type_name(media_type: str) -> str:
    """Return what people call a media type, for example ``DOCX``."""
    return _NAMES.get(media_type, media_type)
