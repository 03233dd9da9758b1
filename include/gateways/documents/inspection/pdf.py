"""PDFs: their pages, with text, images and rules, by pdfium; and their decrypted copies and parts, by qpdf."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from include.enrichment.documents.document import PDF, Inspected, Page
from include.enrichment.documents.recipe import Recipe
from include.gateways.documents.inspection.problem import Problem

#: The most pages that are looked at: a /Count may say anything, and no request takes more than 600.
MOST_PAGES = 10_000
#: The most text of all pages together: more does not fit into a request of 32 MB.
MOST_TEXT = 32_000_000
#: The most objects of a page that are looked at for images and rules, and the depth of forms within forms.
_MOST_OBJECTS = 20_000
_MOST_DEPTH = 4
#: A rule is a line at least so long and at most so thick, in points.
_RULE_LENGTH, _RULE_THICKNESS = 20.0, 2.0
#: pdfium's mark where a word is broken over two lines, characters that are none, and its line ends.
_HYPHEN = re.compile("[\x02\ufffe]")
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff\ud800-\udfff]")
_TAIL_BYTES = 2048

_Matrix = tuple[float, float, float, float, float, float]
_Box = tuple[float, float, float, float]
_SAME: _Matrix = (1, 0, 0, 1, 0, 0)


def inspect_pdf(path: Path) -> Inspected:
    """Return what is in a PDF. Raises Problem if it cannot be opened, or if one of its pages cannot."""
    with _opened(path) as document:
        count = len(document)
        if count == 0:
            raise Problem("has 0 pages", media_type=PDF)
        if count > MOST_PAGES:
            raise Problem(f"says that it has {count:,} pages; at most {MOST_PAGES:,} are read", media_type=PDF)
        if _is_cut_off(document, path):
            raise Problem("is cut off: its end, %%EOF, is missing, and so may be pages", media_type=PDF)
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
            # Pages often share one list of all images of the document: without this, a part is as large as the whole.
            source.remove_unreferenced_resources()
            with pikepdf.new() as part:
                part.pages.extend(source.pages[first - 1 : last])
                part.save(out, deterministic_id=True)
    except pikepdf.PasswordError as error:
        raise Problem("needs a password to open") from error
    except pikepdf.PdfError as error:
        raise Problem(f"is not a valid PDF: {_line(error)}") from error


def _opened(path: Path) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if error.err_code == pdfium_c.FPDF_ERR_PASSWORD:
            raise Problem("needs a password to open", media_type=PDF) from error
        if error.err_code == pdfium_c.FPDF_ERR_SECURITY:
            raise Problem("is encrypted in a way that cannot be read", media_type=PDF) from error
        raise Problem("is not a valid PDF: it has a PDF's header, but no pages can be found", media_type=PDF) from error


def _is_cut_off(document: pdfium.PdfDocument, path: Path) -> bool:
    if pdfium_c.FPDF_DocumentHasValidCrossReferenceTable(document):
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return b"%%EOF" not in file.read()


def _pages(document: pdfium.PdfDocument, count: int) -> Iterator[Page]:
    characters = 0
    for number in range(1, count + 1):
        try:
            page = document[number - 1]
        except pdfium.PdfiumError as error:
            raise Problem(f"says that it has {count:,} pages, but page {number:,} is broken", media_type=PDF) from error
        found = _page(page, number)
        page.close()
        characters += len(found.text)
        if characters > MOST_TEXT:
            raise Problem(
                f"has more than {MOST_TEXT:,} characters of text on its first {number:,} pages", media_type=PDF
            )
        yield found


def _page(page: pdfium.PdfPage, number: int) -> Page:
    text = page.get_textpage()
    layer = text.get_text_bounded()
    text.close()
    box: _Box = page.get_bbox()
    images, rules = 0.0, 0
    for found, matrix in _objects(page):
        kind = pdfium_c.FPDFPageObj_GetType(found)
        if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE:
            images += _covered(found, matrix, box)
        elif kind == pdfium_c.FPDF_PAGEOBJ_PATH:
            rules += _rules(found, matrix)
    area = (box[2] - box[0]) * (box[3] - box[1])
    share = min(images / area, 1.0) if area > 0 else 0.0
    return Page(number=number, text=_clean(layer), image_share=round(share, 3), rules=rules)


def _clean(layer: str) -> str:
    lines = _HYPHEN.sub("-", layer.replace("\r\n", "\n").replace("\r", "\n"))
    return _NO_TEXT.sub("", lines).strip()


def _objects(page: pdfium.PdfPage) -> Iterator[tuple[pdfium_c.FPDF_PAGEOBJECT, _Matrix]]:
    """Yield the objects of a page, also those within forms, and how their coordinates become those of the page."""
    left = _MOST_OBJECTS
    forms: list[tuple[pdfium_c.FPDF_PAGEOBJECT, _Matrix, int]] = []
    for index in range(min(pdfium_c.FPDFPage_CountObjects(page), left)):
        forms.append((pdfium_c.FPDFPage_GetObject(page, index), _SAME, 1))
    while forms and left > 0:
        found, matrix, depth = forms.pop()
        left -= 1
        if pdfium_c.FPDFPageObj_GetType(found) != pdfium_c.FPDF_PAGEOBJ_FORM:
            yield found, matrix
        elif depth < _MOST_DEPTH:
            inner = _times(_matrix(found), matrix)
            for index in range(min(pdfium_c.FPDFFormObj_CountObjects(found), left)):
                forms.append((pdfium_c.FPDFFormObj_GetObject(found, index), inner, depth + 1))


def _covered(image: pdfium_c.FPDF_PAGEOBJECT, matrix: _Matrix, box: _Box) -> float:
    """Return the area of the page that an image covers, in square points."""
    left, bottom, right, top = _bounds(image, matrix)
    return max(0.0, min(right, box[2]) - max(left, box[0])) * max(0.0, min(top, box[3]) - max(bottom, box[1]))


def _rules(path: pdfium_c.FPDF_PAGEOBJECT, matrix: _Matrix) -> int:
    """Return how many horizontal and vertical lines a path has. A rectangle has four, unless it is itself a line."""
    left, bottom, right, top = _bounds(path, matrix)
    width, height = right - left, top - bottom
    if max(width, height) < _RULE_LENGTH:
        return 0
    if min(width, height) <= _RULE_THICKNESS:
        return 1
    inner = _times(_matrix(path), matrix)
    rules, last = 0, (0.0, 0.0)
    x, y = ctypes.c_float(), ctypes.c_float()
    for index in range(min(pdfium_c.FPDFPath_CountSegments(path), _MOST_OBJECTS)):
        segment = pdfium_c.FPDFPath_GetPathSegment(path, index)
        pdfium_c.FPDFPathSegment_GetPoint(segment, x, y)
        point = _at(x.value, y.value, inner)
        if pdfium_c.FPDFPathSegment_GetType(segment) == pdfium_c.FPDF_SEGMENT_LINETO:
            across, up = abs(point[0] - last[0]), abs(point[1] - last[1])
            rules += max(across, up) >= _RULE_LENGTH and min(across, up) <= _RULE_THICKNESS / 2
        last = point
    return rules


def _bounds(found: pdfium_c.FPDF_PAGEOBJECT, matrix: _Matrix) -> _Box:
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    if not pdfium_c.FPDFPageObj_GetBounds(found, left, bottom, right, top):
        return (0, 0, 0, 0)
    if matrix is _SAME:
        return left.value, bottom.value, right.value, top.value
    corners = [_at(x, y, matrix) for x in (left.value, right.value) for y in (bottom.value, top.value)]
    across, up = [x for x, _ in corners], [y for _, y in corners]
    return min(across), min(up), max(across), max(up)


def _matrix(found: pdfium_c.FPDF_PAGEOBJECT) -> _Matrix:
    matrix = pdfium_c.FS_MATRIX()
    if not pdfium_c.FPDFPageObj_GetMatrix(found, matrix):
        return _SAME
    return matrix.a, matrix.b, matrix.c, matrix.d, matrix.e, matrix.f


def _times(first: _Matrix, then: _Matrix) -> _Matrix:
    a, b, c, d, e, f = first
    return *_turned(a, b, then), *_turned(c, d, then), *_at(e, f, then)


def _turned(x: float, y: float, matrix: _Matrix) -> tuple[float, float]:
    a, b, c, d, _, _ = matrix
    return x * a + y * c, x * b + y * d


def _at(x: float, y: float, matrix: _Matrix) -> tuple[float, float]:
    across, up = _turned(x, y, matrix)
    return across + matrix[4], up + matrix[5]


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
