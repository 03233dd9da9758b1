"""What inspection finds."""

from __future__ import annotations

import msgspec

from include.enrichment.documents.document import Inspected, Page


def test_what_was_found_survives_the_way_between_two_processes() -> None:
    found = Inspected(media_type="application/pdf", pages=[Page(number=1, text="Größe\u2028", rules=3)], pixels=(1, 2))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Inspected) == found
