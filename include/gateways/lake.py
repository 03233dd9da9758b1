"""The lake: objects by key, on S3 or in a local folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore import exceptions
from obstore.store import LocalStore, S3Store

from include.enrichment.errors import LakeError, SetupError

if TYPE_CHECKING:
    from obstore.store import RetryConfig, S3Credential

_PART_BYTES = 8 * 1024 * 1024
#: An unreachable store is told within the minute; the default of obstore is three.
_RETRY: RetryConfig = {"max_retries": 6, "retry_timeout": timedelta(seconds=60)}


#: What S3 says of credentials that it does not take.
_REFUSALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AccessDenied")


class ObjectMissing(LakeError):
    """There surely is no object of that key."""

    retryable = False


class Conflict(LakeError):
    """A conditional write lost: the object is there already, or has changed since it was read."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An object's bytes, and the tag that a later replace() must still find."""

    data: bytes
    etag: str


class Lake:
    """
    The lake at ``uri``. Every write is atomic: a reader sees the object as it was or as it is, never a part of it.

    Errors of the store become LakeError, or SetupError where the bucket, the key or a permission is missing.
    """

    def __init__(self, store: S3Store | LocalStore, *, uri: str) -> None:
        self._store = store
        self.uri = uri.rstrip("/")

    @classmethod
    def on_s3(
        cls, uri: str, *, credentials: Callable[[], S3Credential], region: str | None, endpoint: str | None
    ) -> Lake:
        """
        The lake in ``s3://bucket/prefix``.

        :param credentials: called again whenever what it gave last has expired
        :param endpoint: of an S3 that is not AWS's
        """
        address = urlsplit(uri)
        store = S3Store(
            address.netloc,
            prefix=address.path.strip("/") or None,
            region=region or "us-east-1",
            credential_provider=credentials,
            client_options={"allow_http": True} if endpoint and endpoint.startswith("http://") else {},
            retry_config=_RETRY,
            config={"endpoint": endpoint} if endpoint else {},
        )
        return cls(store, uri=uri)

    @classmethod
    def in_folder(cls, folder: Path) -> Lake:
        """The lake in a local folder, for development and tests. It has no compare-and-swap between processes."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(LocalStore(folder), uri=str(folder))

    def locate(self, key: str) -> str:
        """Where the object of that key lies, for people."""
        return f"{self.uri}/{key}"

    def check(self) -> None:
        """Raises SetupError if the lake is not there or may not be read."""
        with self._errors("list"):
            next(iter(obstore.list(self._store, "manifests/", chunk_size=1)), None)

    def exists(self, key: str) -> bool:
        """Whether there is an object of that key."""
        try:
            with self._errors(key):
                obstore.head(self._store, key)
        except ObjectMissing:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        """The keys below a prefix that ends in a slash, sorted."""
        with self._errors(prefix):
            return sorted(str(found["path"]) for page in obstore.list(self._store, prefix) for found in page)

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
        """Copy the object to a local file. Raises LakeError if there is none."""
        with self._errors(key), path.open("wb") as file:
            for part in obstore.get(self._store, key).stream(min_chunk_size=_PART_BYTES):
                file.write(part)

    def write(self, key: str, data: bytes) -> None:
        """Write the object, whatever was there."""
        with self._errors(key, writing=True):
            obstore.put(self._store, key, data)

    def write_file(self, key: str, path: Path) -> None:
        """Write a local file as the object, whatever was there; a large one in parts that become visible together."""
        with self._errors(key, writing=True):
            obstore.put(self._store, key, path, chunk_size=_PART_BYTES, max_concurrency=4)

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none, and return its tag. Of several who try, one wins; Conflict for others."""
        with self._errors(key, writing=True):
            return self._tag(key, obstore.put(self._store, key, data, mode="create")["e_tag"])

    def replace(self, key: str, data: bytes, *, etag: str) -> str:
        """
        Write the object if it is still the one that was read with ``etag``, and return its new tag.

        Raises Conflict if it has changed.
        """
        with self._errors(key, writing=True):
            if isinstance(self._store, LocalStore):
                if self._get(key).etag != etag:
                    raise exceptions.PreconditionError
                return self._tag(key, obstore.put(self._store, key, data)["e_tag"])
            return self._tag(key, obstore.put(self._store, key, data, mode={"e_tag": etag})["e_tag"])

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
    def _errors(self, key: str, *, writing: bool = False) -> Iterator[None]:
        where = self.locate(key)
        try:
            yield
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise Conflict(f"{where} has been written by somebody else. It was left as it is.") from error
        except (exceptions.BaseError, OSError) as error:
            absent = isinstance(error, exceptions.NotFoundError | FileNotFoundError)
            # What is written needs no key to be there: only the bucket can be what is missing.
            if "NoSuchBucket" in str(error) or (absent and writing):
                raise SetupError(
                    f"The lake's bucket does not exist: {self.uri}. Nothing was written."
                    " Create it, or set ENRICHMENT_LAKE to the right one."
                ) from error
            if absent:
                raise ObjectMissing(f"{where} does not exist.") from error
            refused = isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError)
            fact = str(error).strip().splitlines()[0][:500]
            if refused or any(code in str(error) for code in _REFUSALS):
                raise SetupError(f"The lake refuses the AWS connection's credentials at {where}: {fact}") from error
            raise LakeError(f"The lake failed at {where}: {fact}") from error
