"""address.py: an address names one place, the same for every reader."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.enrichment.storage.address import S3Address, lake_address, redact_secret, s3_address, shown

S3 = [
    ("s3://bucket", "bucket", ""),
    ("s3://bucket/", "bucket", ""),
    ("s3://bucket/lake", "bucket", "lake"),
    ("s3://bucket/lake/", "bucket", "lake"),
    ("s3://my.Old_bucket-1/a/b", "my.Old_bucket-1", "a/b"),
    ("s3://bucket/team a/Größe=1+2&c/...", "bucket", "team a/Größe=1+2&c/..."),
]


@pytest.mark.parametrize(("text", "bucket", "prefix"), S3)
def test_an_s3_address_is_used_as_written(text: str, bucket: str, prefix: str) -> None:
    found = s3_address(text)
    assert found == lake_address(text) == S3Address(bucket=bucket, prefix=prefix)
    assert str(found) == text.removesuffix("/")


@pytest.mark.parametrize("text", ["/data/lake", "/data/lake/", "file:///data/lake", "file:/data/lake"])
def test_a_local_folder_may_follow_file(text: str) -> None:
    assert lake_address(text) == "/data/lake"


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("s3://bucket/lake#dev", "contains '#'"),
        ("s3://bucket#dev", "contains '#'"),
        ("s3://bucket/lake?dev", "contains '?'"),
        ("s3://bucket?versionId=1", "contains '?'"),
        ("s3://bucket/team\\lake", r"contains '\\\\'"),
        ("s3://bucket//lake", "contains an empty folder name"),
        ("s3://bucket/a//lake", "contains an empty folder name"),
        ("s3://bucket/lake//", "contains an empty folder name"),
        ("s3://bucket//", "contains an empty folder name"),
        ("s3://bucket/./lake", r"contains the folder '\.'"),
        ("s3://bucket/a/../lake", r"contains the folder '\.\.'"),
        ("s3://bucket/..", r"contains the folder '\.\.'"),
        ("s3://bucket/la\tke", r"contains '\\t', an invisible character"),
        ("s3://bucket/la\nke", r"contains '\\n'"),
        ("s3://bucket/lake\u200b", r"contains '\\u200b'"),
        ("s3://bucket/a\xa0b", r"contains '\\xa0'"),
        ("s3://bucket/lake ", "begins or ends with a space"),
        (" s3://bucket/lake", "does not begin with s3://"),
        ("S3://bucket/lake", "does not begin with s3:// in lower case"),
        ("s3a://bucket/lake", "does not begin with s3://"),
        ("s3:bucket/lake", "does not begin with s3://"),
        ("s3:/bucket/lake", "does not begin with s3://"),
        ("https://bucket.s3.amazonaws.com/lake", "does not begin with s3://"),
        ("s3://", "has '' instead of a bucket name"),
        ("s3:///lake", "has '' instead of a bucket name"),
        ("s3://bucket:9000/lake", "has 'bucket:9000' instead of"),
        ("s3://../lake", r"has '\.\.' instead of"),
        ("s3://bücket/lake", "has 'bücket' instead of"),
        ("s3://key:secret@bucket/lake", "contains a user name"),
        ("s3://key:sec/ret@bucket/lake", "contains a user name"),
    ],
)
def test_an_ambiguous_address_is_rejected(text: str, fact: str) -> None:
    for read in (s3_address, lake_address):
        with pytest.raises(ValueError, match=fact):
            read(text)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("/data/lake#dev", "contains '#'"),
        ("file:///data/lake#dev", "contains '#'"),
        ("/data/lake?dev", "contains '?'"),
        ("/data//lake", "contains an empty folder name"),
        ("//data/lake", "contains an empty folder name"),
        ("file://host/lake", "contains an empty folder name"),
        ("/", "contains an empty folder name"),
        ("/data/./lake", r"contains the folder '\.'"),
        ("/data/../lake", r"contains the folder '\.\.'"),
        ("/data/la\nke", r"contains '\\n'"),
        ("lake", "does not begin with s3://"),
        ("./lake", "does not begin with s3://"),
        ("~/lake", "does not begin with s3://"),
        ("FILE:///data/lake", "does not begin with s3://"),
        ("file:lake", "does not begin with s3://"),
        ("/data/lake%23dev", "contains '%', which some readers decode"),
        ("s3://bucket/lake%23dev", "contains '%', which some readers decode"),
        ("s3://bucket/%2e%2e/lake", "contains '%', which some readers decode"),
        ("", "does not begin with s3://"),
    ],
)
def test_an_ambiguous_lake_is_rejected(text: str, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        lake_address(text)


def test_a_source_may_contain_the_percent_signs_of_spark() -> None:
    assert s3_address("s3://bucket/at=2026-11-01 00%3A00/").prefix == "at=2026-11-01 00%3A00"


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.lists(st.text("aA.é /#?%\\:@ \t~=", max_size=6), min_size=2, max_size=2, unique=True))
def test_no_two_addresses_name_one_place_unless_they_differ_by_a_trailing_slash(names: list[str]) -> None:
    places: dict[object, set[str]] = {}
    for text in [f"{start}{name}" for start in ("s3://bucket/", "s3://", "/", "file:///") for name in names]:
        try:
            found = lake_address(text)
        except ValueError:
            continue
        places.setdefault(found, set()).add(text.removesuffix("/").removeprefix("file://"))
    assert all(len(texts) == 1 for texts in places.values()), places


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("s3://key:secret@bucket/lake", "s3://***@bucket/lake"),
        ("s3://key:se/cr/et@bucket/lake", "s3://***@bucket/lake"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
    ],
)
def test_a_message_shows_no_secret(text: str, redacted: str) -> None:
    assert redact_secret(text) == redacted


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket/a b+c%20#1?.pdf", "s3://bucket/a b+c%20#1?.pdf"),
        ("/tmp/déjà.pdf", "/tmp/déjà.pdf"),
        ("s3://key:se/cret@bucket/a.pdf", "s3://***@bucket/a.pdf"),
        ("https://key:secret@host/a.pdf?token=secret#secret", "https://***@host/a.pdf?…"),
        ("two\nlines \u202e", "two\\nlines \\u202e"),
        ("x" * 1_000, f"{'x' * 200}…{'x' * 60} (1,000 characters)"),
    ],
)
def test_a_message_shows_a_uri_without_secrets_and_on_one_line(uri: str, expected: str) -> None:
    assert shown(uri) == expected
