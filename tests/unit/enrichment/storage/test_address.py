"""address.py: an address names one place, and the same one to every reader."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.storage.address import S3Address, lake_address, redact_secret, s3_address

S3 = [
    ("s3://bucket", "bucket", ""),
    ("s3://bucket/", "bucket", ""),
    ("s3://bucket/lake", "bucket", "lake"),
    ("s3://bucket/lake/", "bucket", "lake"),
    ("s3://my.Old_bucket-1/a/b", "my.Old_bucket-1", "a/b"),
    ("s3://bucket/team a/Größe=1+2&c/...", "bucket", "team a/Größe=1+2&c/..."),
]


@pytest.mark.parametrize(("text", "bucket", "prefix"), S3)
def test_a_place_on_s3_is_taken_as_it_is_written(text: str, bucket: str, prefix: str) -> None:
    found = s3_address(text)
    assert found == lake_address(text) == S3Address(bucket=bucket, prefix=prefix)
    assert str(found) == text.removesuffix("/")


@pytest.mark.parametrize("text", ["/data/lake", "/data/lake/", "file:///data/lake", "file:/data/lake"])
def test_a_folder_is_one_with_or_without_file(text: str) -> None:
    assert lake_address(text) == "/data/lake"


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("s3://bucket/lake#dev", "has a '#'"),
        ("s3://bucket#dev", "has a '#'"),
        ("s3://bucket/lake?dev", "has a '?'"),
        ("s3://bucket?versionId=1", "has a '?'"),
        ("s3://bucket/team\\lake", r"has a '\\\\'"),
        ("s3://bucket//lake", "has a slash without a name before it"),
        ("s3://bucket/a//lake", "has a slash without a name before it"),
        ("s3://bucket/lake//", "has a slash without a name before it"),
        ("s3://bucket//", "has a slash without a name before it"),
        ("s3://bucket/./lake", r"has a folder '\.'"),
        ("s3://bucket/a/../lake", r"has a folder '\.\.'"),
        ("s3://bucket/..", r"has a folder '\.\.'"),
        ("s3://bucket/la\tke", r"has '\\t', a character that nobody can see"),
        ("s3://bucket/la\nke", r"has '\\n'"),
        ("s3://bucket/lake\u200b", r"has '\\u200b'"),
        ("s3://bucket/a\xa0b", r"has '\\xa0'"),
        ("s3://bucket/lake ", "begins or ends with a space"),
        (" s3://bucket/lake", "does not begin with s3://"),
        ("S3://bucket/lake", "does not begin with s3:// in lower case"),
        ("s3a://bucket/lake", "does not begin with s3://"),
        ("s3:bucket/lake", "does not begin with s3://"),
        ("s3:/bucket/lake", "does not begin with s3://"),
        ("https://bucket.s3.amazonaws.com/lake", "does not begin with s3://"),
        ("s3://", "has '' in the place of a bucket's name"),
        ("s3:///lake", "has '' in the place of a bucket's name"),
        ("s3://bucket:9000/lake", "has 'bucket:9000' in the place"),
        ("s3://../lake", r"has '\.\.' in the place"),
        ("s3://bücket/lake", "has 'bücket' in the place"),
        ("s3://key:secret@bucket/lake", "has a user before its bucket"),
        ("s3://key:sec/ret@bucket/lake", "has a user before its bucket"),
    ],
)
def test_what_readers_would_understand_in_different_ways_is_refused(text: str, fact: str) -> None:
    for read in (s3_address, lake_address):
        with pytest.raises(ValueError, match=fact):
            read(text)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("/data/lake#dev", "has a '#'"),
        ("file:///data/lake#dev", "has a '#'"),
        ("/data/lake?dev", "has a '?'"),
        ("/data//lake", "has a slash without a name before it"),
        ("//data/lake", "has a slash without a name before it"),
        ("file://host/lake", "has a slash without a name before it"),
        ("/", "has a slash without a name before it"),
        ("/data/./lake", r"has a folder '\.'"),
        ("/data/../lake", r"has a folder '\.\.'"),
        ("/data/la\nke", r"has '\\n'"),
        ("lake", "does not begin with s3://"),
        ("./lake", "does not begin with s3://"),
        ("~/lake", "does not begin with s3://"),
        ("FILE:///data/lake", "does not begin with s3://"),
        ("file:lake", "does not begin with s3://"),
        ("/data/lake%23dev", "has a '%', which some readers decode"),
        ("s3://bucket/lake%23dev", "has a '%', which some readers decode"),
        ("s3://bucket/%2e%2e/lake", "has a '%', which some readers decode"),
        ("", "does not begin with s3://"),
    ],
)
def test_so_is_a_folder_or_a_lake_of_that_kind(text: str, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        lake_address(text)


def test_a_source_may_have_the_percent_signs_that_spark_writes() -> None:
    assert s3_address("s3://bucket/at=2026-11-01 00%3A00/").prefix == "at=2026-11-01 00%3A00"


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.lists(st.text("aA.é /#?%\\:@ \t~=", max_size=6), min_size=2, max_size=2, unique=True))
def test_of_two_addresses_that_differ_in_more_than_a_last_slash_at_most_one_names_a_place(names: list[str]) -> None:
    places: dict[object, set[str]] = {}
    for text in [f"{start}{name}" for start in ("s3://bucket/", "s3://", "/", "file:///") for name in names]:
        try:
            found = lake_address(text)
        except ValueError:
            continue
        places.setdefault(found, set()).add(text.removesuffix("/").removeprefix("file://"))
    assert all(len(texts) == 1 for texts in places.values()), places


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://key:secret@bucket/lake", "s3://***@bucket/lake"),
        ("s3://key:se/cr/et@bucket/lake", "s3://***@bucket/lake"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
    ],
)
def test_a_message_shows_no_secret(text: str, shown: str) -> None:
    assert redact_secret(text) == shown
