"""The rows of tables in documents."""

from __future__ import annotations

import pytest

from include.emulator.documents.document import Document
from include.emulator.documents.finding import Text
from include.emulator.documents.rows import Row, rows_in


def _rows(*pages: str) -> list[Row]:
    return list(rows_in(Document(kind="pdf", pages=tuple(enumerate(pages, start=1))).lines))


@pytest.mark.parametrize(
    ("line", "words", "numbers"),
    [
        ("1 Screws M4 10 1,50 € 15,00 €", "Screws M4", (10, 1.5, 15)),
        ("Étagère en chêne, sur mesure 21 640,00 13 440,00", "Étagère en chêne, sur mesure", (21, 640, 13_440)),
        ("Labels, roll of 1 000 9 46,20 415,80", "Labels, roll of 1 000", (9, 46.2, 415.8)),
        ("5 1,480.00 7,400.00 Sea freight, 20 ft container", "Sea freight, 20 ft container", (5, 1_480, 7_400)),
        ("Katalog, 48 Seiten 16 1.840,00 29.440,00", "Katalog, 48 Seiten", (16, 1_840, 29_440)),
        ("Transport 12.00 14.28", "Transport", (12, 14.28)),
    ],
)
def test_a_row_has_words_and_numbers(line: str, words: str, numbers: tuple[float, ...]) -> None:
    ((_, found, values),) = _rows(line)
    assert (found, values) == (words, numbers)


@pytest.mark.parametrize(
    "line", ["Total net 1 15,00", "Page 1.5 of 2", "10 20,00", "Screws 10 15", "prose, 1.5 only", ""]
)
def test_other_lines_are_no_rows(line: str) -> None:
    assert _rows(line) == []


def test_the_words_of_a_row_may_stand_on_the_line_before() -> None:
    (row,) = _rows("Socket, with\ninstallation\n4 38,25 153,00")
    assert (row.words, row.line.text) == ("installation", "4 38,25 153,00")


def test_rows_are_read_from_all_pages_up_to_a_number() -> None:
    text = Text([Document(kind="pdf", pages=((1, "Nuts 2 1.00 2.00"), (2, "Bolts 2 1.50 3.00")))])
    assert [row.line.page for row in text.rows(5)] == [1, 2]
    assert len(text.rows(1)) == 1
