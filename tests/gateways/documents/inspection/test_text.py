"""Texts: plain text, Markdown, CSV, JSON, HTML and DOCX, as the text that is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.enrichment.documents.document import DOCX
from include.gateways.documents.inspection.kind import TEXT
from include.gateways.documents.inspection.problem import Problem
from include.gateways.documents.inspection.text import decoded, inspect_text, kind_of_text
from tests.fixtures.documents import docx


def _text(folder: Path, data: bytes, media_type: str = TEXT) -> tuple[str, str]:
    (folder / "object").write_bytes(data)
    found = inspect_text(folder / "object", media_type)
    (page,) = found.pages
    assert page.number == 1
    return found.media_type, page.text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"),
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("utf-8-sig"), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        (b"\xfe\xff" + "Grüße".encode("utf-16-be"), "Grüße"),
        ("5 €, „ja“".encode("cp1252"), "5 €, „ja“"),
        (b"\x81\xe9", "\x81é"),
    ],
)
def test_a_text_is_decoded_by_its_mark_as_utf_8_or_as_windows_1252(data: bytes, text: str) -> None:
    assert decoded(data) == text


def test_a_text_in_another_encoding_than_its_mark_says_is_a_problem() -> None:
    with pytest.raises(Problem, match="begins with the mark of UTF-16, but the rest is not"):
        decoded(b"\xff\xfe\x00\xd8")


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ('{"a": [1, 2]}', "application/json"),
        ('{"a": ', "text/plain"),
        ("[" * 100_000, "text/plain"),
        ('name;price\n"Lamp; large";12,00\n', "text/csv"),
        ("one, two\n", "text/plain"),
        ("Dear all,\nthanks.\n", "text/plain"),
        ("# Terms\n\n- 30 days\n", "text/markdown"),
        ("See [the terms](https://example.com)", "text/markdown"),
    ],
)
def test_a_text_is_known_by_its_form(text: str, media_type: str) -> None:
    assert kind_of_text(text) == media_type


def test_a_text_is_sent_as_it_is_but_for_what_nobody_sees(tmp_path: Path) -> None:
    assert _text(tmp_path, b"\n  a\tb \r\nc\x1b[0m\rd\n") == ("text/plain", "  a\tb \nc[0m\nd")


def test_html_is_its_text_with_tables_in_columns_and_without_scripts(tmp_path: Path) -> None:
    html = (
        "<!-- generated --><!DOCTYPE html><html><style>p {}</style><script>alert(1)</script>"
        "<h1>Invoice</h1><p>No.&nbsp;17<br>paid<table><tr><td>Lamp<td>12,00 €<tr><td>Delivery<td>3,00 €</table>"
    )
    media_type, text = _text(tmp_path, html.encode())
    assert media_type == "text/html"
    assert text.split("\n\n")[0] == "Invoice"
    assert text.splitlines()[-2:] == ["Lamp      12,00 €", "Delivery  3,00 €"]
    assert "alert" not in text


def test_the_title_of_html_and_what_stands_for_a_picture_are_text(tmp_path: Path) -> None:
    html = "<html><title>Invoice\n17</title><img src=logo.png alt='ACME GmbH'><img src=line.png alt=''><p>Total"
    assert _text(tmp_path, html.encode())[1].split("\n\n") == ["Invoice 17", "[ACME GmbH]", "Total"]
    assert _text(tmp_path, b"<html><title>Total</title><h1>Total 12")[1] == "Total 12"


def test_html_is_decoded_as_it_declares(tmp_path: Path) -> None:
    html = '<html><meta charset="iso-8859-2"><p>Zażółć'
    assert _text(tmp_path, html.encode("iso-8859-2"))[1] == "Zażółć"
    assert _text(tmp_path, html.encode())[1] == "Zażółć"
    assert _text(tmp_path, '<?xml version="1.0" encoding="UTF-8"?><html><p>é'.encode())[1] == "é"


def test_html_is_read_to_its_depth_or_not_at_all(tmp_path: Path) -> None:
    """The parser drops what is nested too deeply, without a word."""
    assert _text(tmp_path, b"<html>" + b"<b>" * 500 + b"Total")[1] == "Total"
    with pytest.raises(Problem, match="is HTML whose parts are nested too deeply"):
        _text(tmp_path, b"<html>" + b"<b>" * 5_000 + b"Total")


def test_a_docx_is_its_text_with_tables_in_columns(tmp_path: Path) -> None:
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    row = f"<w:tr>{cell.format('Lamp')}{cell.format('12,00')}</w:tr>"
    body = f"<w:p><w:r><w:t>Invoice 17</w:t></w:r></w:p><w:tbl>{row}</w:tbl>"
    assert _text(tmp_path, docx(body), DOCX) == (DOCX, "Invoice 17\n\nLamp  12,00")


@pytest.mark.parametrize(
    ("data", "media_type", "problem"),
    [
        (b" \n", TEXT, "has no text"),
        (b"<html><!-- a -->", TEXT, "has no text"),
        (b"#!/bin/sh\n" + b"x" * 70_000 + b"\0\1\2", TEXT, "begins like a text but has the bytes of something else"),
        (b"x" * 32_000_001, TEXT, "has 32,000,001 bytes of text; at most 32,000,000 fit into a request"),
        (docx("<w:p/>"), DOCX, "has no text"),
        (docx("<w:p/>").replace(b"word/document.xml", b"word/document.xmX", 1), DOCX, "is a broken DOCX: "),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_text_that_cannot_be_read_is_a_problem(tmp_path: Path, data: bytes, media_type: str, problem: str) -> None:
    with pytest.raises(Problem) as raised:
        _text(tmp_path, data, media_type)
    assert str(raised.value).startswith(problem)
