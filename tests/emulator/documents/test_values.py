"""Numbers and dates in the ways in which documents write them."""

from __future__ import annotations

import pytest

from include.emulator.documents.values import dates_in, numbers_in


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1.234,00 €", [1234.0]),
        ("$1,234.00", [1234.0]),
        ("1.234 and 1,234,567", [1234, 1234567]),
        ("0.125 and 12,5", [0.125, 12.5]),
        ("-5 or −6.50", [-5, -6.5]),
        ("1'234.50", [1234.5]),
        ("2 400,00", [2, 400.0]),
        ("RE-2026-0042, A4, 19 %, 7%, 12.03.2026, 2026-03-12", []),
        ("no digits", []),
    ],
)
def test_numbers_are_read_without_dates_percentages_and_codes(text: str, values: list[float]) -> None:
    assert [number.value for number in numbers_in(text)] == values


def test_a_space_separates_thousands_only_where_it_may() -> None:
    assert [number.value for number in numbers_in("Total TTC 1 234,00 €", spaced=True)] == [1234.0]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "2026-03-12",
            "12.03.2026",
            "12. 3. 2026",
            "12 March 2026",
            "March 12, 2026",
            "12. März 2026",
            "12 mars 2026",
        ),
        *("12 de marzo de 2026", "12th Mar. 2026", "12/03/2026", "12/3/2026", "12-Mar-2026"),
    ],
)
def test_dates_are_read_however_they_are_written(text: str) -> None:
    assert [day.isoformat() for day in dates_in(f"due {text}.")] == ["2026-03-12"]


def test_the_month_may_come_first() -> None:
    assert dates_in("3/4/2026", month_first=True)[0].month == 3
    assert dates_in("3/4/2026")[0].month == 4
    assert dates_in("3/31/2026")[0].month == 3


def test_what_is_no_day_is_no_date() -> None:
    assert dates_in("2026-02-31, 99.99.2026, 12 pages 2026") == []
