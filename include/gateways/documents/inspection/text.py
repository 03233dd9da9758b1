"""Texts: plain text, Markdown, CSV, JSON, HTML and DOCX, as the text that is sent."""

from __future__ import annotations

import codecs
import csv
import re
from pathlib import Path

import msgspec
from inscriptis import Inscriptis
from inscriptis.model.config import ParserConfig
from lxml.etree import ErrorTypes, ParserError
from lxml.html import HTMLParser, document_fromstring

from include.enrichment.documents.document import Inspected, Page
from include.gateways.documents.inspection.docx import docx_as_html
from include.gateways.documents.inspection.kind import DOCX, is_text
from include.gateways.documents.inspection.problem import Problem

#: A larger file is not read: a request takes 32 MB.
MOST_BYTES = 32_000_000
_XML_DECLARATION = re.compile(r"\s*<\?xml[^>]*>")
_HTML = re.compile(r"\s*(?:<\?xml[^>]*>\s*)?(?><!--(?>.*?-->)\s*)*+<(?:!doctype html|html|head|body)\b", re.I | re.S)
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w-]{1,40})", re.I)
_MARKDOWN = re.compile(
    r"^(?:#{1,6} \S|```|[-*+] \S|\|.*\|$|> \S)|\[[^][\n]{1,200}\]\([^()\s]{1,500}\)|\*\*[^\s*][^*\n]{0,200}\*\*",
    re.MULTILINE,
)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
#: Characters that the API does not take or that no reader sees; line ends become "\n" before.
_UNSENT = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufeff\ufffe\uffff\ud800-\udfff]")
_SNIFFED = 64 * 1024


def inspect_text(path: Path, media_type: str) -> Inspected:
    """
    Return the text of a DOCX or of a file of text, as one page, and which text it is.

    Raises Problem if there is none, or if it is too large.
    """
    if media_type == DOCX:
        html, left_out = docx_as_html(path)
        return _inspected(DOCX, _html_as_text(html), left_out)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise Problem(f"has {size:,} bytes of text; at most {MOST_BYTES:,} fit into a request", media_type=media_type)
    data = path.read_bytes()
    if not is_text(data):
        raise Problem("begins like a text but has the bytes of something else in it")
    text = decoded(data)
    if _HTML.match(text[:_SNIFFED]):
        return _inspected("text/html", _html_as_text(_decoded_html(data, text)))
    return _inspected(kind_of_text(text), text)


def decoded(data: bytes) -> str:
    """
    Return the text of a file: in the encoding that its mark says, else in UTF-8, else in Windows-1252.

    Raises Problem if its mark is wrong.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise Problem(f"begins with the mark of {encoding.upper()}, but the rest is not: {error}") from error
    try:
        return data.decode()
    except UnicodeDecodeError:
        # Five of its bytes mean nothing. Browsers take them for control characters, and so does latin-1.
        return data.decode("cp1252") if not re.search(rb"[\x81\x8d\x8f\x90\x9d]", data) else data.decode("latin-1")


def kind_of_text(text: str) -> str:
    """Return the media type of a text that is not HTML, as far as it can be told: all are sent in the same way."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            msgspec.json.decode(text, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError):
            pass
        else:
            return "application/json"
    if _is_csv(text[:_SNIFFED]):
        return "text/csv"
    return "text/markdown" if _MARKDOWN.search(text[:_SNIFFED]) else "text/plain"


def _is_csv(start: str) -> bool:
    """Return whether each of the first lines has as many commas, semicolons or tabs as the others, but for quotes."""
    lines = start.splitlines()[:20]
    for delimiter in ",;\t":
        try:
            widths = {len(fields) for fields in csv.reader(lines, delimiter=delimiter) if fields}
        except csv.Error:
            continue
        if len(lines) > 1 and len(widths) == 1 and widths != {1}:
            return True
    return False


def _decoded_html(data: bytes, text: str) -> str:
    """Return HTML in the encoding that it declares, unless its bytes show that they are UTF-8 or have a mark."""
    declared = _CHARSET.search(data[:1024])
    try:
        data.decode()
    except UnicodeDecodeError:
        if declared and not data.startswith(tuple(mark for mark, _ in _BOMS)):
            try:
                return data.decode(declared[1].decode())
            except (LookupError, UnicodeDecodeError):
                return text
    return text


def _html_as_text(html: str) -> str:
    # By default, the parser drops what is nested more than 256 deep, which tags that nobody closes soon are.
    parser = HTMLParser(huge_tree=True)
    try:
        tree = document_fromstring(_XML_DECLARATION.sub("", _UNSENT.sub("", html), count=1), parser=parser)
    except ParserError:  # there is nothing but comments in it
        return ""
    if any(error.type == ErrorTypes.ERR_RESOURCE_LIMIT for error in parser.error_log):
        raise Problem("is HTML whose parts are nested too deeply", media_type="text/html")
    # What stands for a picture is text too, for example the name of a company for its logo.
    rendered = Inscriptis(tree, ParserConfig(display_images=True)).get_text()
    # Tables are padded with blanks to the right edge of each cell.
    text = "\n".join(line.rstrip() for line in rendered.splitlines())
    title = " ".join(tree.findtext(".//title", "").split())
    return text if title in text else f"{title}\n\n{text}"


def _inspected(media_type: str, text: str, left_out: int = 0) -> Inspected:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    sent = _UNSENT.sub("", lines).strip("\n")
    if not sent.strip():
        only = f", only {left_out:,} pictures, charts or formulas, which are not read" if left_out else ""
        raise Problem(f"has no text{only}", media_type=media_type)
    return Inspected(media_type=media_type, pages=[Page(number=1, text=sent)], left_out=left_out)
