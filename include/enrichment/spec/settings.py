"""The settings of pipeline.yaml, each with its bounds."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, Literal

import pyarrow as pa
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

from include.enrichment.answers.schema.carried import CARRIED_TYPE_NAMES, carried_type
from include.enrichment.answers.schema.keys import KEY_TYPE_NAMES, key_type, kind_of_value
from include.enrichment.answers.table import PART, SAMPLE, VARIANT
from include.enrichment.documents.object_columns import OBJECT_URI
from include.enrichment.documents.options import AttachmentOptions, AttachmentSettings
from include.enrichment.errors import nearest
from include.enrichment.requests.chunk import MAX_BATCH_BYTES, MAX_BATCH_REQUESTS
from include.enrichment.requests.fan_out import MAX_COMBINATIONS, check_values
from include.enrichment.runs.options import Budget
from include.enrichment.runs.passes import (
    DEFAULT_CANARY_ROWS,
    DEFAULT_RETRY_PASSES,
    MAX_CANARY_ROWS,
    MAX_RETRY_PASSES,
)
from include.enrichment.spec.variants.pairs import PairSettings
from include.enrichment.spec.variants.settings import MAX_VARIANTS, VariantSettings
from include.enrichment.storage.address import daily_files, daily_objects

#: A smaller ``batch_bytes`` is rejected: it is probably meant in megabytes.
MIN_BATCH_BYTES = 1_000
#: More answers per row are rejected: each of them is billed.
MAX_SAMPLES = 100
#: The settings that replace extract.sql.
_INSTEAD_OF_QUERY = ("files", "objects", "table")


def _key_type(name: str) -> str:
    if key_type(name) is None:
        raise ValueError(f"must be one of {', '.join(KEY_TYPE_NAMES)}")
    return name


def _columns(columns: object) -> object:
    """Return ``[package]``, which takes the type from the rows, as ``{package: null}``."""
    if not isinstance(columns, dict | list) or not all(isinstance(name, str) for name in columns):
        raise ValueError("must be a list of column names, or a mapping of column names to types")
    if twice := sorted({name for name in columns if list(columns).count(name) > 1}):
        raise ValueError(f"names {', '.join(map(repr, twice))} twice")
    return dict.fromkeys(columns) if isinstance(columns, list) else columns


def _key_columns(key: object) -> object:
    if key in ([], {}):
        raise ValueError("must be a list of column names, or a mapping of column names to types; at least one")
    return _columns(key)


def _carried_type(name: str) -> str:
    if carried_type(name) is None:
        raise ValueError(f"must be one of {', '.join(CARRIED_TYPE_NAMES)}")
    return name


def _off(value: object) -> object:
    """Return ``off``, which YAML 1.1 reads as false, as written."""
    return "off" if value is False else value


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SourceSettings(_Frozen):
    """
    The source of the rows: a query, unless ``files``, ``objects`` or ``table`` is set.

    :param files: the S3 prefix of the partition's Parquet files, with a placeholder for the day; replaces the query
    :param objects: the S3 prefix of the partition's documents and images, or the absolute path of their folder, with a
        placeholder for the day; each of them is a row. Replaces the query
    :param table: the pipeline whose published partition is read, from the same lake; replaces the query
    :param rename: the names of columns of ``files`` or ``table`` in this pipeline. All other settings, prompts and
        checks use the new names
    :param where: a boolean SQL expression over the columns of ``files`` or ``table``, or over the listing of
        ``objects``; None: all rows
    :param pairs: a row is a pair of rows of ``table``; None: it is one of them
    :param connection: an Airflow connection whose hook is a DbApiHook; with ``files`` and ``objects`` an AWS
        connection; with ``table`` and for a folder there is none
    :param key: the business key, unique within a partition: each column with its type; None: the type of the rows
    :param carry: the columns that are published beside the output, with their types as above. They are not sent
    """

    # The order is that of validation: each rule needs the fields above its own.
    files: Annotated[str, AfterValidator(daily_files)] | None = None
    objects: Annotated[str, AfterValidator(daily_objects)] | None = None
    table: Annotated[str, Field(min_length=1)] | None = None
    rename: dict[str, str] = {}
    where: Annotated[str, Field(min_length=1)] | None = None
    pairs: PairSettings | None = None
    connection: Annotated[str, Field(min_length=1)] | None = Field(default=None, validate_default=True)
    key: Annotated[dict[str, Annotated[str, AfterValidator(_key_type)] | None], BeforeValidator(_key_columns)]
    carry: Annotated[dict[str, Annotated[str, AfterValidator(_carried_type)] | None], BeforeValidator(_columns)] = {}

    @property
    def carried_types(self) -> dict[str, pa.DataType | None]:
        """The carried columns with the types that are named here."""
        return {name: carried_type(kind) if kind else None for name, kind in self.carry.items()}

    @property
    def instead_of_query(self) -> str:
        """The setting that replaces the query: ``files``, ``objects`` or ``table``; empty: there is a query."""
        return next((kind for kind in _INSTEAD_OF_QUERY if getattr(self, kind)), "")

    @property
    def objects_connection(self) -> str:
        """The connection of ``files`` or ``objects``; for a folder, the part of its path that all days share."""
        return self.connection or (self.objects or "").partition("{")[0].rpartition("/")[0] or "/"

    @property
    def in_folder(self) -> bool:
        """Whether ``objects`` are in a folder of this machine."""
        return bool(self.objects and self.objects.startswith("/"))

    @field_validator("objects", "table")
    @classmethod
    def _one_source(cls, place: str | None, info: ValidationInfo) -> str | None:
        other = next((kind for kind in _INSTEAD_OF_QUERY if info.data.get(kind)), None)
        if place and other:
            raise ValueError(f"a source is either source.{other} or source.{info.field_name}: remove one of the two")
        return place

    @field_validator("rename")
    @classmethod
    def _without_alias(cls, rename: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if rename and info.data.get("objects"):
            raise ValueError("is for source.files and source.table only: remove it")
        if rename and not _replaces_query(info):
            old, new = next(iter(rename.items()))
            raise ValueError(f"is for source.files and source.table only: write `{old} as {new}` in extract.sql")
        return rename

    @field_validator("where")
    @classmethod
    def _not_of_a_query(cls, where: str | None, info: ValidationInfo) -> str | None:
        if where and not _replaces_query(info):
            raise ValueError(
                "filters source.files, source.objects and source.table only: put the condition into extract.sql"
            )
        return where

    @field_validator("pairs")
    @classmethod
    def _of_a_table(cls, pairs: PairSettings | None, info: ValidationInfo) -> PairSettings | None:
        if pairs and not info.data.get("table", "a mistake"):
            raise ValueError("is for source.table only: remove it")
        return pairs

    @field_validator("connection")
    @classmethod
    def _connected(cls, connection: str | None, info: ValidationInfo) -> str | None:
        table, objects = info.data.get("table"), info.data.get("objects") or ""
        if connection and table:
            raise ValueError("is not used, because source.table is read from the lake: remove it")
        if connection and objects.startswith("/"):
            raise ValueError("is not used, because source.objects is a folder of this machine: remove it")
        # A source with a mistake of its own is not in the data. Whether it needs a connection is not known.
        if not connection and not table and not objects.startswith("/") and "objects" in info.data:
            raise PydanticCustomError("missing", "Field required")
        return connection


def _replaces_query(info: ValidationInfo) -> bool:
    """Return whether a setting replaces the query, or may: one with a mistake of its own is not in the data."""
    return any(info.data.get(kind, "a mistake") for kind in _INSTEAD_OF_QUERY)


class RequestSettings(_Frozen):
    """
    The settings that all requests share.

    :param other_models: the models that a run may use instead of ``model``
    :param thinking: None: the model's default. Thinking is billed as output and counts against ``max_tokens``
    :param effort: how much the model spends on an answer; None: the model's default
    :param cache: lifetime of the system prompt in the prompt cache; auto: whichever costs least, see Pipeline.caching
    """

    model: str = Field(min_length=1)
    other_models: list[Annotated[str, Field(min_length=1)]] = []
    max_tokens: int = Field(ge=1)
    thinking: Literal["adaptive", "disabled"] | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
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


class FromColumn(_Frozen):
    """The values of for_each in a column of the row, which holds a list of them."""

    column: str


def _for_each_values(values: object) -> object:
    if isinstance(values, dict) and values.keys() == {"column"} and values["column"] and type(values["column"]) is str:
        return values
    if not isinstance(values, list):
        raise ValueError("must be a list of values, or {column: <the column with the list>}")
    check_values(values)
    return values


#: The values are checked by _for_each_values(); the model only tells a list from a column.
_ForEachValues = Annotated[list[Any] | FromColumn, BeforeValidator(_for_each_values)]


def _bounded(for_each: dict[str, list[Any] | FromColumn]) -> dict[str, list[Any] | FromColumn]:
    count = prod(len(values) for values in for_each.values() if isinstance(values, list))
    if count > MAX_COMBINATIONS:
        raise ValueError(
            f"makes {count:,} requests for each row; at most {MAX_COMBINATIONS:,} are allowed: shorten the lists"
        )
    return for_each


class Keep(_Frozen):
    """
    Only the best of several candidates is published in one row; the others become samples.

    :param best: an SQL expression over the columns of the table; the highest value wins
    :param among: the key column that tells the candidates for one row apart
    """

    best: str = Field(min_length=1)
    among: Annotated[str, Field(min_length=1)] = SAMPLE

    def among_problem(self, key: list[str]) -> str:
        """Return why the column ``among`` tells no candidates for one row apart; empty if it does."""
        if self.among not in key:
            known = f"{nearest(self.among, key) or '.'} The key is {', '.join(key)}"
            if self.among == SAMPLE:
                return f"there is one answer for each row: set samples to 2 or more, or name a key column{known}"
            return f"{self.among!r} is not a key column{known}"
        if len(key) == 1:
            return f"{self.among!r} is the only key column, so the table would have one row: add another"
        return ""


class OutputSettings(_Frozen):
    """
    What is asked for beside the values of the output.

    :param evidence: True: for each value, the page and the words of the documents that it stands on
    """

    evidence: bool = False


class Settings(_Frozen):
    """
    pipeline.yaml.

    :param attachments: None: only text is sent; with ``source.objects``, the object itself
    :param for_each: every row is requested once for each combination of these values, by name. The names are variables
        of the prompts, and key columns of the table
    :param reuse: False: every run requests, and pays for, fresh answers
    :param samples: the number of independent answers per row and combination; each is a request of its own, billed
        separately
    :param variants: what is compared: every row is requested once for each of them, by name. Empty: there is one way
    :param keep: None: every row is published
    """

    source: SourceSettings
    attachments: AttachmentSettings | None = None
    request: RequestSettings
    output: OutputSettings = OutputSettings()
    limits: Limits = Limits()
    for_each: Annotated[dict[str, _ForEachValues], AfterValidator(_bounded)] = {}
    reuse: bool = True
    samples: int = Field(default=1, ge=1, le=MAX_SAMPLES)
    variants: dict[str, VariantSettings] = Field(default={}, max_length=MAX_VARIANTS)
    keep: Keep | None = None

    @property
    def attached_columns(self) -> dict[str, AttachmentOptions]:
        """The columns whose objects are sent with each row, each with its options."""
        if self.attachments:
            return self.attachments.columns
        return {OBJECT_URI: AttachmentOptions()} if self.source.objects else {}

    @property
    def attachments_connection(self) -> str | None:
        """
        The AWS connection that reads the objects of attachments, or the absolute path of a folder that has all of
        them; None: there are no attachments.
        """
        if not self.attached_columns:
            return None
        return (self.attachments and self.attachments.connection) or self.source.objects_connection

    @property
    def split_pages(self) -> int | None:
        """The most pages of a part of a document; None: documents are sent whole."""
        return self.attachments.split_pages if self.attachments else None

    @property
    def key_types(self) -> dict[str, pa.DataType | None]:
        """
        The key columns of the table with the types that are named here: those of the source, the part if documents are
        split, the names of for_each, the variant if there are any, and the sample if there are several.
        """
        return {
            **{name: key_type(kind) if kind else None for name, kind in self.source.key.items()},
            **({PART: pa.int64()} if self.split_pages else {}),
            **{
                name: key_type(str(kind_of_value(values[0]))) if isinstance(values, list) else None
                for name, values in self.for_each.items()
            },
            **({VARIANT: pa.string()} if self.variants else {}),
            **({SAMPLE: pa.int64()} if self.samples > 1 else {}),
        }
