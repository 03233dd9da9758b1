"""
The version of the objects on the lake. Every object carries it: JSON in a field, Parquet in the file's metadata. An
object without one is older than versions and counts as version 1.

A change that makes earlier code misread an object must raise VERSION, and the reader of that object must still read the
earlier forms: tests/golden has an object of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_serializer, model_validator

from include.enrichment.errors import LakeError

VERSION = 1
_KEY = "version"
_NAME = "name"
_Kind = TypeVar("_Kind", bound="Versioned")


class Versioned(BaseModel):
    """An object stored as JSON. Reading one that a newer version of the project wrote raises LakeError."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=VERSION, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _not_newer(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, dict):
            _check(data.get(_KEY), (info.context or {}).get(_NAME, f"A stored {cls.__name__}"))
        return data

    @field_serializer("version")
    def _current_version(self, _: int) -> int:
        """Write an object in the current form, even if it was read in an earlier one."""
        return VERSION


def parse(kind: type[_Kind], data: bytes, name: str) -> _Kind:
    """
    Read an object. Raises LakeError if a newer version of the project wrote it, ValidationError if it is damaged.

    :param name: the object's name in messages
    """
    return kind.model_validate_json(data, context={_NAME: name})


def with_stamp(schema: pa.Schema, facts: Mapping[str, str] | None = None) -> pa.Schema:
    """
    Return the schema with the version in its metadata.

    :param facts: further metadata of the file
    """
    return schema.with_metadata({_KEY: str(VERSION), **(facts or {})})


def check_stamp(metadata: Mapping[bytes, bytes] | None, name: str) -> None:
    """
    Raise LakeError if a newer version of the project wrote the Parquet file.

    :param name: the file's name in messages
    """
    stamp = (metadata or {}).get(_KEY.encode(), b"1")
    _check(int(stamp) if stamp.isdigit() else None, name)


def _check(version: Any, name: str) -> None:
    if isinstance(version, int) and version > VERSION:
        raise LakeError(
            f"{name} has version {version}, and this release reads versions up to {VERSION}: a newer release wrote it."
            " Nothing was changed. Upgrade this release, or let the newer one do this run.",
            retryable=False,
        )
