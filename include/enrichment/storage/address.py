"""
Addresses on S3 and of local folders, used exactly as written. An address that some readers would decode, cut or resolve
is an error: ``lake#dev`` and ``lake#prod`` would share one ledger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from include.enrichment.runs.partition import check_daily

#: Wider than AWS allows for a new bucket: old buckets and other stores have capitals, ``_`` and longer names.
_BUCKET = re.compile(r"(?!.*\.\.)[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
#: Folders without an empty name, ``.`` or ``..``, with a trailing slash.
_FOLDERS = r"(/(?!\.{1,2}/)[^/]+)+/"
#: S3's longest keys are cut in messages.
_MOST_SHOWN = 300
_FOLDER = re.compile(r"(?:file:(?://)?)?(/.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class S3Address:
    """
    A bucket and a prefix on S3.

    :param prefix: without leading or trailing slash; empty: the whole bucket
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".removesuffix("/")


def s3_address(text: str) -> S3Address:
    """
    Parse ``s3://bucket/prefix``, with or without one trailing slash.

    Raises ValueError for anything else and for an ambiguous address. The message continues a sentence that begins with
    "the address".
    """
    if not text.startswith("s3://"):
        raise ValueError("does not begin with s3:// in lower case")
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if "@" in bucket or (":" in bucket and "@" in prefix):
        raise ValueError("contains a user name: credentials belong in the AWS connection")
    _check_characters(text)
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"has {bucket!r} instead of a bucket name")
    if prefix:
        _check_names(prefix)
    return S3Address(bucket=bucket, prefix=prefix.removesuffix("/"))


def lake_address(text: str) -> S3Address | str:
    """
    Parse the address of a lake: an S3 address, or the absolute path of a folder, which may follow ``file://``.

    Return a path without a trailing slash. Raises ValueError as s3_address() does.
    """
    # Only for a lake: Spark writes a % into the names of its folders, and a source's prefix has to name them.
    if "%" in text:
        raise ValueError("contains '%', which some readers decode and others do not")
    if not (folder := _FOLDER.fullmatch(text)):
        return s3_address(text)
    _check_characters(text)
    _check_names(folder[1].removeprefix("/"))
    return folder[1].removesuffix("/")


def daily_files(prefix: str) -> str:
    """
    Return the S3 prefix of a partition's files, with its placeholders, as it is.

    Raises ValueError unless it differs from day to day: two days would read, and pay for, the same files.
    """
    if not re.fullmatch(rf"s3://[^/{{}}]+{_FOLDERS}", prefix):
        raise ValueError(
            "must be a prefix like s3://bucket/products/dt={partition}/, with a trailing slash and no empty folder name"
        )
    s3_address(prefix)
    check_daily(prefix)
    return prefix


def daily_objects(place: str) -> str:
    """Return the S3 prefix or the local folder of a partition's objects. Raises ValueError as daily_files() does."""
    if not re.fullmatch(rf"(s3://[^/{{}}]+)?{_FOLDERS}", place):
        raise ValueError(
            "must be a prefix like s3://bucket/contracts/dt={partition}/, or for development the absolute path of a"
            " folder, with a trailing slash and no empty folder name"
        )
    if place.startswith("s3://"):
        s3_address(place)
    check_daily(place)
    return place


def redact_secret(text: str) -> str:
    """Return the address without its user and password, for a message. A secret key may contain slashes."""
    return re.sub(r"(?<=://)([^/]*:.*|[^/]*)@", "***@", text)


def shown(uri: str) -> str:
    """
    Return a URI of a row for a message: on one line, not too long, and without what may be a secret, for example the
    signature of a link. A URI can be anything: the column may hold whole texts.
    """
    if not uri.startswith("/"):
        uri = redact_secret(uri)
        # In a key, these are characters like others.
        uri = uri if uri.startswith("s3://") else re.sub(r"[?#].*", "?…", uri, flags=re.DOTALL)
    if len(uri) > _MOST_SHOWN:
        uri = f"{uri[:200]}…{uri[-60:]} ({len(uri):,} characters)"
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in uri)


def _check_characters(text: str) -> None:
    if cut := re.search(r"[#?\\]", text):
        raise ValueError(f"contains {cut[0]!r}, where some readers cut it and others do not")
    if hidden := next((character for character in text if not character.isprintable()), None):
        raise ValueError(f"contains {hidden!a}, an invisible character")
    if text != text.strip():
        raise ValueError("begins or ends with a space")


def _check_names(path: str) -> None:
    names = path.removesuffix("/").split("/")
    if "" in names:
        raise ValueError("contains an empty folder name")
    if dots := {".", ".."}.intersection(names):
        raise ValueError(f"contains the folder {dots.pop()!r}, which some readers resolve and others do not")
