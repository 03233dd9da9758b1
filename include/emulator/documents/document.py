"""What a document or an image of a request contains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


class Unreadable(Exception):
    """The API rejects the document; the message is the API's, without the path of the block."""


@dataclass(frozen=True)
class Line:
    """A line of text: its page, and the index of its first character in the document's text."""

    page: int
    text: str
    start: int = 0


@dataclass(frozen=True, kw_only=True)
class Document:
    """
    A document of a request.

    :param kind: how its parts are cited
    :param pages: number and text of each page; of a text without pages, the whole as page 1
    :param cited: whether answers shall cite it
    :param starts: of a text: the index of each page's first character in it
    """

    kind: str
    pages: tuple[tuple[int, str], ...]
    title: str | None = None
    cited: bool = False
    file_id: str | None = None
    starts: tuple[int, ...] = ()

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Its lines that are not blank, without the blanks around them."""
        return tuple(self._lines())

    def _lines(self) -> list[Line]:
        found = []
        for (number, text), begin in zip(self.pages, self.starts or (0,) * len(self.pages), strict=True):
            start = begin
            for line in text.split("\n"):
                if bare := line.strip():
                    found.append(Line(number, bare, start + line.index(bare)))
                start += len(line) + 1
        return found
