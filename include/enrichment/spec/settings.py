"""What pipeline.yaml says, each setting with its bounds."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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

#: A smaller ``batch_bytes`` is taken for a slip, such as a number of megabytes.
MIN_BATCH_BYTES = 1_000
#: More answers than this for each row are taken for a mistake: each of them is paid for.
MAX_SAMPLES = 100

KeyType = Literal["string", "int64", "boolean", "date", "timestamp"]
assert set(get_args(KeyType)) == set(KEY_TYPES)


def _named(key: object) -> object:
    """``[package]`` is short for ``{package: null}``: the type is taken from the rows."""
    if not isinstance(key, dict | list) or not key or not all(isinstance(name, str) for name in key):
        raise ValueError("must be a list of column names, or a mapping of column names to types; at least one")
    if twice := sorted({name for name in key if list(key).count(name) > 1}):
        raise ValueError(f"names {', '.join(map(repr, twice))} twice")
    return dict.fromkeys(key) if isinstance(key, list) else key


def _for_each_day(files: str) -> str:
    """A prefix on S3 that is another one for each day: two days that shared one would both pay for its files."""
    if not re.fullmatch(r"s3://[^/{}]+(/(?!\.{1,2}/)[^/]+)+/", files):
        raise ValueError(
            "must be a prefix such as s3://bucket/products/dt={partition}/, with the slash at its end and a name before"
            " each slash"
        )
    s3_address(files)
    days = [Partition(start=date(*day)).fill(files) for day in ((2001, 2, 3), (2001, 2, 4), (2001, 3, 3), (2002, 2, 3))]
    if len(set(days)) < len(days) or re.search("[{}]", days[0]):
        raise ValueError(
            "must tell the days apart by {partition}, or by {year}, {month} and {day}, and by nothing else"
        )
    return files


def _off(value: object) -> object:
    """YAML 1.1 reads a bare ``off`` as false."""
    return "off" if value is False else value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Frozen):
    """
    Where the rows come from.

    :param connection: an Airflow connection whose hook is a DbApiHook; with ``files`` an AWS connection
    :param files: where Parquet files of the partition are on S3, with a placeholder for it; they are read in the place
        of a query
    :param key: the business key, unique within a partition; each column with its type, or None where the rows tell it
    """

    connection: str = Field(min_length=1)
    files: Annotated[str, AfterValidator(_for_each_day)] | None = None
    key: Annotated[dict[str, KeyType | None], BeforeValidator(_named)]


class RequestSettings(_Frozen):
    """
    What is the same in every request.

    :param other_models: those that a run may ask in place of ``model``
    :param thinking: None leaves it to the model's default. Thinking is billed as output and counts against
        ``max_tokens``
    :param cache: lifetime of the system prompt in the prompt cache; auto: what pays, see Pipeline.caching
    """

    model: str = Field(min_length=1)
    other_models: list[Annotated[str, Field(min_length=1)]] = []
    max_tokens: int = Field(ge=1)
    thinking: Literal["adaptive", "disabled"] | None = None
    cache: Annotated[Literal["off", "5m", "1h", "auto"], BeforeValidator(_off)] = "off"


class Limits(_Frozen):
    """
    Where a run stops or splits.

    :param min_rows: extract fails, and is retried, when the source has fewer rows; 0: a day may be empty
    :param max_reject_ratio: publish fails when more than this share of the rows was rejected
    :param batch_requests: the most requests in one batch
    :param batch_bytes: the most bytes in the body of one batch, for a proxy that takes less than the API; a row whose
        request alone has more becomes a reject
    :param canary_rows: so many rows go ahead in a batch of their own, which shows whether the request works and fills
        the prompt cache; 0: none do
    :param retry_passes: how many times what is left unanswered is tried again; 0: never
    :param budget_usd: a run whose high estimate exceeds it stops before it spends; None: none does
    :param budget_ceiling_usd: the most that a run may ask for in place of ``budget_usd``; None: it may ask for less
        only
    :param monthly_budget_usd: the same for all runs of the pipeline in a calendar month of UTC together
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

    :param reuse: False asks for fresh answers in every run, and pays for them
    :param samples: so many independent answers for each row; each is a request of its own, paid for by itself
    """

    source: Source
    request: RequestSettings
    limits: Limits = Limits()
    reuse: bool = True
    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
