from __future__ import annotations

from include.enrichment.answers.checks.texts.archive import Archive


def test_an_entry_is_found_by_its_number_before_and_after_it_is_compressed() -> None:
    archive = Archive()
    for number in range(150):
        archive.append((f"text {number}", "größer"))
        assert list(archive[number]) == [f"text {number}", "größer"]
    assert [archive[number][0] for number in (0, 63, 64, 149)] == ["text 0", "text 63", "text 64", "text 149"]
