"""DOCX: all text that a reader of the printed document sees, and its footnotes and comments, as HTML by mammoth."""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Iterator
from pathlib import Path

import mammoth
from lxml import etree

from include.gateways.documents.inspection.problem import Problem

#: The most that the texts in a DOCX may be together once they are unpacked. Its pictures are not unpacked.
MOST_UNPACKED_BYTES = 64_000_000
_TEXTS = (".xml", ".rels")
#: By default, mammoth leaves comments out.
_STYLES = "comment-reference => sup"
#: What mammoth leaves out with all that is in it, and what it reads in the same way: fields, for example of a form
#: letter, text of another direction, the text below its pronunciation, tabs, line ends and shapes.
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
#: The namespaces have two forms each, "transitional" and "strict". Names without them are unique enough.
_PICTURES = ("{*}drawing", "{*}imagedata", "{*}oMath")


def docx_as_html(path: Path) -> tuple[str, int]:
    """
    Return the text of a DOCX as HTML, headers first and footers last, and the number of what is left out of it:
    pictures, charts and formulas.

    Raises Problem if it cannot be read in full.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [part for part in archive.infolist() if part.filename.endswith(_TEXTS)]
            if (unpacked := sum(part.file_size for part in texts)) > MOST_UNPACKED_BYTES:
                raise Problem(
                    f"is a DOCX of {path.stat().st_size:,} bytes whose texts unpack to {unpacked:,};"
                    f" at most {MOST_UNPACKED_BYTES:,} are read"
                )
            name = _main_part(archive)
            main, left_out = _all_in_body(archive, name)
            # mammoth reads the body only, so it gets another package, in which everything stands there.
            package = io.BytesIO()
            with zipfile.ZipFile(package, "w") as copy:
                for part in texts:
                    copy.writestr(part.filename, main if part.filename == name else archive.read(part))
    except etree.XMLSyntaxError as error:
        raise Problem(f"is a broken DOCX: {error.msg}") from error
    except (zipfile.BadZipFile, KeyError, NotImplementedError) as error:
        raise Problem(f"is a broken DOCX: {str(error)[:200]}") from error
    # No file or address that the document names is opened.
    converted = mammoth.convert_to_html(
        package,
        style_map=_STYLES,
        convert_image=lambda image: [],
        include_embedded_style_map=False,
        external_file_access=False,
    )
    return str(converted.value), left_out


def _main_part(archive: zipfile.ZipFile) -> str:
    targets = _targets(archive, "", "officeDocument")
    return next(iter(targets.values()), "word/document.xml")


def _all_in_body(archive: zipfile.ZipFile, name: str) -> tuple[bytes, int]:
    """Return the main part with headers, footers and text boxes in its body, and the number of what is left out."""
    root = _parsed(archive, name)
    body = root.find("{*}body")
    if body is None:
        raise Problem("is a broken DOCX: it has no body")
    if body.find(".//{*}altChunk") is not None:
        raise Problem("is a DOCX with parts in another format (altChunk), which are not read. Save it anew with Word")
    headers = list(_from_parts(archive, name, body, "header"))
    footers = list(_from_parts(archive, name, body, "footer"))
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


def _from_parts(archive: zipfile.ZipFile, name: str, body: etree._Element, kind: str) -> Iterator[etree._Element]:
    """Yield what stands in the headers or footers of all sections, each of them once."""
    targets = _targets(archive, name, kind)
    seen = set()
    for reference in body.iter(f"{{*}}{kind}Reference"):
        section = reference.getparent()
        assert section is not None
        target = targets.get(_attribute(reference, "id"))
        is_hidden = _attribute(reference, "type") == "first" and not _is_on(section.find("{*}titlePg"))
        if target is None or target in seen or is_hidden:
            continue
        seen.add(target)
        part = _parsed(archive, target)
        for element in part.iter("{*}hyperlink", "{*}hlinkClick"):  # their addresses are those of another part
            element.attrib.clear()
        yield from part


def _targets(archive: zipfile.ZipFile, name: str, kind: str) -> dict[str, str]:
    """Return the names of the parts that a part refers to as a kind, by the ids of the references."""
    folder, base = posixpath.split(name)
    relations = posixpath.join(folder, "_rels", f"{base}.rels")
    if relations not in archive.namelist():
        return {}
    return {
        relation.get("Id", ""): posixpath.normpath(posixpath.join("/", folder, relation.get("Target", ""))).lstrip("/")
        for relation in _parsed(archive, relations)
        if relation.get("Type", "").endswith(f"/relationships/{kind}")
    }


def _parsed(archive: zipfile.ZipFile, name: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    root = etree.fromstring(archive.read(name), parser)
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
