"""The settings of ``source`` in pipeline.yaml: where the rows come from."""

from __future__ import annotations

from typing import Annotated

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from include.enrichment.answers.schema.carried import CARRIED_TYPE_NAMES, carried_type
from include.enrichment.answers.schema.keys import KEY_TYPE_NAMES, key_type
from include.enrichment.spec.sources.pairs import PairSettings
from include.enrichment.spec.variants.files import is_in_folder
from include.enrichment.storage.address import daily_files, daily_objects

#: The settings that replace extract.sql.
_INSTEAD_OF_QUERY = ("files", "objects", "table", "cases")
#: The endings of files with cases.
CASE_FILES = (".jsonl", ".csv")


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


def _file_of_folder(path: str) -> str:
    """Return the path of a file of the pipeline's folder."""
    if not path.endswith(CASE_FILES) or not is_in_folder(path):
        raise ValueError("must be a .jsonl or .csv file within the pipeline's folder, like evaluation/cases.jsonl")
    return path


class SourceSettings(BaseModel):
    """
    The source of the rows: a query, unless ``files``, ``objects``, ``table`` or ``cases`` is set.

    :param files: the S3 prefix of the partition's Parquet files, with a placeholder for the day; replaces the query
    :param objects: the S3 prefix of the partition's documents and images, or the absolute path of their folder, with a
        placeholder for the day; each of them is a row. Replaces the query
    :param table: the pipeline whose published partition is read, from the same lake; replaces the query
    :param cases: a .jsonl or .csv file of the folder, whose rows every partition has; replaces the query
    :param rename: the names of columns of ``files`` or ``table`` in this pipeline. All other settings, prompts and
        checks use the new names
    :param where: a boolean SQL expression over the columns of ``files`` or ``table``, or over the listing of
        ``objects``; None: all rows
    :param pairs: a row is a pair of rows of ``table``; None: it is one of them
    :param connection: an Airflow connection whose hook is a DbApiHook; with ``files`` and ``objects`` an AWS
        connection; with ``table``, with ``cases`` and for a folder there is none
    :param key: the business key, unique within a partition: each column with its type; None: the type of the rows
    :param carry: the columns that are published beside the output, with their types as above. They are not sent
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # The order is that of validation: each rule needs the fields above its own.
    files: Annotated[str, AfterValidator(daily_files)] | None = None
    objects: Annotated[str, AfterValidator(daily_objects)] | None = None
    table: Annotated[str, Field(min_length=1)] | None = None
    cases: Annotated[str, AfterValidator(_file_of_folder)] | None = None
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
    def column_types(self) -> dict[str, pa.DataType]:
        """The types that are named here, of key columns and carried ones."""
        named = {name: key_type(kind) for name, kind in self.key.items() if kind} | self.carried_types
        return {name: kind for name, kind in named.items() if kind is not None}

    @property
    def instead_of_query(self) -> str:
        """The setting that replaces the query: ``files``, ``objects``, ``table`` or ``cases``; empty: a query."""
        return next((kind for kind in _INSTEAD_OF_QUERY if getattr(self, kind)), "")

    @property
    def origin(self) -> str:
        """What the rows come from, for errors."""
        table = f"the table of {self.table}" if self.table else ""
        return self.files or self.objects or self.cases or table or "extract.sql"

    @property
    def objects_connection(self) -> str:
        """The connection of ``files`` or ``objects``; for a folder, the part of its path that all days share."""
        return self.connection or (self.objects or "").partition("{")[0].rpartition("/")[0] or "/"

    @property
    def in_folder(self) -> bool:
        """Whether ``objects`` are in a folder of this machine."""
        return bool(self.objects and self.objects.startswith("/"))

    @field_validator("objects", "table", "cases")
    @classmethod
    def _one_source(cls, place: str | None, info: ValidationInfo) -> str | None:
        other = next((kind for kind in _INSTEAD_OF_QUERY if info.data.get(kind)), None)
        if place and other:
            raise ValueError(f"a source is either source.{other} or source.{info.field_name}: remove one of the two")
        return place

    @field_validator("rename")
    @classmethod
    def _without_alias(cls, rename: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if rename and (info.data.get("objects") or info.data.get("cases")):
            raise ValueError("is for source.files and source.table only: remove it")
        if rename and not _replaces_query(info):
            old, new = next(iter(rename.items()))
            raise ValueError(f"is for source.files and source.table only: write `{old} as {new}` in extract.sql")
        return rename

    @field_validator("where")
    @classmethod
    def _not_of_a_query(cls, where: str | None, info: ValidationInfo) -> str | None:
        only = "filters source.files, source.objects and source.table only"
        if where and info.data.get("cases"):
            raise ValueError(f"{only}: delete the rows from the file of source.cases")
        if where and not _replaces_query(info):
            raise ValueError(f"{only}: put the condition into extract.sql")
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
        table, objects, cases = info.data.get("table"), info.data.get("objects") or "", info.data.get("cases")
        if connection and cases:
            raise ValueError("is not used, because source.cases is a file of the pipeline's folder: remove it")
        if connection and table:
            raise ValueError("is not used, because source.table is read from the lake: remove it")
        if connection and objects.startswith("/"):
            raise ValueError("is not used, because source.objects is a folder of this machine: remove it")
        # A source with a mistake of its own is not in the data. Whether it needs a connection is not known.
        known = {"objects", "cases"} <= info.data.keys()
        if not connection and not table and not cases and not objects.startswith("/") and known:
            raise PydanticCustomError("missing", "Field required")
        return connection


def _replaces_query(info: ValidationInfo) -> bool:
    """Return whether a setting replaces the query, or may: one with a mistake of its own is not in the data."""
    return any(info.data.get(kind, "a mistake") for kind in _INSTEAD_OF_QUERY)
