"""Turns a good document into one of the odd ones that arrive: scanned, photographed, damaged, or not what it says."""

from __future__ import annotations

import io
import random

import pikepdf
import pypdfium2
from PIL import Image, ImageDraw, ImageOps
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

_DPI = 150
_EXIF_ORIENTATION = 0x0112
#: The camera was held upright, and its sensor lies on its side.
_TURN_RIGHT = 6
#: What a poor text recognition takes letters and digits for.
_MISREAD = str.maketrans("oeilaSBTN0158", "0cl|@587HOlSB")


def picture(pdf: bytes, page: int = 0, dpi: int = _DPI) -> Image.Image:
    """Return a page as it is printed, in grey."""
    with pypdfium2.PdfDocument(pdf) as document:
        return ImageOps.grayscale(document[page].render(scale=dpi / 72).to_pil())


def pages_of(pdf: bytes) -> int:
    """Return the number of pages."""
    with pypdfium2.PdfDocument(pdf) as document:
        return len(document)


def scan(pdf: bytes, *, tilt: float = 0.6, is_read: bool = False) -> bytes:
    """
    Return a PDF of pictures of the pages, as a scanner makes it.

    :param tilt: degrees by which the paper lay askew
    :param is_read: the scanner's poor text recognition has put a text layer that nobody sees on each page
    """
    to = io.BytesIO()
    canvas = Canvas(to, pagesize=A4, invariant=1)
    for page in range(pages_of(pdf)):
        canvas.drawImage(ImageReader(io.BytesIO(_jpeg(_scanned(picture(pdf, page), tilt)))), 0, 0, *A4)
        if is_read:
            text = canvas.beginText(60, A4[1] - 60)
            text.setTextRenderMode(3)  # invisible
            text.setFont("Helvetica", 9)
            text.textLines(_badly_read(pdf, page))
            canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return to.getvalue()


def _badly_read(pdf: bytes, page: int) -> str:
    with pypdfium2.PdfDocument(pdf) as document:
        return str(document[page].get_textpage().get_text_range()).translate(_MISREAD)


def fax(pdf: bytes) -> bytes:
    """Return the first page as a TIFF in black and white."""
    to = io.BytesIO()
    picture(pdf).convert("1", dither=Image.Dither.NONE).save(to, "TIFF", compression="group4")
    return to.getvalue()


def photo(pdf: bytes) -> bytes:
    """Return the first page as a JPEG that lies on its side, which its EXIF data says."""
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = _TURN_RIGHT
    to = io.BytesIO()
    lying = _scanned(picture(pdf, dpi=200), tilt=-1.5).transpose(Image.Transpose.ROTATE_90)
    lying.save(to, "JPEG", quality=70, exif=exif)
    return to.getvalue()


def screenshot(pdf: bytes) -> bytes:
    """Return the first page as a PNG."""
    to = io.BytesIO()
    picture(pdf, dpi=110).save(to, "PNG")
    return to.getvalue()


def sideways(pdf: bytes) -> bytes:
    """Return a PDF whose pages are shown lying on their left side."""
    to = io.BytesIO()
    with pikepdf.open(io.BytesIO(pdf)) as document:
        for page in document.pages:
            page.rotate(270, relative=True)
        document.save(to, deterministic_id=True)
    return to.getvalue()


def locked(pdf: bytes, *, user: str = "") -> bytes:
    """
    Return the PDF encrypted.

    :param user: the password without which nobody can open it; empty: it opens, but nobody may print or copy it
    """
    to = io.BytesIO()
    # Unlike AES, RC4 has no random salt: the bytes are the same each time.
    encryption = pikepdf.Encryption(user=user, owner="owner", R=3, aes=False, metadata=False)
    with pikepdf.open(io.BytesIO(pdf)) as document:
        document.save(to, encryption=encryption, static_id=True)
    return to.getvalue()


def without_index(pdf: bytes) -> bytes:
    """Return the PDF with a cross-reference table that points at the wrong bytes, as some mail gateways leave it."""
    start = pdf.rindex(b"startxref")
    return pdf[:start] + b"startxref\n7\n%%EOF\n"


def cut_off(data: bytes) -> bytes:
    """Return the first part of a document whose upload was interrupted."""
    return data[: len(data) * 2 // 5]


def _scanned(page: Image.Image, tilt: float) -> Image.Image:
    """Return the page as a scanner sees it: askew, paler, with specks of dust."""
    dust = random.Random(page.width)
    turned = page.rotate(tilt, Image.Resampling.BILINEAR, fillcolor=255)
    pale = turned.point([30 + shade * 210 // 255 for shade in range(256)])
    draw = ImageDraw.Draw(pale)
    for _ in range(300):
        draw.point((int(dust.random() * page.width), int(dust.random() * page.height)), fill=90)
    return pale


def _jpeg(page: Image.Image) -> bytes:
    to = io.BytesIO()
    page.save(to, "JPEG", quality=55)
    return to.getvalue()
