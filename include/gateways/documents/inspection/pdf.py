"""PDFs: their pages, by pdfium, and their decrypted copies and parts, by qpdf."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from include.enrichment.documents.document import PDF, Inspected, Page
from include.enrichment.documents.recipe import Recipe
from include.gateways.documents.inspection.page import read_page
from include.gateways.documents.inspection.problem import Problem

#: The most pages that are looked at: a /Count may say anything, and no request takes more than 600.
MOST_PAGES = 10_000
#: The most text of all pages together: more does not fit into a request of 32 MB.
MOST_TEXT = 32_000_000
_TAIL_BYTES = 2048


def inspect_pdf(path: Path) -> Inspected:
    """Return what is in a PDF. Raises Problem if it cannot be opened, or if one of its pages cannot."""
    with _opened(path) as document:
        count = len(document)
        if count == 0:
            raise Problem("has 0 pages")
        if count > MOST_PAGES:
            raise Problem(f"says that it has {count:,} pages; at most {MOST_PAGES:,} are read")
        # pdfium had to search it for objects: that finds those of a copy that broke off too, but not all of them.
        if not pdfium_c.FPDF_DocumentHasValidCrossReferenceTable(document) and not _has_end(path):
            raise Problem("is cut off: its end, %%EOF, is missing, and so may be pages")
        encrypted = pdfium_c.FPDF_GetSecurityHandlerRevision(document) != -1
        return Inspected(media_type=PDF, pages=list(_pages(document, count)), encrypted=encrypted)


def make_pdf(path: Path, recipe: Recipe, out: Path) -> None:
    """
    Make the decrypted copy of a PDF, or one of some of its pages, the same bytes every time.

    Raises Problem if the PDF does not allow it.
    """
    try:
        with pikepdf.open(path) as source:
            if not recipe.pages:
                source.save(out, encryption=False, deterministic_id=True)
                return
            first, last = recipe.pages
            if not first <= last <= len(source.pages):
                raise Problem(f"ends at page {len(source.pages):,}, so that pages {first}-{last} cannot be sent")
            with pikepdf.new() as part:
                part.pages.extend(source.pages[first - 1 : last])
                # Pages often share one list of all images of a document: without this, a part is as large as the whole.
                part.remove_unreferenced_resources()
                part.save(out, deterministic_id=True)
    except pikepdf.PasswordError as error:
        raise Problem("needs a password to open") from error
    except pikepdf.PdfError as error:
        raise Problem(f"is not a valid PDF: {_line(error)}") from error


def _opened(path: Path) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        # Where pdfium sets no code, it keeps that of a document before. No encryption hides the key that announces it.
        if error.err_code == pdfium_c.FPDF_ERR_PASSWORD and b"/Encrypt" in path.read_bytes():
            raise Problem("needs a password to open") from error
        if error.err_code == pdfium_c.FPDF_ERR_SECURITY:
            raise Problem("is encrypted in a way that cannot be read") from error
        if _is_without_pages(path):
            raise Problem("has 0 pages") from error
        if not _has_end(path):
            raise Problem("is cut off: its end, %%EOF, is missing, and its pages cannot be found") from error
        raise Problem("is not a valid PDF: it begins like one, but its pages cannot be found") from error


def _is_without_pages(path: Path) -> bool:
    """Return whether a PDF that pdfium does not open is whole, but has no pages."""
    try:
        with pikepdf.open(path, attempt_recovery=False, suppress_warnings=True) as document:
            return not document.pages
    except pikepdf.PdfError:
        return False


def _has_end(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return b"%%EOF" in file.read()


def _pages(document: pdfium.PdfDocument, count: int) -> Iterator[Page]:
    characters = 0
    for number in range(1, count + 1):
        try:
            found = read_page(document, number)
        except pdfium.PdfiumError as error:
            raise Problem(f"says that it has {count:,} pages, but page {number:,} is broken") from error
        characters += len(found.text)
        if characters > MOST_TEXT:
            raise Problem(f"has more than {MOST_TEXT:,} characters of text on its first {number:,} pages")
        yield found


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
