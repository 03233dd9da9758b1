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
    from obstore import ReadableFile
    from obstore.store import RetryConfig, S3Credential

_PART_BYTES = 8 * 1024 * 1024
#: What fetch() holds in memory at once, about.
_PIECE_BYTES = 1 << 20
#: The least that open() fetches at once: as much as pyarrow asks for when it looks for a Parquet footer.
_RANGE_BYTES = 64 * 1024
#: What open_listed() fetches whole.
_SMALL_BYTES = 1 << 20
#: An unreachable store is told within the minute; the default of obstore is three.
_RETRY: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}
#: In a lake's folder: whoever writes holds a lock on it.
_LOCK = ".lock"
#: What conditional writes are tried out on. (A pipeline cannot be called like that: it has no folder.)
_PROBE, _PROBE_DATA = "ledger/_probe", b"Conditional writes are tried out on this object. It may be deleted."
#: A well-formed tag that no object has.
_WRONG_TAG = f'"{"0" * 32}"'
#: What S3 and its kin say of a condition that they do not know.
_NOT_IMPLEMENTED = ("NotImplemented", "501 Not Implemented", "not implemented")
#: What S3 says of credentials that it does not take.
_REFUSALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AccessDenied")


class ObjectMissing(LakeError):
    """There surely is no object of that key."""

    retryable = False


class UnreadableKey(LakeError):
    """An object has a key that no path can have: an empty name, ``.`` or ``..`` in it, or a control character."""

    retryable = False


class Conflict(LakeError):
    """A conditional write lost: the object is there already, or has changed since it was read."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An object's bytes, and the tag that a later replace() must still find."""

    data: bytes
    etag: str


@dataclass(frozen=True, kw_only=True)
class Listed:
    """
    An object as a listing shows it.

    :param etag: the tag that Stored would have
    :param changed_at: when it was written, by the store's clock, UTC
    """

    key: str
    size_bytes: int
    etag: str
    changed_at: datetime


class Lake:
    """
    The lake at ``uri``. Every write is atomic: a reader sees the object as it was or as it is, never a part of it.

    Errors of the store become LakeError, or SetupError where the bucket, the key or a permission is missing; those of a
    local file that is fetched to or written from are SetupErrors of this machine's disk.
    """

    def __init__(self, store: S3Store | LocalStore, *, uri: str, runs_never_race: bool = False) -> None:
        self._store = store
        self._runs_never_race = runs_never_race
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
        The lake in ``s3://bucket/prefix``.

        :param credentials: called again whenever what it gave last has expired
        :param endpoint: of an S3 that is not AWS's
        :param runs_never_race: for a store without conditional writes: create() and replace() look first and then
            write, which is safe only as long as nobody else writes at the same moment

        Raises SetupError for an address that some readers would understand as another one.
        """
        try:
            address = s3_address(uri)
        except ValueError as error:
            raise SetupError(f"No lake can be at {redact_secret(uri)!r}: the address {error}.") from error
        store = S3Store(
            address.bucket,
            prefix=address.prefix or None,
            region=region or "us-east-1",
            credential_provider=credentials,
            client_options={"allow_http": True} if endpoint and endpoint.startswith("http://") else {},
            retry_config=_RETRY,
            # One object at a time is deleted here, and not every S3 knows how to delete several.
            config={"disable_bulk_delete": True, **({"endpoint": endpoint} if endpoint else {})},
        )
        return cls(store, uri=str(address), runs_never_race=runs_never_race)

    @classmethod
    def in_folder(cls, folder: Path, *, runs_never_race: bool = False) -> Lake:
        """
        The lake in a local folder, for development and tests. The processes of one machine may write to it at once.

        :param runs_never_race: as for on_s3(); of no use here
        """
        folder.mkdir(parents=True, exist_ok=True)
        return cls(LocalStore(folder), uri=str(folder), runs_never_race=runs_never_race)

    def locate(self, key: str) -> str:
        """Where the object of that key lies, for people."""
        return f"{self.uri}/{key}"

    def check(self) -> None:
        """Raises SetupError if the lake is not there or may not be read."""
        with self._errors("list"):
            next(iter(obstore.list(self._store, "manifests/", chunk_size=1)), None)

    def check_conditional_writes(self) -> None:
        """
        Raises SetupError unless the store refuses a conditional write whose condition does not hold.

        It is tried out in three calls on an object that stays there and always says the same, so that it does not
        matter who else does so at the moment, or is killed: a store that does not know the conditions may simply
        overwrite, and then nothing tells two runs apart that send the same chunk.
        """
        if self._runs_never_race:
            return
        try:
            self._succeeds(lambda: self.create(_PROBE, _PROBE_DATA))
            if self._succeeds(lambda: self.create(_PROBE, _PROBE_DATA)):
                raise self._no_conditions("a second create of the same object was not refused")
            if self._succeeds(lambda: self.replace(_PROBE, _PROBE_DATA, etag=_WRONG_TAG)):
                raise self._no_conditions("a replace with a wrong ETag was not refused")
        except LakeError as error:
            cause = error.__cause__
            if isinstance(cause, exceptions.NotSupportedError) or any(word in str(cause) for word in _NOT_IMPLEMENTED):
                raise self._no_conditions(str(error)) from error
            raise

    @staticmethod
    def _succeeds(write: Callable[[], str]) -> bool:
        try:
            write()
        except Conflict:
            return False
        return True

    def _no_conditions(self, fact: str) -> SetupError:
        return SetupError(
            f"The lake {self.uri} has no conditional writes: {fact}. Two runs at the same moment could both pay for the"
            " same rows. Nothing was sent. Use a store that has them (AWS S3, MinIO, Cloudflare R2, …); or, if runs of"
            " this deployment never race, set ENRICHMENT_RUNS_NEVER_RACE=true."
        )

    def exists(self, key: str) -> bool:
        """Whether there is an object of that key."""
        try:
            with self._errors(key):
                obstore.head(self._store, key)
        except ObjectMissing:
            return False
        return True

    def objects(self, prefix: str) -> list[Listed]:
        """The objects below a prefix that ends in a slash, by key."""
        with self._errors(prefix):
            found = [
                Listed(
                    key=str(each["path"]),
                    size_bytes=each["size"],
                    etag=self._tag(str(each["path"]), each["e_tag"]),
                    changed_at=each["last_modified"],
                )
                for page in obstore.list(self._store, prefix)
                for each in page
                if each["path"] != _LOCK
            ]
        return sorted(found, key=lambda listed: listed.key)

    def list(self, prefix: str) -> list[str]:
        """The keys below a prefix that ends in a slash, sorted."""
        return [listed.key for listed in self.objects(prefix)]

    def read(self, key: str) -> bytes:
        """The object. Raises LakeError if there is none."""
        return self._get(key).data

    def find(self, key: str) -> Stored | None:
        """The object, or None if there surely is none. A read that failed is an error."""
        try:
            return self._get(key)
        except ObjectMissing:
            return None

    def fetch(self, key: str, path: Path) -> None:
        """Copy the object to a local file. Raises LakeError if there is none, SetupError for an error of the file."""
        parts = self._stream(key)
        with disk_errors(path), path.open("wb") as file:
            for part in parts:
                file.write(part)

    def _stream(self, key: str) -> Iterator[obstore.Bytes]:
        with self._errors(key):
            yield from obstore.get(self._store, key).stream(min_chunk_size=_PIECE_BYTES)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        """
        The object as a seekable binary file of which only the ranges are fetched that are read, each of 64 KiB or more.

        For a part of a large object, such as one column of a Parquet file; fetch() is faster for the whole. Raises
        ObjectMissing if there is none; what fails later is a LakeError of the read that failed.
        """
        with self._errors(key):
            reader = obstore.open_reader(self._store, key, buffer_size=_RANGE_BYTES)
        with _ObjectFile(reader, errors=lambda: self._errors(key)) as file:
            yield cast(BinaryIO, file)

    @contextmanager
    def open_listed(self, listed: Listed) -> Iterator[BinaryIO]:
        """The object as open() gives it; a small one is fetched whole, in one call instead of several."""
        if listed.size_bytes <= _SMALL_BYTES:
            yield io.BytesIO(self.read(listed.key))
            return
        with self.open(listed.key) as file:
            yield file

    def write(self, key: str, data: bytes) -> None:
        """Write the object, whatever was there."""
        with self._writing(key):
            obstore.put(self._store, key, data)

    def write_file(self, key: str, path: Path) -> None:
        """
        Write a local file as the object, whatever was there; a large one in parts that become visible together.

        Raises SetupError if the file cannot be read.
        """
        with disk_errors(path):
            path.open("rb").close()  # obstore does not tell its errors from those of the store
        with self._writing(key):
            obstore.put(self._store, key, path, chunk_size=_PART_BYTES, max_concurrency=4)

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none, and return its tag. Of several who try, one wins; Conflict for others."""
        with self._writing(key):
            if self._runs_never_race:
                if self.exists(key):
                    raise exceptions.AlreadyExistsError
                return self._tag(key, obstore.put(self._store, key, data)["e_tag"])
            return self._tag(key, obstore.put(self._store, key, data, mode="create")["e_tag"])

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """
        Write the object if it is still the one that was read with ``etag``, and return its new tag.

        Raises Conflict if it has changed, or is gone.
        """
        with self._writing(key):
            if self._runs_never_race or isinstance(self._store, LocalStore):
                if (found := self.find(key)) is None or found.etag != etag:
                    raise exceptions.PreconditionError
                return self._tag(key, obstore.put(self._store, key, data)["e_tag"])
            return self._tag(key, obstore.put(self._store, key, data, mode={"e_tag": etag})["e_tag"])

    def delete(self, listed: Listed) -> bool:
        """Delete the object, and return True; False if it is gone, or was written anew since it was listed."""
        try:
            with self._errors(listed.key):
                found = obstore.head(self._store, listed.key)
                # Whoever writes the same bytes again gets the same tag from S3, and needs them.
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
            raise LakeError(
                f"{self.locate(key)}: the store gives no ETag, and without one no write can be conditional.",
                retryable=False,
            )
        return etag

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        with self._errors(key, writing=True), self._locked():
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the writers of a folder; S3 needs no lock, as its server compares and writes in one go."""
        if isinstance(self._store, S3Store):
            yield
            return
        with (Path(self.uri) / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # closing the file ends it, as does the end of the process
            yield

    @contextmanager
    def _errors(self, key: str, *, writing: bool = False) -> Iterator[None]:
        where = self.locate(key)
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise Conflict(f"{where} has been written by somebody else. It was left as it is.") from error
        except (exceptions.BaseError, OSError) as error:
            fact = str(error).strip().splitlines()[0][:500]
            if isinstance(error, exceptions.InvalidPathError):
                raise self._unreadable_key(error) from error
            if isinstance(self._store, LocalStore) and not Path(self.uri).is_dir():
                raise SetupError(
                    f"The lake's folder {self.uri} does not exist. Nothing was written. Make it, or name another one in"
                    " ENRICHMENT_LAKE."
                ) from error
            absent = isinstance(error, exceptions.NotFoundError | FileNotFoundError)
            # What is written needs no key to be there: only the bucket can be what is missing.
            if "NoSuchBucket" in str(error) or (absent and writing):
                raise SetupError(
                    f"The bucket of {self.uri} does not exist. Nothing was written."
                    " Create it, or name the right one (the lake's is in ENRICHMENT_LAKE)."
                ) from error
            if absent:
                raise ObjectMissing(f"{where} does not exist.") from error
            if isinstance(self._store, LocalStore):
                raise LakeError(f"The disk of the lake's folder failed at {where}: {fact}") from error
            refused = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
            if refused or any(code in str(error) for code in _REFUSALS):
                raise SetupError(f"S3 refuses the AWS connection's credentials at {where}: {fact}") from error
            raise LakeError(f"The store failed at {where}: {fact}") from error

    def _unreadable_key(self, error: exceptions.InvalidPathError) -> UnreadableKey:
        """The error for a foreign object; obstore spells its key, with escapes, below the error's first line."""
        found = re.search(r'path: "((?:[^"\\]|\\.)*)"', str(error))
        key = found[1] if found else str(error).splitlines()[0]
        return UnreadableKey(
            f"The bucket of {self.uri} holds an object whose key cannot be read: '{key}' has an empty name between"
            " slashes, '.' or '..' for a name, or a control character."
        )


class _ObjectFile(io.RawIOBase):
    """An object as Python's own kind of file, which pyarrow and others take; its errors are the lake's."""

    def __init__(self, reader: ReadableFile, *, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._reader = reader
        self._errors = errors

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        with self._errors():
            return bytes(self._reader.readall() if size is None or size < 0 else self._reader.read(size))

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]  # a Buffer is a name of Python 3.12
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        with self._errors():
            return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()
