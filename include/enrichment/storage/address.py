"""
Addresses on S3 and of folders. One is taken as it is written: nothing is decoded, cut off or resolved. What some
readers would decode, cut off or resolve is an error, or ``lake#dev`` and ``lake#prod`` would share one ledger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Wider than AWS allows for a new bucket: old ones and those of other stores have capitals, ``_`` and longer names.
_BUCKET = re.compile(r"(?!.*\.\.)[A-Za-z0-9]([A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_FOLDER = re.compile(r"(?:file:(?://)?)?(/.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class S3Address:
    """
    A place on S3.

    :param prefix: without slashes at its ends; empty for the whole bucket
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".removesuffix("/")


def s3_address(text: str) -> S3Address:
    """
    Read ``s3://bucket/prefix``, with or without one slash at its end.

    Raises ValueError, whose text goes on after "the address", for anything else and for what readers understand in
    different ways.
    """
    if not text.startswith("s3://"):
        raise ValueError("does not begin with s3:// in lower case")
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if "@" in bucket or (":" in bucket and "@" in prefix):
        raise ValueError("has a user before its bucket: credentials belong in the AWS connection")
    _check_characters(text)
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"has {bucket!r} in the place of a bucket's name")
    if prefix:
        _check_names(prefix)
    return S3Address(bucket=bucket, prefix=prefix.removesuffix("/"))


def lake_address(text: str) -> S3Address | str:
    """
    Read the address of a lake: s3_address(), or the absolute path of a folder, which may follow ``file://``.

    Returns a path without a slash at its end. Raises ValueError as s3_address() does.
    """
    # Not everywhere: Spark writes a % into the names of its folders, and a source's prefix has to name them.
    if "%" in text:
        raise ValueError("has a '%', which some readers decode and others do not")
    if not (folder := _FOLDER.fullmatch(text)):
        return s3_address(text)
    _check_characters(text)
    _check_names(folder[1].removeprefix("/"))
    return folder[1].removesuffix("/")


def redact_secret(text: str) -> str:
    """The address for a message, without the user and password that may stand in it; a secret key may have slashes."""
    return re.sub(r"(?<=://)([^/]*:.*|[^/]*)@", "***@", text)


def _check_characters(text: str) -> None:
    if cut := re.search(r"[#?\\]", text):
        raise ValueError(f"has a {cut[0]!r}, at which some readers cut it and others do not")
    if hidden := next((character for character in text if not character.isprintable()), None):
        raise ValueError(f"has {hidden!a}, a character that nobody can see")
    if text != text.strip():
        raise ValueError("begins or ends with a space")


def _check_names(path: str) -> None:
    names = path.removesuffix("/").split("/")
    if "" in names:
        raise ValueError("has a slash without a name before it")
    if dots := {".", ".."}.intersection(names):
        raise ValueError(f"has a folder {dots.pop()!r}, which some readers resolve and others do not")
