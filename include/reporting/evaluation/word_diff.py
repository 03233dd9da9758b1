"""The words in which an answer differs from the expected text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rapidfuzz.distance import Indel

#: Chinese and Japanese have no spaces between words: each character is compared by itself.
_SINGLE = "\u3040-\u30ff\u3400-\u9fff"
_TOKEN = re.compile(rf"\d[\d.,]*\d|[{_SINGLE}]|[^\W{_SINGLE}]+|\s+|.", re.DOTALL)
#: With less than this share of the text in common, marks on single words would confuse.
_LEAST_IN_COMMON = 0.4


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of an answer: as expected, added to it, or missing in it."""

    text: str
    kind: Literal["same", "added", "missing"]


def word_diff(expected: str, answer: str) -> list[Piece]:
    """
    Return the answer in pieces, with the missing words of the expected text in between.

    An answer with little in common with the expected text is one added piece.
    """
    if expected == answer:
        return [Piece(text=answer, kind="same")] if answer else []
    before, after = _TOKEN.findall(expected), _TOKEN.findall(answer)
    pieces: list[Piece] = []
    missing = added = ""
    for step in Indel.opcodes(before, after):
        old, new = "".join(before[step.src_start : step.src_end]), "".join(after[step.dest_start : step.dest_end])
        if step.tag != "equal":
            missing, added = missing + old, added + new
        elif new.isspace() and (missing or added) and step.dest_end < len(after):
            # Two words in a row changed: one mark is easier to read than two with a space in between.
            missing, added = missing + old, added + new
        else:
            pieces += [*_changed(missing, added), Piece(text=new, kind="same")]
            missing = added = ""
    pieces += _changed(missing, added)
    same = sum(len(piece.text.strip()) for piece in pieces if piece.kind == "same")
    if same < _LEAST_IN_COMMON * max(len(expected.strip()), len(answer.strip())):
        return [Piece(text=answer, kind="added")] if answer else []
    return pieces


def _changed(missing: str, added: str) -> list[Piece]:
    made = (Piece(text=missing, kind="missing"), Piece(text=added, kind="added"))
    return [piece for piece in made if piece.text]
