"""Objects by URI: in any bucket that an AWS connection can read, or below one local folder for development."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Protocol

from include.enrichment.documents.document import Stored
from include.enrichment.errors import LakeError
from include.enrichment.storage.address import s3_address
from include.gateways.disk import disk_errors, sha256_of
from include.gateways.lake import Lake, Listed, ObjectMissing, UnreadableKey

#: Prefixes of names to ignore, for example ``_SUCCESS`` and ``.DS_Store``, as for Parquet files.
_HIDDEN = ("_", ".")


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

    Raises ObjectMissing if there is no such object, and UnreadableKey for a URI that can name none: both are faults of
    one document. Raises any other LakeError or SetupError if the store fails or cannot be read.
    """

    def objects(self, prefix: str) -> list[ListedObject]:
        """
        Return the objects below a prefix that ends in a slash, sorted by name.

        Objects with a name that begins with ``_`` or ``.`` anywhere below the prefix are left out, and so are folders
        that were created by hand. Other empty objects are not.
        """

    def fetch(self, uri: str, path: Path) -> Stored:
        """Copy the object to a local file. Raises SetupError if the file fails."""

    def read(self, uri: str) -> bytes:
        """Return the object's bytes."""


class S3Buckets:
    """
    All buckets of one S3. See Buckets.

    :param open_bucket: opens the whole bucket of that name, at its first use
    """

    def __init__(self, open_bucket: Callable[[str], Lake]) -> None:
        self._open_bucket = open_bucket
        self._opened: dict[str, Lake] = {}

    def objects(self, prefix: str) -> list[ListedObject]:
        bucket, _, folder = prefix.removeprefix("s3://").partition("/")
        lake = self._bucket(bucket)
        found = [
            listed
            for key, alike in groupby(lake.objects(folder), key=lambda listed: listed.key)
            if not _is_hidden(key[len(folder) :])
            for listed in _readable(lake, key, list(alike))
        ]
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

    def fetch(self, uri: str, path: Path) -> Stored:
        lake, key = self._locate(uri)
        try:
            version = lake.fetch(key, path)
        except ObjectMissing:
            if any(listed.key == key for listed in lake.objects(f"{key}/")):
                raise _ends_in_a_slash(lake, key) from None
            raise
        return Stored(uri=uri, version=version, size_bytes=path.stat().st_size, sha256=sha256_of(path))

    def read(self, uri: str) -> bytes:
        lake, key = self._locate(uri)
        return lake.read(key)

    def _locate(self, uri: str) -> tuple[Lake, str]:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        try:
            if not uri.startswith("s3://"):
                raise ValueError("does not begin with s3:// in lower case")
            s3_address(f"s3://{bucket}")
            # obstore would drop a slash at either end of the key, and find another object.
            if not key or key != key.strip("/"):
                raise ValueError("has no key, or one that begins or ends with a slash")
        except ValueError as error:
            raise UnreadableKey(f"{uri!r} names no object: it {error}.") from error
        return self._bucket(bucket), key

    def _bucket(self, name: str) -> Lake:
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


def _ends_in_a_slash(lake: Lake, key: str) -> UnreadableKey:
    return UnreadableKey(f"{lake.locate(key)}/ is an object whose key ends in a slash. Rename or delete it.")


class LocalFolder:
    """The files below a local folder, by absolute paths. No link leads out of it. See Buckets."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).resolve()

    def objects(self, prefix: str) -> list[ListedObject]:
        with _file_errors(prefix):
            files = [Path(folder, name) for folder, _, names in os.walk(self._locate(prefix)) for name in names]
            named = {file.relative_to(prefix).as_posix(): file for file in files}
            return [self._listed(named[name], name) for name in sorted(named) if not _is_hidden(name)]

    def _listed(self, file: Path, name: str) -> ListedObject:
        stat = self._locate(str(file)).stat()
        return ListedObject(
            uri=str(file),
            name=name,
            size_bytes=stat.st_size,
            modified_at=datetime.fromtimestamp(stat.st_mtime, UTC),
            version=_version(stat),
        )

    def fetch(self, uri: str, path: Path) -> Stored:
        with _file_errors(uri):
            version = _version(self._locate(uri).stat())
        data = self.read(uri)
        with disk_errors(path):
            path.write_bytes(data)
        return Stored(uri=uri, version=version, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def read(self, uri: str) -> bytes:
        with _file_errors(uri):
            return self._locate(uri).read_bytes()

    def _locate(self, uri: str) -> Path:
        try:
            uri.encode()  # a file's name need not be text, and then cannot be a value of a row
            inside = Path(uri).resolve().is_relative_to(self._folder)
        except ValueError:
            inside = False
        if not uri.startswith("/") or not inside:
            raise UnreadableKey(f"{uri!r} names no object: it is not the path of a file in {self._folder}.")
        return Path(uri)


def _version(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


@contextmanager
def _file_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ObjectMissing(f"{uri} does not exist, or is a folder.") from error
    except OSError as error:
        raise LakeError(f"{uri} could not be read: {error.strerror or error}.") from error
