"""DOCX: all text that a reader sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.gateways.documents.inspection.docx import docx_as_html
from include.gateways.documents.inspection.kind import DOCX
from include.gateways.documents.inspection.problem import Problem
from include.gateways.documents.inspection.text import inspect_text
from tests.fixtures.documents import docx, zipped

_PICTURE = '<w:r><w:drawing><a:blip xmlns:a="a" r:embed="picture"/></w:drawing></w:r>'


def _p(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def _section(*references: str, more: str = "") -> str:
    """A section with references like ``header1 default``."""
    split = [reference.split() for reference in references]
    return (
        "<w:sectPr>"
        + "".join(f'<w:{name.rstrip("12")}Reference r:id="{name}" w:type="{kind}"/>' for name, kind in split)
        + f"{more}</w:sectPr>"
    )


def _lines(folder: Path, data: bytes) -> list[str]:
    (folder / "object").write_bytes(data)
    (page,) = inspect_text(folder / "object", DOCX).pages
    return [line.strip() for line in page.text.splitlines() if line]


def test_headers_stand_before_the_body_and_footers_after_it_each_once(tmp_path: Path) -> None:
    table = f"<w:tbl><w:tr><w:tc>{_p('ACME GmbH')}</w:tc><w:tc>{_p('Berlin')}</w:tc></w:tr></w:tbl>"
    first = _section("header1 default", "footer1 default")
    last = _section("header1 default", "header2 first", "footer1 default", more="<w:titlePg/>")
    body = f"<w:p><w:pPr>{first}</w:pPr><w:r><w:t>Invoice 17</w:t></w:r></w:p>{_p('Total 12,00')}{last}"
    link = f'<w:p><w:hyperlink r:id="elsewhere"><w:r><w:t>Copy</w:t></w:r></w:hyperlink>{_PICTURE}</w:p>'
    others = {"header1": table, "header2": link, "footer1": _p("IBAN DE02"), "footer2": _p("unused")}
    lines = ["ACME GmbH  Berlin", "Copy", "Invoice 17", "Total 12,00", "IBAN DE02"]
    assert _lines(tmp_path, docx(body, others=others)) == lines


@pytest.mark.parametrize(("switch", "lines"), [("", ["Body"]), ("<w:titlePg/>", ["Old", "Body"])])
def test_the_header_of_a_first_page_is_left_out_where_it_is_off(tmp_path: Path, switch: str, lines: list[str]) -> None:
    data = docx(_p("Body") + _section("header1 first", more=switch), others={"header1": _p("Old")})
    assert _lines(tmp_path, data) == lines


def test_footnotes_and_comments_stand_at_the_end(tmp_path: Path) -> None:
    body = '<w:p><w:r><w:t>Total</w:t><w:footnoteReference w:id="2"/><w:commentReference w:id="3"/></w:r></w:p>'
    others = {
        "footnotes": f'<w:footnote w:id="2">{_p("net")}</w:footnote>',
        "comments": f'<w:comment w:id="3" w:initials="AB">{_p("paid twice?")}</w:comment>',
    }
    assert _lines(tmp_path, docx(body, others=others)) == [
        "Total[1][AB1]",
        "1. net ↑",
        "Comment [AB1]",
        "paid twice? ↑",
    ]


@pytest.mark.parametrize(
    "box",
    [
        "<w:drawing>{box}</w:drawing>",
        "<mc:AlternateContent><mc:Choice><w:drawing>{box}</w:drawing></mc:Choice></mc:AlternateContent>",
        "<mc:AlternateContent><mc:Choice><w:drawing>{box}</w:drawing></mc:Choice><mc:Fallback><w:pict><v:shape>"
        "<v:textbox>{box}</v:textbox></v:shape></w:pict></mc:Fallback></mc:AlternateContent>",
    ],
)
def test_a_text_box_is_read_once_in_whichever_form(tmp_path: Path, box: str) -> None:
    box = box.format(box=f"<w:txbxContent>{_p('Due 3 May')}</w:txbxContent>")
    (tmp_path / "object").write_bytes(docx(f"<w:p><w:r><w:t>Invoice</w:t>{box}</w:r></w:p>"))
    found = inspect_text(tmp_path / "object", DOCX)
    assert found.pages[0].text.split() == ["Invoice", "Due", "3", "May"]
    assert found.left_out == 0


def test_fields_and_tabs_and_line_ends_are_read(tmp_path: Path) -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    field = f'<w:fldSimple w:instr="MERGEFIELD Vendor">{run.format("ACME")}</w:fldSimple><w:r><w:ptab/></w:r>'
    text = f"<w:r><w:cr/></w:r><w:bdo>{run.format('שלום')}</w:bdo>"
    assert _lines(tmp_path, docx(f"<w:p>{field}{run.format('Page 1')}{text}</w:p>")) == ["ACME Page 1", "שלום"]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    older = '<mc:Fallback><w:pict><v:imagedata r:id="b"/></w:pict></mc:Fallback>'
    both = f"<w:r><mc:AlternateContent><mc:Choice><w:drawing/></mc:Choice>{older}</mc:AlternateContent></w:r>"
    body = f"<w:p>{_PICTURE}{both}</w:p>"
    (tmp_path / "object").write_bytes(docx(_p("Photos") + body))
    assert inspect_text(tmp_path / "object", DOCX).left_out == 2
    (tmp_path / "object").write_bytes(docx(body))
    with pytest.raises(Problem, match="has no text, only 2 pictures, charts or formulas, which are not read"):
        inspect_text(tmp_path / "object", DOCX)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (zipped({"word/a.xml": ""}), "is a broken DOCX: it has no part word/document.xml"),
        (docx("<w:p>"), "is a broken DOCX: Opening and ending tag mismatch"),
        (docx("", doctype="<!DOCTYPE l>"), "is a broken DOCX: word/document.xml has a document type declaration"),
        (docx('<w:altChunk r:id="a"/>'), "is a DOCX with parts in another format (altChunk), which are not read"),
    ],
)
def test_a_docx_that_cannot_be_read_in_full_is_a_problem(tmp_path: Path, data: bytes, problem: str) -> None:
    (tmp_path / "object").write_bytes(data)
    with pytest.raises(Problem) as raised:
        docx_as_html(tmp_path / "object")
    assert str(raised.value).startswith(problem)
