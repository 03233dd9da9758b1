"""The settings of pipeline.yaml, each with its bounds."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from include.enrichment.answers.schema.keys import KEY_TYPES
from include.enrichment.requests.chunk import MAX_BATCH_BYTES, MAX_BATCH_REQUESTS
from include.enrichment.runs.options import Budget
from include.enrichment.runs.partition import Partition
from include.enrichment.runs.passes import (
    DEFAULT_CANARY_ROWS,
    DEFAULT_RETRY_PASSES,
    MAX_CANARY_ROWS,
    MAX_RETRY_PASSES,
)
from include.enrichment.storage.address import s3_address

#: A smaller ``batch_bytes`` is rejected: it is probably meant in megabytes.
MIN_BATCH_BYTES = 1_000
#: More answers per row are rejected: each of them is billed.
MAX_SAMPLES = 100

KeyType = Literal["string", "int64", "boolean", "date", "timestamp"]
assert set(get_args(KeyType)) == set(KEY_TYPES)


def _key_columns(key: object) -> object:
    """Return ``[package]``, which takes the type from the rows, as ``{package: null}``."""
    if not isinstance(key, dict | list) or not key or not all(isinstance(name, str) for name in key):
        raise ValueError("must be a list of column names, or a mapping of column names to types; at least one")
    if twice := sorted({name for name in key if list(key).count(name) > 1}):
        raise ValueError(f"names {', '.join(map(repr, twice))} twice")
    return dict.fromkeys(key) if isinstance(key, list) else key


def _daily_prefix(files: str) -> str:
    """Check that the S3 prefix differs from day to day. Otherwise two days would read, and pay for, the same files."""
    if not re.fullmatch(r"s3://[^/{}]+(/(?!\.{1,2}/)[^/]+)+/", files):
        raise ValueError(
            "must be a prefix like s3://bucket/products/dt={partition}/, with a trailing slash and no empty folder name"
        )
    s3_address(files)
    days = [Partition(start=date(*day)).fill(files) for day in ((2001, 2, 3), (2001, 2, 4), (2001, 3, 3), (2002, 2, 3))]
    if len(set(days)) < len(days) or re.search("[{}]", days[0]):
        raise ValueError("must contain {partition}, or {year}, {month} and {day}, and no other placeholder")
    return files


def _off(value: object) -> object:
    """Return ``off``, which YAML 1.1 reads as false, as written."""
    return "off" if value is False else value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceSettings(_Frozen):
    """
    The source of the rows: a query, unless ``files`` or ``table`` is set.

    :param files: the S3 prefix of the partition's Parquet files, with a placeholder for the day; replaces the query
    :param table: the pipeline whose published partition is read, from the same lake; replaces the query
    :param where: a boolean SQL expression over the columns of ``files`` or ``table``; None: all rows
    :param connection: an Airflow connection whose hook is a DbApiHook; with ``files`` an AWS connection; with ``table``
        there is none
    :param key: the business key, unique within a partition: each column with its type; None: the type of the rows
    """

    # The order is that of validation: each rule needs the fields above its own.
    files: Annotated[str, AfterValidator(_daily_prefix)] | None = None
    table: Annotated[str, Field(min_length=1)] | None = None
    where: Annotated[str, Field(min_length=1)] | None = None
    connection: Annotated[str, Field(min_length=1)] | None = Field(default=None, validate_default=True)
    key: Annotated[dict[str, KeyType | None], BeforeValidator(_key_columns)]

    @field_validator("table")
    @classmethod
    def _one_source(cls, table: str | None, info: ValidationInfo) -> str | None:
        if table and info.data.get("files"):
            raise ValueError("a source is either source.files or source.table: remove one of the two")
        return table

    @field_validator("where")
    @classmethod
    def _not_of_a_query(cls, where: str | None, info: ValidationInfo) -> str | None:
        # A field with a mistake of its own is not in the data.
        if where and not any(info.data.get(kind, "a mistake") for kind in ("files", "table")):
            raise ValueError("filters source.files and source.table only: put the condition into extract.sql")
        return where

    @field_validator("connection")
    @classmethod
    def _connected(cls, connection: str | None, info: ValidationInfo) -> str | None:
        table = info.data.get("table")
        if connection and table:
            raise ValueError("is not used, because source.table is read from the lake: remove it")
        if not connection and not table:
            raise PydanticCustomError("missing", "Field required")
        return connection


class RequestSettings(_Frozen):
    """
    The settings that all requests share.

    :param other_models: the models that a run may use instead of ``model``
    :param thinking: None: the model's default. Thinking is billed as output and counts against ``max_tokens``
    :param cache: lifetime of the system prompt in the prompt cache; auto: whichever costs least, see Pipeline.caching
    """

    model: str = Field(min_length=1)
    other_models: list[Annotated[str, Field(min_length=1)]] = []
    max_tokens: int = Field(ge=1)
    thinking: Literal["adaptive", "disabled"] | None = None
    cache: Annotated[Literal["off", "5m", "1h", "auto"], BeforeValidator(_off)] = "off"


class Limits(_Frozen):
    """
    The limits at which a run stops or splits.

    :param min_rows: extract fails, and is retried, if the source has fewer rows; 0: a day may be empty
    :param max_reject_ratio: publish fails if a larger share of the rows was rejected
    :param batch_requests: the most requests in one batch
    :param batch_bytes: the most bytes in the body of one batch, for a proxy with a lower limit than the API; a row
        whose request alone is larger becomes a reject
    :param canary_rows: the number of rows sent first, in a batch of their own, which tests the request and fills the
        prompt cache; 0: no canary
    :param retry_passes: the number of retry passes; 0: none
    :param budget_usd: a run whose high estimate exceeds it stops before it spends; None: no budget
    :param budget_ceiling_usd: the largest budget that a run may set instead of ``budget_usd``; None: ``budget_usd``
    :param monthly_budget_usd: the budget of all the pipeline's runs in a calendar month (UTC); None: no budget
    """

    min_rows: int = Field(default=1, ge=0)
    max_reject_ratio: float = Field(default=0.02, ge=0, le=1)
    batch_requests: int = Field(default=MAX_BATCH_REQUESTS, ge=1, le=MAX_BATCH_REQUESTS)
    batch_bytes: int = Field(default=MAX_BATCH_BYTES, ge=MIN_BATCH_BYTES, le=MAX_BATCH_BYTES)
    canary_rows: int = Field(default=DEFAULT_CANARY_ROWS, ge=0, le=MAX_CANARY_ROWS)
    retry_passes: int = Field(default=DEFAULT_RETRY_PASSES, ge=0, le=MAX_RETRY_PASSES)
    budget_usd: Budget | None = None
    budget_ceiling_usd: Budget | None = None
    monthly_budget_usd: Budget | None = None

    @model_validator(mode="after")
    def _ceiling_above(self) -> Limits:
        budget, ceiling = self.budget_usd, self.budget_ceiling_usd
        if budget is not None and ceiling is not None and ceiling < budget:
            raise ValueError(f"budget_ceiling_usd ({ceiling}) is below budget_usd ({budget})")
        return self


class Settings(_Frozen):
    """
    pipeline.yaml.

    :param reuse: False: every run requests, and pays for, fresh answers
    :param samples: the number of independent answers per row; each is a request of its own, billed separately
    """

    source: SourceSettings
    request: RequestSettings
    limits: Limits = Limits()
    reuse: bool = True
    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
