"""One check of checks.yaml, as its author wrote it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

#: The members of a check that say what it checks; each check has exactly one.
KINDS = (
    "characters",
    "words",
    "sentences",
    "items",
    "pattern",
    "not_pattern",
    "forbidden",
    "must_contain",
    "numbers_from",
    "same_placeholders_as",
    "differs_from",
    "unique",
    "language",
    "format",
    "grounded",
    "sql",
)
#: Kinds that do not check the fields of ``field``.
_WITHOUT_FIELD = ("grounded", "sql")
#: What ``numbers_from: row`` stands for.
ALL_COLUMNS = "*"
#: Among many texts, those that are less similar are not found reliably.
LEAST_SIMILARITY = 0.85
_Text = Annotated[str, Field(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Bounds(_Frozen):
    """The least and the most of something, both inclusive; None: no bound."""

    min: int | None = Field(default=None, ge=0)
    max: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _in_order(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")
        return self


class WordList(_Frozen):
    """
    Words and phrases.

    :param file: a file in the pipeline's folder with one more on each line; ``#`` begins a comment
    :param whole_words: False: they also count within longer words
    """

    words: list[_Text] = []
    file: Annotated[str, Field(pattern=r"^[^/\\\x00]+$")] | None = None
    whole_words: bool = True
    case_sensitive: bool = False

    @model_validator(mode="after")
    def _some(self) -> WordList:
        if not self.words and self.file is None:
            raise ValueError("lists no words: give a list of words, or a file")
        return self


class Difference(_Frozen):
    """
    A column that a text must differ from.

    :param at_most: the largest allowed similarity, from 0 to 1
    """

    column: _Text
    at_most: float = Field(default=0.9, ge=0, lt=1)


class Uniqueness(_Frozen):
    """
    The texts that a text must differ from.

    :param among: ``rows``: those of the other rows with the same values of for_each; ``samples``: those of the other
        samples of its row
    :param at_most: the largest allowed similarity, from LEAST_SIMILARITY to 1
    """

    among: Literal["rows", "samples"]
    at_most: float = Field(default=0.9, ge=LEAST_SIMILARITY, lt=1)


def _as_uniqueness(value: object) -> object:
    return {"among": value} if isinstance(value, str) else value


def _as_difference(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_columns(value: object) -> object:
    if value == "row":
        return [ALL_COLUMNS]
    if isinstance(value, str):
        raise ValueError("must be a list of columns, or `row`")
    return value


def _as_words(value: object) -> object:
    return {"words": value} if isinstance(value, list) else value


class Check(_Frozen):
    """
    One check. It has exactly one of KINDS.

    :param field: the checked columns of the output; a dot leads into objects, and each item of a list is checked
    :param message: what is wrong with an answer that fails, for Claude and for the rejects; added to the fact
    :param warn: True: the row is published, with the check's name in ``_warnings``
    :param must_contain: templates over the row's columns
    :param numbers_from: the columns in which each number of the answer must occur; ``row``: those of prompts and
        key, and the names of for_each in the prompts
    :param same_placeholders_as: the column whose placeholders and tags the answer must have
    :param differs_from: the column that the answer must not nearly repeat
    :param unique: the other answers that the answer must not nearly repeat
    :param language: a language tag, or a template that makes one
    :param grounded: the columns of the output of which each value must have a quote that stands in the documents
    :param sql: an expression over ``output`` and ``source``
    :param columns: the row's columns that ``sql`` uses, each with its DuckDB type
    """

    name: str = Field(pattern=r"^[A-Za-z][\w-]*$")
    field: Annotated[list[_Text], BeforeValidator(_as_list)] = []
    message: _Text | None = None
    warn: bool = False
    characters: Bounds | None = None
    words: Bounds | None = None
    sentences: Bounds | None = None
    items: Bounds | None = None
    pattern: _Text | None = None
    not_pattern: _Text | None = None
    forbidden: Annotated[WordList, BeforeValidator(_as_words)] | None = None
    must_contain: Annotated[list[_Text], Field(min_length=1)] | None = None
    numbers_from: Annotated[list[_Text], Field(min_length=1), BeforeValidator(_as_columns)] | None = None
    same_placeholders_as: _Text | None = None
    differs_from: Annotated[Difference, BeforeValidator(_as_difference)] | None = None
    unique: Annotated[Uniqueness, BeforeValidator(_as_uniqueness)] | None = None
    language: _Text | None = None
    format: Literal["url", "email", "json", "html", "markdown"] | None = None
    grounded: Annotated[list[_Text], Field(min_length=1)] | None = None
    sql: _Text | None = None
    columns: dict[str, _Text] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> Check:
        found = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(found) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}; it has {' and '.join(found) or 'none'}")
        if bool(self.field) == (self.kind in _WITHOUT_FIELD):
            names = "names its fields itself" if self.grounded else "checks the whole output"
            raise ValueError(f"{self.kind} {names}: remove field" if self.field else "needs a field")
        if self.columns and self.sql is None:
            raise ValueError("columns can only be set together with sql")
        return self

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)
