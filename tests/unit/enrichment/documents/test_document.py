"""What inspection finds."""

from __future__ import annotations

import msgspec

from include.enrichment.documents.document import DOCX, Inspected, Page, type_name


def test_what_was_found_survives_the_way_between_two_processes() -> None:
    found = Inspected(media_type="application/pdf", pages=[Page(number=1, text="Größe\u2028", rules=3)], pixels=(1, 2))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Inspected) == found


def test_a_type_has_the_name_that_people_use() -> None:
    assert (type_name(DOCX), type_name("image/webp"), type_name("application/x-new")) == (
        "DOCX",
        "WebP",
        "application/x-new",
    )
