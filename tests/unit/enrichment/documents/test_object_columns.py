"""object_columns.py: the columns of source.objects."""

from __future__ import annotations

from include.enrichment.documents.object_columns import column_problems, key_problems


def test_any_column_may_be_carried_and_what_the_listing_has_may_be_the_key() -> None:
    assert list(column_problems(["uri", "name", "media_type", "size_bytes", "sha256", "pages", "modified_at"])) == []
    assert list(key_problems(["uri", "name", "size_bytes", "modified_at"])) == []


def test_a_column_that_there_is_not_is_told_with_the_nearest() -> None:
    ((name, fact),) = column_problems(["nam"])
    assert (name, fact[:56]) == ("nam", "source.objects has no column 'nam'; did you mean 'name'?")
    assert fact.endswith("It has: uri, name, size_bytes, modified_at, media_type, sha256, pages")
    assert [name for name, _ in key_problems(["id"])] == ["id"]


def test_what_a_broken_document_lacks_is_no_key() -> None:
    assert list(key_problems(["sha256"])) == [
        ("sha256", "'sha256' is unknown for an object that cannot be read: use name or uri")
    ]
