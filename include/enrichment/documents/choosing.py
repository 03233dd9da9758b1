"""What of an inspected document is sent, and as which kind of content block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from include.enrichment.documents.document import IMAGES, PDF, Inspected, Page, type_name
from include.enrichment.documents.options import AttachmentOptions
from include.enrichment.documents.sending import decide_send, wanted_pages


@dataclass(frozen=True, kw_only=True)
class Choice:
    """
    How a document is sent.

    :param sent_as: ``pages`` of a PDF, ``text`` or ``image``
    :param why: why it is sent as that, and what of it is not
    :param pages: the pages that are sent, those of a text being one; none of an image
    :param problem: why it cannot be sent, in words that continue "the document"; None: it can
    """

    sent_as: Literal["pages", "text", "image"]
    why: str = ""
    pages: Sequence[Page] = ()
    problem: str | None = None


def choose(inspected: Inspected, options: AttachmentOptions) -> Choice:
    """Choose how a document is sent, by what is in it and by the options of its column."""
    kind = inspected.media_type
    is_image = kind in IMAGES
    if inspected.problem:
        return Choice(sent_as="text", problem=inspected.problem)
    if is_image != (options.kind == "image") and options.kind != "auto":
        return Choice(sent_as="text", problem=f"is {kind}, which cannot be sent `as: {options.kind}`")
    if is_image:
        return Choice(sent_as="image", why="is an image")
    if kind != PDF:
        empty = not any(page.text.strip() for page in inspected.pages)
        left_out = f", without its {inspected.left_out:,} pictures, charts and formulas" if inspected.left_out else ""
        why = f"is {type_name(kind)}{left_out}"
        return Choice(sent_as="text", why=why, pages=inspected.pages, problem="has no text" if empty else None)
    if not (pages := wanted_pages(inspected, options)):
        return Choice(
            sent_as="pages", problem=f"has {len(inspected.pages):,} pages, but `pages: {options.pages}` are to be sent"
        )
    decision = decide_send(inspected, options)
    return Choice(sent_as=decision.send, why=decision.why, pages=pages, problem=decision.problem)


def split(pages: Sequence[Page], most: int | None) -> list[Sequence[Page]]:
    """
    Return the pages of each part: one part unless there are more than ``most`` pages. An image has one part, too.

    :param most: the most pages of a part; None: they are sent together
    """
    step = most or max(len(pages), 1)
    return [pages[start : start + step] for start in range(0, max(len(pages), 1), step)]


def page_range(pages: Sequence[Page]) -> str:
    """Return the first and the last page like ``51-100``."""
    return f"{pages[0].number}-{pages[-1].number}"


def text_of(pages: Sequence[Page], *, numbered: bool) -> str:
    """
    Return the text of a document as it is sent.

    :param numbered: between tags with the number of each page, so that an answer can name it
    """
    if not numbered:
        return "\n".join(page.text for page in pages)
    return "\n".join(f'<page number="{page.number}">\n{page.text}\n</page>' for page in pages)


def document_id(sha256: str, recipe: str) -> str:
    """
    Return what identifies a document as it is sent, wherever its object is.

    :param sha256: of the object's bytes, in hex
    :param recipe: how the sent bytes are made of them, or which text is sent; empty: they are sent as they are
    """
    return f"{sha256} {recipe}".strip()
