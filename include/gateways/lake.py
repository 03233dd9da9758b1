"""The lake: objects by key, on S3 or in a local folder."""

from __future__ import annotations

import fcntl
import io
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from include.enrichment.errors import LakeError, SetupError
from include.enrichment.storage.address import redact_secret, s3_address
from include.gateways.disk import disk_errors

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta, PutMode, ReadableFile
    from obstore.store import RetryConfig, S3Credential

_PART_BYTES = 8 * 1024 * 1024
_PIECE_BYTES = 1 << 20
#: The smallest range that open() fetches: what pyarrow requests to find a Parquet footer.
_RANGE_BYTES = 64 * 1024
#: Objects up to this size are fetched whole by open_listed().
_SMALL_BYTES = 1 << 20
#: An unreachable store is reported within a minute. (obstore's default: three.)
_RETRY: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
#: A file in a lake's folder, locked by each write.
_LOCK = ".lock"
#: S3's codes for rejected credentials.
_REJECTIONS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AccessDenied")
#: S3's codes for a bucket that does not exist or cannot exist.
_NO_BUCKET = ("NoSuchBucket", "InvalidBucketName")
#: S3's codes for an object that these credentials cannot read, whatever they can do with others.
_WITHHELD = {
    "AccessDenied": "S3 denies the AWS connection access to it",
    "InvalidObjectState": "it is in an archive of S3, and has to be restored before it can be read",
}


class ObjectMissing(LakeError):
    """There is no object with that key."""

    retryable = False


class UnreadableKey(LakeError):
    """A key that is no valid path: it has an empty name, ``.``, ``..`` or a control character in it."""

    retryable = False


class TooLarge(LakeError):
    """
    The object has more bytes than the caller wants.

    :param size_bytes: of the object
    """

    retryable = False

    def __init__(self, message: str, *, size_bytes: int) -> None:
        super().__init__(message)
        self.size_bytes = size_bytes


class BucketMissing(SetupError):
    """There is no bucket with that name."""


class Withheld(SetupError):
    """
    S3 does not hand out this object: a permission is missing, or it is in an archive.

    :param why: in words that continue "the object cannot be read:"
    """

    def __init__(self, message: str, *, why: str) -> None:
        super().__init__(message)
        self.why = why


class Conflict(LakeError):
    """A conditional write failed: the object exists already, or has changed since it was read."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An object's bytes, and its tag, on which a later replace() depends."""

    data: bytes
    etag: str


@dataclass(frozen=True, kw_only=True)
class Listed:
    """An object in a listing. ``changed_at`` is the time of its last write by the store's clock, UTC."""

    key: str
    size_bytes: int
    etag: str
    changed_at: datetime


class Lake:
    """
    The lake at ``uri``. Every write is atomic: a reader sees the old object or the new one, never a part.

    Errors of the store become LakeError, or SetupError if the bucket, the credentials or a permission is missing.
    Errors of a local file that is read or written become SetupError.

    :param runs_never_race: for a store without conditional writes. create() and replace() then check first and write
        after, which is safe only without concurrent writers
    """

    def __init__(self, store: S3Store | LocalStore, *, uri: str, runs_never_race: bool = False) -> None:
        self._store = store
        self.runs_never_race = runs_never_race
        self.uri = uri.rstrip("/")

    @classmethod
    def on_s3(
        cls,
        uri: str,
        *,
        credentials: Callable[[], S3Credential],
        region: str | None,
        endpoint: str | None,
        runs_never_race: bool = False,
    ) -> Lake:
        """
        Return the lake at ``s3://bucket/prefix``.

        :param credentials: called again whenever its last result has expired
        :param endpoint: the URL of an S3 other than AWS's

        Raises SetupError for an address that other readers would resolve differently.
        """
        try:
            address = s3_address(uri)
        except ValueError as error:
            raise SetupError(f"The lake cannot be at {redact_secret(uri)!r}: the address {error}.") from error
        store = S3Store(
            address.bucket,
            prefix=address.prefix or None,
            region=region or "us-east-1",
            credential_provider=credentials,
            client_options={"allow_http": True} if endpoint and endpoint.startswith("http://") else {},
            retry_config=_RETRY,
            # Not every S3 supports bulk deletes, and delete() deletes one object.
            config={"disable_bulk_delete": True, **({"endpoint": endpoint} if endpoint else {})},
        )
        return cls(store, uri=str(address), runs_never_race=runs_never_race)

    @classmethod
    def in_folder(cls, folder: Path, *, runs_never_race: bool = False) -> Lake:
        """Return the lake in a local folder, for development and tests. Processes of one machine may share it."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(LocalStore(folder), uri=str(folder), runs_never_race=runs_never_race)

    def locate(self, key: str) -> str:
        """Return the address of the object for a message."""
        return f"{self.uri}/{key}"

    def check(self) -> None:
        """Raise SetupError if the lake does not exist or cannot be read."""
        with self._errors("list"):
            next(iter(obstore.list(self._store, "manifests/", chunk_size=1)), None)

    def exists(self, key: str) -> bool:
        """Return whether there is an object with that key."""
        try:
            with self._errors(key):
                obstore.head(self._store, key)
        except ObjectMissing:
            return False
        return True

    def objects(self, prefix: str) -> list[Listed]:
        """Return the objects below a prefix that ends in a slash, sorted by key."""
        with self._errors(prefix):
            pages = obstore.list(self._store, prefix)
            found = [self._listed(each) for page in pages for each in page if each["path"] != _LOCK]
        return sorted(found, key=lambda listed: listed.key)

    def first(self, prefix: str) -> Listed | None:
        """Return the first object below a prefix that ends in a slash, in the order of S3; None if there is none."""
        with self._errors(prefix):
            page = next(iter(obstore.list(self._store, prefix, chunk_size=1)), None)
            return self._listed(page[0]) if page else None

    def _listed(self, found: ObjectMeta) -> Listed:
        return Listed(
            key=str(found["path"]),
            size_bytes=found["size"],
            etag=self._tag(str(found["path"]), found["e_tag"]),
            changed_at=found["last_modified"],
        )

    def list(self, prefix: str) -> list[str]:
        """Return the keys below a prefix that ends in a slash, sorted."""
        return [listed.key for listed in self.objects(prefix)]

    def read(self, key: str) -> bytes:
        """Return the object. Raises ObjectMissing if there is none."""
        return self._get(key).data

    def find(self, key: str) -> Stored | None:
        """Return the object, None if there is none. A failed read raises LakeError."""
        try:
            return self._get(key)
        except ObjectMissing:
            return None

    def fetch(self, key: str, path: Path, *, most_bytes: int | None = None) -> str:
        """
        Copy the object to a local file and return its tag.

        Raises ObjectMissing, SetupError if the file fails, and TooLarge, before anything is copied, if the object has
        more than ``most_bytes``; None: no object has.
        """
        with self._errors(key):
            found = obstore.get(self._store, key)
        size = found.meta["size"]
        if most_bytes is not None and size > most_bytes:
            raise TooLarge(f"{self.locate(key)} has {size:,} bytes; at most {most_bytes:,} are read.", size_bytes=size)
        with disk_errors(path), path.open("wb") as file:
            for part in self._parts(key, found):
                file.write(part)
        return self._tag(key, found.meta["e_tag"])

    def _parts(self, key: str, found: GetResult) -> Iterator[obstore.Bytes]:
        with self._errors(key):
            yield from found.stream(min_chunk_size=_PIECE_BYTES)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """
        Open the object as a seekable binary file that fetches only the ranges that are read, at least 64 KiB each.

        Use it for a part of a large object, for example one column of a Parquet file. fetch() is faster for all of it.
        Raises ObjectMissing if there is none. A read that fails later raises LakeError.
        """
        with self._errors(key):
            reader = obstore.open_reader(self._store, key, buffer_size=_RANGE_BYTES)
        with _ObjectFile(reader, errors=lambda: self._errors(key)) as file:
            yield cast(BinaryIO, file)

    def open_listed(self, listed: Listed) -> AbstractContextManager[BinaryIO]:
        """Open the object as open() does, but fetch a small one whole, in one call instead of several."""
        is_small = listed.size_bytes <= _SMALL_BYTES
        return io.BytesIO(self.read(listed.key)) if is_small else self.open(listed.key)

    def write(self, key: str, data: bytes) -> None:
        """Write the object, replacing any other."""
        with self._writing(key):
            obstore.put(self._store, key, data)

    def write_file(self, key: str, path: Path) -> None:
        """
        Write a local file as the object, replacing any other. The parts of a large one become visible together.

        Raises SetupError if the file cannot be read.
        """
        with disk_errors(path):
            path.open("rb").close()  # obstore reports its errors like those of the store
        with self._writing(key):
            obstore.put(self._store, key, path, chunk_size=_PART_BYTES, max_concurrency=4)

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none, and return its tag. One of several writers wins; others get Conflict."""
        with self._writing(key):
            if self.runs_never_race and self.exists(key):
                raise exceptions.AlreadyExistsError
            mode: PutMode = "overwrite" if self.runs_never_race else "create"
            return self._tag(key, obstore.put(self._store, key, data, mode=mode)["e_tag"])

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """
        Write the object if it still has the tag ``etag``, and return its new tag.

        Raises Conflict if it has changed or is gone.
        """
        with self._writing(key):
            checks_itself = self.runs_never_race or isinstance(self._store, LocalStore)
            if checks_itself and ((found := self.find(key)) is None or found.etag != etag):
                raise exceptions.PreconditionError
            mode: PutMode = "overwrite" if checks_itself else {"e_tag": etag}
            return self._tag(key, obstore.put(self._store, key, data, mode=mode)["e_tag"])

    def delete(self, listed: Listed) -> bool:
        """Delete the object and return True. Return False if it is gone or was written again since it was listed."""
        try:
            with self._errors(listed.key):
                found = obstore.head(self._store, listed.key)
                # On S3 the same bytes have the same tag: only the time shows that a writer needs the object again.
                if found["e_tag"] != listed.etag or found["last_modified"] > listed.changed_at:
                    return False
                obstore.delete(self._store, listed.key)
        except ObjectMissing:
            return False
        return True

    def _get(self, key: str) -> Stored:
        with self._errors(key):
            found = obstore.get(self._store, key)
            return Stored(data=bytes(found.bytes()), etag=self._tag(key, found.meta["e_tag"]))

    def _tag(self, key: str, etag: str | None) -> str:
        if not etag:
            raise LakeError(f"{self.locate(key)} has no ETag. Use a store that returns ETags.", retryable=False)
        return etag

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        with self._errors(key, writing=True), self._locked():
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Exclude other writers of a folder. S3 needs no lock: its server compares and writes in one step."""
        if isinstance(self._store, S3Store):
            yield
            return
        with (Path(self.uri) / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed or the process ends
            yield

    @contextmanager
    def _errors(self, key: str, *, writing: bool = False) -> Iterator[None]:
        where = self.locate(key)
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise Conflict(f"{where} was written by another process in the meantime. It was left unchanged.") from error
        except (exceptions.BaseError, OSError) as error:
            fact = str(error).strip().splitlines()[0][:500]
            if isinstance(error, exceptions.InvalidPathError):
                raise self._unreadable_key(error) from error
            if isinstance(self._store, LocalStore) and not Path(self.uri).is_dir():
                raise SetupError(
                    f"The lake's folder {self.uri} does not exist. Nothing was written. Create it, or correct"
                    " ENRICHMENT_LAKE."
                ) from error
            absent = isinstance(error, exceptions.NotFoundError | FileNotFoundError)
            # A write needs no existing key: only the bucket can be missing.
            if any(code in str(error) for code in _NO_BUCKET) or (absent and writing):
                raise BucketMissing(
                    f"The bucket of {self.uri} does not exist. Nothing was written."
                    " Create it, or correct the name (for the lake: ENRICHMENT_LAKE)."
                ) from error
            if absent:
                raise ObjectMissing(f"{where} does not exist.") from error
            if isinstance(self._store, LocalStore):
                raise LakeError(f"The disk of the lake's folder failed at {where}: {fact}") from error
            is_rejected = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
            code = next((code for code in _WITHHELD if f"<Code>{code}</Code>" in str(error)), None)
            if code and not writing:
                why = f"{_WITHHELD[code]} ({code})"
                raise Withheld(f"{where} cannot be read: {why}.", why=why) from error
            if is_rejected or any(code in str(error) for code in _REJECTIONS):
                raise SetupError(f"S3 rejected the credentials of the AWS connection at {where}: {fact}") from error
            raise LakeError(f"The store failed at {where}: {fact}") from error

    def _unreadable_key(self, error: exceptions.InvalidPathError) -> UnreadableKey:
        """Return the error for a foreign object. obstore names its key, with escapes, below the first line."""
        found = re.search(r'path: "((?:[^"\\]|\\.)*)"', str(error))
        key = found[1] if found else str(error).splitlines()[0]
        return UnreadableKey(
            f"The bucket of {self.uri} contains an object whose key cannot be read: '{key}' has an empty name between"
            " slashes, '.' or '..' as a name, or a control character."
        )


class _ObjectFile(io.RawIOBase):
    """An obstore reader as a file of Python, which pyarrow accepts. A failed read raises an error of the lake."""

    def __init__(self, reader: ReadableFile, *, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._reader = reader
        self._errors = errors

    def readable(self) -> bool:
        return True

    seekable = readable

    def read(self, size: int | None = -1, /) -> bytes:
        with self._errors():
            return bytes(self._reader.readall() if size is None or size < 0 else self._reader.read(size))

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with self._errors():
            return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()
