"""The content blocks of a request's documents and images, which come before the text of its prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from include.enrichment.documents.attachment import Attachment, reference
from include.enrichment.documents.document import IMAGES

#: The API takes no longer title (its reference of document blocks, 2026-08). A key may have 1,024 characters.
_MOST_TITLE = 500


@dataclass(frozen=True, kw_only=True)
class Titled:
    """
    What a request has of one document.

    :param name: of its object, which titles it among others
    :param content: the bytes to send, or the text
    :param pages: the range of pages of a PDF of which not all are sent, for example ``51-100``; empty: all are, or its
        text, which says so itself
    """

    name: str
    content: Attachment | str
    pages: str = ""


def content_blocks(sent: Sequence[Titled], *, citations: bool) -> list[msgspec.Raw]:
    """
    Return the blocks of the documents and images, in their order, as JSON.

    Only documents among others are titled by their names: without titles, a document under another name is the same
    request. A part of a document says which pages it has.

    :param citations: the answer is to cite the documents. Images cannot be cited
    """
    return [block for one in sent for block in _blocks(one, titled=len(sent) > 1, citations=citations)]


def _blocks(one: Titled, *, titled: bool, citations: bool) -> list[msgspec.Raw]:
    if isinstance(one.content, Attachment) and one.content.media_type in IMAGES:
        # An image has no title of its own.
        title = [_raw({"type": "text", "text": f"{one.name[:_MOST_TITLE]}:"})] if titled else []
        return [*title, _raw({"type": "image", "source": reference(one.content)})]
    source = (
        {"type": "text", "media_type": "text/plain", "data": one.content}
        if isinstance(one.content, str)
        else reference(one.content)
    )
    return [
        _raw(
            {
                "type": "document",
                "source": source,
                **({"title": one.name[:_MOST_TITLE]} if titled else {}),
                **({"context": _part(one.pages)} if one.pages else {}),
                **({"citations": {"enabled": True}} if citations else {}),
            }
        )
    ]


def _part(pages: str) -> str:
    first, _, last = pages.partition("-")
    return f"These are pages {first} to {last} of a longer document. Count its pages from {first}."


def _raw(block: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(block))
