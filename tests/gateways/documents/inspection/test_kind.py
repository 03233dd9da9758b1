"""The type of a file by its bytes."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from include.enrichment.documents.document import DOCX
from include.gateways.documents.inspection.kind import kind_of
from include.gateways.documents.inspection.problem import Problem
from tests.fixtures.documents import docx, image, pdf, zipped

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
WORD_97 = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600)


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "invoice.pdf"  # whatever it is
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (pdf("a"), "application/pdf"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + pdf("a"), "application/pdf"),
        (image("PNG"), "image/png"),
        (image("JPEG"), "image/jpeg"),
        (image("GIF"), "image/gif"),
        (image("WEBP"), "image/webp"),
        (docx("<w:p/>"), DOCX),
        (b"BM is how a bitmap begins, and this text", "text/plain"),
        (b"How to write %PDF-1.7 headers", "text/plain"),
        ("Grüße".encode("cp1252"), "text/plain"),
        ("Grüße".encode("utf-16"), "text/plain"),
        (b"<html><p>a", "text/plain"),
    ],
)
def test_the_bytes_say_what_a_file_is(tmp_path: Path, data: bytes, media_type: str) -> None:
    assert kind_of(_file(tmp_path, data)) == media_type


@pytest.mark.parametrize(
    ("data", "problem", "media_type"),
    [
        (b"", "is empty (0 bytes)", ""),
        (image("TIFF"), "is image/tiff, which cannot be sent", "image/tiff"),
        (image("BMP"), "is image/x-ms-bmp, which cannot be sent", "image/x-ms-bmp"),
        (HEIC, "is image/heif, which cannot be sent", "image/heif"),
        (WORD_97, "is application/msword, which cannot be sent", "application/msword"),
        (gzip.compress(b"a", mtime=0), "is application/x-gzip, which cannot be sent", "application/x-gzip"),
        (rb"{\rtf1 Hello}", "is application/rtf, which cannot be sent", "application/rtf"),
        (zipped({"xl/workbook.xml": ""}), "is an Excel workbook, which cannot be sent", "application/zip"),
        (zipped({"a.txt": ""}), "is a ZIP archive, which cannot be sent", "application/zip"),
        (b"PK\x03\x04" + bytes(100), "is a broken ZIP archive: File is not a zip file", "application/zip"),
        (bytes(range(200, 256)) + bytes(9), "is of an unknown type, which cannot be sent", ""),
    ],
)
def test_anything_else_is_told_by_its_name(tmp_path: Path, data: bytes, problem: str, media_type: str) -> None:
    with pytest.raises(Problem) as raised:
        kind_of(_file(tmp_path, data))
    assert str(raised.value).startswith(problem)
    assert raised.value.media_type == media_type
