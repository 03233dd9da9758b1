"""
The version of what is kept on the lake: the one place that says it. Every object bears it, JSON in a field and Parquet
in the metadata of the file; what bears none was written before there was one, and is of version 1.

Whoever changes the form of an object, so that earlier code would misread it, raises VERSION and lets the reader of that
object know the earlier forms too: tests/golden has an object of each.
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
    """An object that is kept as JSON. Raises LakeError, when it is read, if a newer version of the project wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=VERSION, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _not_newer(cls, data: Any, info: ValidationInfo) -> Any:
        if isinstance(data, dict):
            _check(data.get(_KEY), (info.context or {}).get(_NAME, f"A stored {cls.__name__}"))
        return data

    @field_serializer("version")
    def _present(self, _: int) -> int:
        """What was read in an earlier form is written in the present one."""
        return VERSION


def parse(kind: type[_Kind], data: bytes, name: str) -> _Kind:
    """
    The object. Raises LakeError if a newer version of the project wrote it, ValidationError if it is damaged.

    :param name: the object, for people
    """
    return kind.model_validate_json(data, context={_NAME: name})


def with_stamp(schema: pa.Schema, facts: Mapping[str, str] | None = None) -> pa.Schema:
    """
    The schema of a Parquet file of ours.

    :param facts: what else stands in the file's metadata
    """
    return schema.with_metadata({_KEY: str(VERSION), **(facts or {})})


def check_stamp(metadata: Mapping[bytes, bytes] | None, name: str) -> None:
    """
    Raises LakeError if a newer version of the project wrote the Parquet file.

    :param metadata: the file's
    :param name: the file, for people
    """
    stamp = (metadata or {}).get(_KEY.encode(), b"1")
    _check(int(stamp) if stamp.isdigit() else None, name)


def _check(version: Any, name: str) -> None:
    if isinstance(version, int) and version > VERSION:
        raise LakeError(
            f"{name} is of version {version}, and this version of the project knows versions up to {VERSION}: a newer"
            " one wrote it. Nothing was changed. Upgrade this one, or let the newer one do this run.",
            retryable=False,
        )
