"""The pages of a PDF, as their text layers. A page without one, for example of a scan, has an empty text."""

from __future__ import annotations

import re
import time
import zlib
from threading import Lock

import pypdfium2
from pypdfium2 import raw

from include.emulator.documents.document import Unreadable

_HEADER, _HEADER_WITHIN = b"%PDF-", 1024
#: A page's text is cut here, and a document that takes longer has no text after that: both only happen to documents
#: that are made to be slow, of which the API itself says nothing.
_MOST_CHARACTERS, _MOST_SECONDS = 50_000, 30.0

#: Of all streams but images, when they are decompressed. pdfium would take minutes, and 15 bytes of memory for each.
_MOST_BYTES = 50_000_000
_STREAM = re.compile(rb"(?<!end)stream\r?\n")

_pdfium = Lock()  # it is not thread-safe


def read_pdf(data: bytes, most_pages: int) -> tuple[str, ...]:
    """
    Return the text of each page.

    :param most_pages: of a document with more pages no text is read, because no request may have it

    Raises Unreadable if it is not a PDF, if it is damaged beyond repair, or if it is encrypted.
    """
    if not data:
        raise Unreadable("PDF cannot be empty.")
    if _HEADER not in data[:_HEADER_WITHIN]:
        raise Unreadable("The PDF specified was not valid.")
    if _is_bomb(data):
        raise Unreadable("Could not process PDF")
    with _pdfium:
        return _read(data, most_pages)


def _is_bomb(data: bytes) -> bool:
    """Return whether its compressed streams are too large to be read; images are not read."""
    left = _MOST_BYTES
    for start in _STREAM.finditer(data):
        header = data[max(data.rfind(b" obj", 0, start.start()), start.start() - 2_000, 0) : start.start()]
        if b"/FlateDecode" not in header or b"/Image" in header:
            continue
        inflater, piece = zlib.decompressobj(), data[start.end() : start.end() + _MOST_BYTES // 100]
        try:
            while piece and left >= 0:
                left -= len(inflater.decompress(piece, 1_000_000))
                piece = inflater.unconsumed_tail
        except zlib.error:  # pdfium decides what to make of it
            continue
        if left < 0:
            return True
    return False


def _read(data: bytes, most_pages: int) -> tuple[str, ...]:
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        locked = error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)
        raise Unreadable(f"The PDF specified {'is password protected' if locked else 'was not valid'}.") from error
    with pdf:
        if raw.FPDF_GetSecurityHandlerRevision(pdf) != -1:  # opens without a password, but is encrypted
            raise Unreadable("The PDF specified is password protected.")
        count = len(pdf)
        if not count:
            raise Unreadable("The PDF specified was not valid.")
        if count > most_pages:
            return ("",) * count
        late = time.monotonic() + _MOST_SECONDS
        return tuple("" if time.monotonic() > late else _text(pdf, number) for number in range(count))


def _text(pdf: pypdfium2.PdfDocument, number: int) -> str:
    try:
        page = pdf[number]
    except pypdfium2.PdfiumError:  # this page is damaged, others may not be
        return ""
    try:
        text_page = page.get_textpage()
        try:
            text: str = text_page.get_text_bounded()
        finally:
            text_page.close()
    finally:
        page.close()
    return text[:_MOST_CHARACTERS].replace("\r\n", "\n").replace("\0", "")
