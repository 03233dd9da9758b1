"""Objects by URI: in any bucket that an AWS connection can read, or below one local folder for development."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, Protocol

from include.enrichment.documents.document import Stored
from include.enrichment.errors import LakeError
from include.enrichment.storage.address import s3_address, shown
from include.gateways.disk import disk_errors, sha256_of
from include.gateways.lake import BucketMissing, Lake, Listed, ObjectMissing, TooLarge, UnreadableKey

#: Prefixes of names to ignore, for example ``_SUCCESS`` and ``.DS_Store``, as for Parquet files.
_HIDDEN = ("_", ".")
#: Names and characters that no key of obstore has; S3 itself takes no key of more than so many bytes.
_NO_KEY = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]")
_MOST_KEY_BYTES = 1024
#: A path that is a loop of links, or too long, names no file.
_NO_PATH = (errno.ELOOP, errno.ENAMETOOLONG)
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ListedObject:
    """
    An object in a listing.

    :param uri: ``s3://bucket/key`` exactly as stored, or the absolute path of a local file
    :param name: its key below the listed prefix, exactly as stored
    :param modified_at: when it was last written, by the clock of the store, UTC
    :param version: its ETag
    """

    uri: str
    name: str
    size_bytes: int
    modified_at: datetime
    version: str


class Buckets(Protocol):
    """
    Where objects are read by their URIs, by several threads if necessary. Nothing is ever written there.

    Raises ObjectMissing if there is no such object, UnreadableKey for a URI that can name none, and Withheld if S3 does
    not hand it out: all are faults of one document. Raises any other LakeError or SetupError if the store fails or
    cannot be read.
    """

    def objects(self, prefix: str) -> list[ListedObject]:
        """
        Return the objects below a prefix that ends in a slash, sorted by name.

        Objects with a name that begins with ``_`` or ``.`` anywhere below the prefix are left out, and so are folders
        that were created by hand. Other empty objects are not.
        """

    def fetch(self, uri: str, path: Path, *, most_bytes: int | None = None) -> Stored:
        """
        Copy the object to a local file.

        Raises SetupError if the file fails, and TooLarge, before anything is copied, if the object has more than
        ``most_bytes``; None: no object has.
        """


class S3Buckets:
    """
    All buckets of one S3. See Buckets.

    :param open_bucket: opens the whole bucket of that name, at its first use
    """

    def __init__(self, open_bucket: Callable[[str], Lake]) -> None:
        self._open_bucket = open_bucket
        self._opened: dict[str, Lake] = {}
        self._one_at_a_time = threading.Lock()

    def objects(self, prefix: str) -> list[ListedObject]:
        bucket, _, folder = prefix.removeprefix("s3://").partition("/")
        lake = self._bucket(bucket)
        found: list[Listed] = []
        for key, same in groupby(lake.objects(folder), key=lambda listed: listed.key):
            alike, name = list(same), key[len(folder) :]
            if not name:  # the key is that of the folder, with the slash that a listing leaves out
                found += [replace(listed, key=folder) for listed in alike if listed.size_bytes]
            elif not _is_hidden(name):
                found += _readable(lake, key, alike)
        return [
            ListedObject(
                uri=f"s3://{bucket}/{listed.key}",
                name=listed.key[len(folder) :],
                size_bytes=listed.size_bytes,
                modified_at=listed.changed_at,
                version=listed.etag,
            )
            for listed in found
        ]

    def fetch(self, uri: str, path: Path, *, most_bytes: int | None = None) -> Stored:
        lake, key = self._locate(uri)
        try:
            version = lake.fetch(key, path, most_bytes=most_bytes)
        except BucketMissing as error:
            raise _without_bucket(uri, lake) from error
        except ObjectMissing:
            # It would come first: a listing returns its key without the slash.
            if (first := lake.first(f"{key}/")) and first.key == key:
                raise _ends_in_a_slash(lake, key) from None
            raise
        return Stored(uri=uri, version=version, size_bytes=path.stat().st_size, sha256=sha256_of(path))

    def _locate(self, uri: str) -> tuple[Lake, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            if not uri.startswith("s3://"):
                raise ValueError("does not begin with s3:// in lower case")
            if ":" in bucket or "@" in bucket:
                raise ValueError("has a user name or a colon before its key: credentials belong in the AWS connection")
            s3_address(f"s3://{bucket}")
            # obstore would drop a slash at either end of the key, and find another object.
            if not key or key != key.strip("/"):
                raise ValueError("has no key, or one that begins or ends with a slash")
            if _NO_KEY.search(key):
                raise ValueError("has an empty name between slashes, '.' or '..' as a name, or a control character")
            if (size := len(key.encode())) > _MOST_KEY_BYTES:
                raise ValueError(f"has a key of {size:,} bytes; S3 has none of more than {_MOST_KEY_BYTES:,}")
        except ValueError as error:
            raise UnreadableKey(f"{shown(uri)!r} names no object: it {error}.") from error
        return self._bucket(bucket), key

    def _bucket(self, name: str) -> Lake:
        with self._one_at_a_time:
            if name not in self._opened:
                self._opened[name] = self._open_bucket(name)
            return self._opened[name]


def _is_hidden(name: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in name.split("/"))


def _readable(lake: Lake, key: str, alike: list[Listed]) -> list[Listed]:
    """
    Return the one object that reading this key finds, if there is one.

    A listing returns the key ``a/`` as ``a``: an empty object is such a folder, or a document that is really empty.
    """
    if len(alike) == 1 and alike[0].size_bytes:
        return alike
    found = lake.find(key)
    read = next((listed for listed in alike if found and listed.etag == found.etag), None)
    if any(listed.size_bytes for listed in alike if listed is not read):
        raise _ends_in_a_slash(lake, key)
    return [read] if read else []


def _without_bucket(uri: str, lake: Lake) -> UnreadableKey:
    return UnreadableKey(f"{shown(uri)!r} names no object: the bucket {lake.uri} does not exist.")


def _ends_in_a_slash(lake: Lake, key: str) -> UnreadableKey:
    return UnreadableKey(f"{lake.locate(key)}/ is an object whose key ends in a slash. Rename or delete it.")


class LocalFolder:
    """The files below a local folder, by absolute paths. No link leads out of it. See Buckets."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).resolve()

    def objects(self, prefix: str) -> list[ListedObject]:
        with _file_errors(prefix):
            top = self._locate(prefix)
            files = [
                Path(folder, name)
                for folder, folders, names in os.walk(top, onerror=_raise_unless_missing)
                # A linked folder is not walked: it becomes a row, which says so.
                for name in (*names, *(name for name in folders if Path(folder, name).is_symlink()))
            ]
            named = {file.relative_to(prefix).as_posix(): file for file in files}
            return [self._listed(named[name], name) for name in sorted(named) if not _is_hidden(name)]

    def _listed(self, file: Path, name: str) -> ListedObject:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UnreadableKey(f"{str(file)!r} names no object: its name is not text in UTF-8.") from error
        try:
            found = self._locate(str(file)).stat()
        except (UnreadableKey, FileNotFoundError):  # a link that leads nowhere, or out of the folder
            found = file.lstat()
        return ListedObject(
            uri=str(file),
            name=name,
            size_bytes=found.st_size,
            modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
            version=_version(found),
        )

    def fetch(self, uri: str, path: Path, *, most_bytes: int | None = None) -> Stored:
        with self._opened(uri) as file:
            found = os.fstat(file.fileno())
            if most_bytes is not None and found.st_size > most_bytes:
                has = f"{uri} has {found.st_size:,} bytes; at most {most_bytes:,} are read."
                raise TooLarge(has, size_bytes=found.st_size)
            with disk_errors(path), path.open("wb") as copy:
                while block := file.read(_BLOCK_BYTES):
                    copy.write(block)
        return Stored(uri=uri, version=_version(found), size_bytes=path.stat().st_size, sha256=sha256_of(path))

    @contextmanager
    def _opened(self, uri: str) -> Iterator[BinaryIO]:
        with _file_errors(uri):
            path = self._locate(uri)
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for somebody who writes into it
                raise ObjectMissing(f"{uri} does not exist, or is no file.")
            with path.open("rb") as file:
                yield file

    def _locate(self, uri: str) -> Path:
        try:
            uri.encode()  # a file's name need not be text, and then cannot be a value of a row
            inside = Path(uri).resolve().is_relative_to(self._folder)
        except (ValueError, RuntimeError):  # RuntimeError: a loop of links
            inside = False
        if not uri.startswith("/") or not inside:
            raise UnreadableKey(f"{shown(uri)!r} names no object: it is not the path of a file in {self._folder}.")
        return Path(uri)


def _version(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def _raise_unless_missing(error: OSError) -> None:
    """A day without a folder has no documents. A folder that cannot be read may have some."""
    if not isinstance(error, FileNotFoundError):
        raise error


@contextmanager
def _file_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ObjectMissing(f"{uri} does not exist, or is no file.") from error
    except OSError as error:
        if error.errno in _NO_PATH:
            raise UnreadableKey(f"{shown(uri)!r} names no object: {error.strerror}.") from error
        raise LakeError(f"{uri} could not be read: {error.strerror or error}.") from error
