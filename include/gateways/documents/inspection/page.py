"""One page of a PDF, by pdfium: its text, the area that images cover, and its rules."""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from collections.abc import Iterator

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from include.enrichment.documents.document import Page

#: The most objects of a page that are looked at for images and rules, and the depth of forms within forms.
_MOST_OBJECTS = 20_000
_MOST_DEPTH = 4
#: A rule is a line at least so long and at most so thick, in points.
_RULE_LENGTH, _RULE_THICKNESS = 20.0, 2.0
#: So many characters, spread over a page, say in which direction its text runs.
_ASKED = 50
#: pdfium's mark for a hyphen at the end of a line, whose end it leaves out.
_HYPHEN = re.compile("[\x02\ufffe]")
_NO_TEXT = re.compile("[\x00-\x08\x0b-\x1f\uffff\ud800-\udfff]")

_Matrix = tuple[float, float, float, float, float, float]
_Box = tuple[float, float, float, float]
#: Its kind, itself, and how its coordinates become those of the page.
_Object = tuple[int, pdfium_c.FPDF_PAGEOBJECT, _Matrix]
_SAME: _Matrix = (1, 0, 0, 1, 0, 0)


def read_page(document: pdfium.PdfDocument, number: int) -> Page:
    """
    Return what is on a page, its number counted from 1. The document is changed in memory, never its file.

    Raises PdfiumError if there is no such page, or if it is broken.
    """
    page = _with_annotations_drawn(document, number - 1)
    if page.get_rotation():
        page.set_rotation(0)
    text = page.get_textpage()
    if turn := -_direction(text) % 360:
        # Only where text runs from left to right does pdfium keep the lines apart.
        text.close()
        _turn(page, turn)
        page.close()
        page = document[number - 1]
        text = page.get_textpage()
    objects = list(_objects(page))
    read = Page(
        number=number,
        text=_clean(text.get_text_bounded()),
        image_share=_image_share(objects, page.get_bbox()),
        rules=_rules(objects),
    )
    text.close()
    page.close()
    return read


def _with_annotations_drawn(document: pdfium.PdfDocument, index: int) -> pdfium.PdfPage:
    """Return a page on which what stands in forms, stamps and comments is text like the rest."""
    page = document[index]
    if _has_drawn_annotations(page) and pdfium_c.FPDFPage_Flatten(page, pdfium_c.FLAT_NORMALDISPLAY) > 0:
        page.close()
        page = document[index]
    return page


def _turn(page: pdfium.PdfPage, degrees: int) -> None:
    """Turn what is on a page clockwise, by 90, 180 or 270 degrees. It must be loaded again after that."""
    left, bottom, right, top = page.get_bbox()
    width, height = right - left, top - bottom
    matrix, (width, height) = {
        90: ((0, -1, 1, 0, -bottom, right), (height, width)),
        180: ((-1, 0, 0, -1, right, top), (width, height)),
        270: ((0, 1, -1, 0, top, -left), (height, width)),
    }[degrees]
    pdfium_c.FPDFPage_TransFormWithClip(page, pdfium_c.FS_MATRIX(*matrix), None)
    page.set_mediabox(0, 0, width, height)
    page.set_cropbox(0, 0, width, height)


def _has_drawn_annotations(page: pdfium.PdfPage) -> bool:
    """Return whether a page has annotations beside links, for example filled forms, stamps and comments."""
    for index in range(min(pdfium_c.FPDFPage_GetAnnotCount(page), _MOST_OBJECTS)):
        annotation = pdfium_c.FPDFPage_GetAnnot(page, index)
        kind = pdfium_c.FPDFAnnot_GetSubtype(annotation)
        pdfium_c.FPDFPage_CloseAnnot(annotation)
        if kind not in (pdfium_c.FPDF_ANNOT_LINK, pdfium_c.FPDF_ANNOT_POPUP):
            return True
    return False


def _direction(text: pdfium.PdfTextPage) -> int:
    """Return by how many degrees most of a page's text is turned: 0, 90, 180 or 270."""
    count = text.count_chars()
    asked = range(0, count, max(1, count // _ASKED))
    angles = Counter(round(2 * pdfium_c.FPDFText_GetCharAngle(text, index) / math.pi) % 4 for index in asked)
    return 90 * max(angles, key=angles.__getitem__, default=0)


def _clean(layer: str) -> str:
    return _NO_TEXT.sub("", _HYPHEN.sub("-\n", layer.replace("\r\n", "\n").replace("\r", "\n"))).strip()


def _image_share(objects: list[_Object], box: _Box) -> float:
    """Return the part of a page that images cover, 0 to 1. Where they overlap, it is counted twice."""
    area = (box[2] - box[0]) * (box[3] - box[1])
    covered = sum(_covered(each, matrix, box) for kind, each, matrix in objects if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE)
    return round(min(covered / area, 1.0), 3) if area > 0 else 0.0


def _rules(objects: list[_Object]) -> int:
    """Return how many horizontal and vertical lines are drawn on a page."""
    return sum(_rules_of(each, matrix) for kind, each, matrix in objects if kind == pdfium_c.FPDF_PAGEOBJ_PATH)


def _objects(page: pdfium.PdfPage) -> Iterator[_Object]:
    """Yield what is drawn on a page, also within forms: its kind, it, and how its coordinates become the page's."""
    drawn = min(pdfium_c.FPDFPage_CountObjects(page), _MOST_OBJECTS)
    left = [(pdfium_c.FPDFPage_GetObject(page, index), _SAME, 1) for index in range(drawn)]
    seen = 0
    while left and seen < _MOST_OBJECTS:
        seen += 1
        found, matrix, depth = left.pop()
        kind = pdfium_c.FPDFPageObj_GetType(found)
        if kind != pdfium_c.FPDF_PAGEOBJ_FORM:
            yield kind, found, matrix
        elif depth < _MOST_DEPTH:
            inner = _times(_matrix(found), matrix)
            drawn = min(pdfium_c.FPDFFormObj_CountObjects(found), _MOST_OBJECTS)
            left += [(pdfium_c.FPDFFormObj_GetObject(found, index), inner, depth + 1) for index in range(drawn)]


def _covered(image: pdfium_c.FPDF_PAGEOBJECT, matrix: _Matrix, box: _Box) -> float:
    """Return the area of the page that an image covers, in square points."""
    left, bottom, right, top = _bounds(image, matrix)
    return max(0.0, min(right, box[2]) - max(left, box[0])) * max(0.0, min(top, box[3]) - max(bottom, box[1]))


def _rules_of(path: pdfium_c.FPDF_PAGEOBJECT, matrix: _Matrix) -> int:
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
