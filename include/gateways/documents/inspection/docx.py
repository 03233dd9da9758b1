"""DOCX: all the text that it shows, with headers, footers, text boxes, notes and comments, as HTML by mammoth."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import mammoth
from lxml import etree

from include.gateways.documents.inspection.problem import Problem

#: The most that the texts in a DOCX may be together once they are unpacked. Its pictures are not unpacked.
MOST_UNPACKED_BYTES = 64_000_000
#: By default, mammoth leaves comments out.
_STYLES = "comment-reference => sup"
#: Elements that mammoth leaves out with all that is in them, by another that it reads and that means the same here:
#: fields (of a form letter, for example), text of another direction, text below its pronunciation, tabs, line ends.
_READ_AS = {
    "fldSimple": "smartTag",
    "bdo": "smartTag",
    "dir": "smartTag",
    "ruby": "smartTag",
    "rubyBase": "smartTag",
    "ptab": "tab",
    "cr": "br",
    "oval": "rect",
}
#: Of any namespace: each has two forms, "transitional" and "strict", and the names are unique enough.
_PICTURES = ("{*}drawing", "{*}imagedata", "{*}oMath")


def docx_as_html(path: Path) -> tuple[str, int]:
    """
    Return the text of a DOCX as HTML, headers first and footers last, and the number of what is left out of it:
    pictures, charts and formulas.

    Raises Problem if it cannot be read in full.
    """
    try:
        parts = _texts(path)
        name = next(iter(_targets(parts, "", "officeDocument").values()), "word/document.xml")
        parts[name], left_out = _all_in_body(parts, name)
    except etree.XMLSyntaxError as error:
        raise Problem(f"is a broken DOCX: {error.msg}") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise Problem(f"is a broken DOCX: {error}") from error
    # mammoth reads the body only, so it gets another package, in which everything stands there.
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        for each, text in parts.items():
            archive.writestr(each, text)
    # No file or address that the document names is opened.
    converted = mammoth.convert_to_html(
        package,
        style_map=_STYLES,
        convert_image=lambda image: [],
        include_embedded_style_map=False,
        external_file_access=False,
    )
    return str(converted.value), left_out


def _texts(path: Path) -> dict[str, bytes]:
    """Return the parts that can have text, by their names."""
    with zipfile.ZipFile(path) as archive:
        texts = [part for part in archive.infolist() if part.filename.endswith((".xml", ".rels"))]
        if (unpacked := sum(part.file_size for part in texts)) > MOST_UNPACKED_BYTES:
            raise Problem(
                f"is a DOCX of {path.stat().st_size:,} bytes whose texts unpack to {unpacked:,};"
                f" at most {MOST_UNPACKED_BYTES:,} are read"
            )
        return {part.filename: archive.read(part) for part in texts}


def _all_in_body(parts: Mapping[str, bytes], name: str) -> tuple[bytes, int]:
    """Return the main part with headers, footers and text boxes in its body, and the number of what is left out."""
    root = _parsed(parts, name)
    body = root.find("{*}body")
    if body is None:
        raise Problem("is a broken DOCX: it has no body")
    if body.find(".//{*}altChunk") is not None:
        raise Problem("is a DOCX with parts in another format (altChunk), which are not read. Save it anew with Word")
    headers = list(_from_parts(parts, name, body, "header"))
    footers = list(_from_parts(parts, name, body, "footer"))
    body[:0] = headers
    body.extend(footers)
    left_out = sum(_is_left_out(found) for found in root.iter(*_PICTURES))
    for picture in root.iter("{*}blip", "{*}imagedata"):
        picture.attrib.clear()
    for unknown in root.iter(*(f"{{*}}{name}" for name in _READ_AS)):
        name_of = etree.QName(unknown)
        unknown.tag = etree.QName(name_of.namespace, _READ_AS[name_of.localname])
    for drawing in list(root.iter("{*}drawing")):
        _move_text_boxes(drawing)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True), left_out


def _from_parts(parts: Mapping[str, bytes], name: str, body: etree._Element, kind: str) -> Iterator[etree._Element]:
    """Yield what stands in the headers or footers of all sections, each of them once."""
    targets = _targets(parts, name, kind)
    seen = set()
    for reference in body.iter(f"{{*}}{kind}Reference"):
        section = reference.getparent()
        assert section is not None
        target = targets.get(_attribute(reference, "id"))
        is_hidden = _attribute(reference, "type") == "first" and not _is_on(section.find("{*}titlePg"))
        if target is None or target in seen or is_hidden:
            continue
        seen.add(target)
        part = _parsed(parts, target)
        for element in part.iter("{*}hyperlink", "{*}hlinkClick"):  # their addresses are those of another part
            element.attrib.clear()
        yield from part


def _targets(parts: Mapping[str, bytes], name: str, kind: str) -> dict[str, str]:
    """Return the names of the parts that a part refers to as a kind, by the ids of the references."""
    folder, base = posixpath.split(name)
    relations = posixpath.join(folder, "_rels", f"{base}.rels")
    if relations not in parts:
        return {}
    return {
        relation.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/")
        for relation in _parsed(parts, relations)
        if relation.get("Type", "").endswith(f"/relationships/{kind}")
    }


def _parsed(parts: Mapping[str, bytes], name: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    if name not in parts:
        raise Problem(f"is a broken DOCX: it has no part {name}")
    root = etree.fromstring(parts[name], parser)
    # The standard of the package forbids it (ECMA-376, part 2). It could define entities that expand without end.
    if root.getroottree().docinfo.doctype:
        raise Problem(f"is a broken DOCX: {name} has a document type declaration")
    return root


def _is_left_out(found: etree._Element) -> bool:
    """Return whether this is a picture, chart or formula, and not only a text box, or an older form of another."""
    if next(found.iterancestors("{*}Fallback"), None) is not None:
        return False
    return found.find(".//{*}txbxContent") is None or found.find(".//{*}blip") is not None


def _move_text_boxes(drawing: etree._Element) -> None:
    """Move the text boxes of a drawing to where mammoth finds them, unless they are there in their older form too."""
    alternate = next(drawing.iterancestors("{*}AlternateContent"), None)
    if alternate is not None and alternate.find("{*}Fallback//{*}txbxContent") is not None:
        return
    if boxes := drawing.findall(".//{*}txbxContent"):
        older = drawing.makeelement(etree.QName(etree.QName(drawing).namespace, "pict"))
        (drawing if alternate is None else alternate).addnext(older)
        older.extend(boxes)


def _is_on(switch: etree._Element | None) -> bool:
    return switch is not None and _attribute(switch, "val") not in ("0", "false", "off")


def _attribute(element: etree._Element, name: str) -> str:
    """Return an attribute by its name without a namespace; empty if there is none."""
    return next((str(value) for key, value in element.attrib.items() if etree.QName(key).localname == name), "")
