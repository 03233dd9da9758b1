"""The type of a file by its bytes. Its name says nothing."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import puremagic

from include.enrichment.documents.document import IMAGES, PDF
from include.gateways.documents.inspection.problem import Problem

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
#: Any text. Which one it is, for example HTML or CSV, is for inspect_text() to tell.
TEXT = "text/plain"
SUPPORTED = "PDF, JPEG, PNG, GIF, WebP, DOCX, HTML, Markdown, CSV, JSON and plain text"

#: Claude and pdfium look so far for the header of a PDF, as Acrobat does. What follows tells it from a text about PDF.
_HEAD_BYTES = 1024
_PDF_HEADER = re.compile(rb"%PDF-\d\.\d")
_PDF_OBJECT = re.compile(rb"\b\d{1,10}\s{1,9}\d{1,5}\s{1,9}obj\b")
#: Are texts, but only for the programs that draw them.
_UNREADABLE_TEXTS = ("application/rtf", "application/postscript")
_ZIPPED = {"word/": DOCX, "xl/": "an Excel workbook", "ppt/": "a PowerPoint presentation"}
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
#: Control characters that no text has.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def kind_of(path: Path) -> str:
    """
    Return the media type of a file: a PDF, one of the images that the API takes, DOCX, or ``text/plain`` for any text.

    Raises Problem for anything else, and OSError if the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(64 * 1024)
    if not head:
        raise Problem("is empty (0 bytes)")
    if is_pdf(head):
        return PDF
    named = _named(head)
    if named in IMAGES:
        return named
    if head.startswith(b"PK\x03\x04"):
        return _zipped(path)
    if is_text(head) and named not in _UNREADABLE_TEXTS:
        return TEXT
    known = f"is {named}, which cannot be sent" if named else "is of an unknown type, which cannot be sent"
    raise Problem(f"{known}. Supported are {SUPPORTED}", media_type=named if "/" in named else "")


def is_pdf(head: bytes) -> bool:
    """Return whether a file that begins like this is a PDF: other bytes may come before its header."""
    header = _PDF_HEADER.search(head, 0, _HEAD_BYTES)
    return header is not None and (header.start() == 0 or _PDF_OBJECT.search(head, header.end()) is not None)


def is_text(head: bytes) -> bool:
    """Return whether bytes can be a text, in UTF-8, in UTF-16 with its mark, or in an encoding of one byte."""
    return head.startswith(_BOMS) or not _BINARY.search(head)


def _named(head: bytes) -> str:
    """Return the media type or the name of what begins like this; empty if that is unknown."""
    try:
        # Given the file, puremagic would also believe its name.
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return ""
    return next((guess.mime_type or guess.name for guess in found if guess.mime_type or guess.name), "")


def _zipped(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Problem(f"is a broken ZIP archive: {error}", media_type="application/zip") from error
    kind = next(
        (kind for part, kind in _ZIPPED.items() if any(name.startswith(part) for name in names)), "a ZIP archive"
    )
    if kind != DOCX:
        raise Problem(f"is {kind}, which cannot be sent. Supported are {SUPPORTED}", media_type="application/zip")
    return DOCX
