"""What an answer says about the places of its values, and what code found about that."""

from __future__ import annotations

from typing import Literal

import msgspec
import pyarrow as pa

#: How a quote was found.
#:
#: - exact: on its page, word for word
#: - normalised: on its page, but for white space, case, hyphens, punctuation or the notation of numbers and dates
#: - other_page: in either way, but on another page, which replaces the one that Claude named
#: - ambiguous: in either way, on several pages and not on the one that Claude named; the first of them replaces it
#: - cited: the API itself cut the quote out of the document (citations of text answers)
#: - unchecked: not found, and its page is an image or has no text layer, so that code cannot tell
Found = Literal["exact", "normalised", "other_page", "ambiguous", "cited", "unchecked"]
#: The ways in which a quote stands in a document.
STANDS = ("exact", "normalised", "other_page", "ambiguous", "cited")

#: The columns of the table with the evidence of the answer, and with the paths of its values that have none.
EVIDENCE, UNGROUNDED = "_evidence", "_ungrounded"
_EVIDENCE = pa.struct(
    {"field": pa.string(), "page": pa.int64(), "quote": pa.string(), "found": pa.string(), "document": pa.string()}
)
EVIDENCE_FIELDS = [pa.field(EVIDENCE, pa.list_(_EVIDENCE)), pa.field(UNGROUNDED, pa.list_(pa.string()))]


class Quote(msgspec.Struct, frozen=True):
    """
    What an answer says about one of its values.

    :param field: its path, as Claude wrote it
    :param page: from 1
    """

    field: str
    page: int
    quote: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """
    A quote, located: an element of EVIDENCE.

    :param field: the path of the value, ``line_items[2].amount``; ``text`` for the answer without an output schema
    :param page: the page on which it stands, in the whole document; if it was not found, the one that Claude named
    :param found: None: it stands in none of the documents
    :param document: the name of the document in which it stands; None if it was not found
    """

    field: str
    page: int | None
    quote: str
    found: Found | None
    document: str | None = None

    @property
    def stands(self) -> bool:
        """Whether the quote stands in a document."""
        return self.found in STANDS
