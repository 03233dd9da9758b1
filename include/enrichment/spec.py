"""
A pipeline's folder becomes one checked value. Beside glance.py and prices.py, this is the only file of this room that
reads files, and it reads that folder alone.

    pipeline.yaml  extract.sql  system.md  user.md  output.schema.json

There is no extract.sql where ``source.files`` says what is read.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from include.enrichment import schema_subset
from include.enrichment.caching import CachedPrefix, Caching, PrefixSize, decide
from include.enrichment.chunk import MAX_BATCH_REQUESTS, BatchLimits
from include.enrichment.errors import ParamError, SpecError, nearest
from include.enrichment.options import Budget, RunOptions
from include.enrichment.output_schema import OutputSchema
from include.enrichment.partition import Partition
from include.enrichment.passes import (
    DEFAULT_CANARY_ROWS,
    DEFAULT_RETRY_PASSES,
    MAX_CANARY_ROWS,
    MAX_RETRY_PASSES,
)
from include.enrichment.prices import prices
from include.enrichment.request import Renderer, Template, encode_params, request_id
from include.enrichment.table import KEY_TYPES, RESERVED_NAMES
from include.enrichment.version import Versioned

FILES = ("pipeline.yaml", "extract.sql", "system.md", "user.md", "output.schema.json")
_YAML, _SQL, _SYSTEM, _USER, _SCHEMA = FILES
PARTITION_PARAMETERS = ("partition_start", "partition_end")
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
    if kept := [name for name in key if name.lower() in RESERVED_NAMES or name.startswith("_")]:
        raise ValueError(f"{', '.join(map(repr, kept))} is kept for our own columns: give it an alias in {_SQL}")
    return dict.fromkeys(key) if isinstance(key, list) else key


def _for_each_day(files: str) -> str:
    """A prefix on S3 that is another one for each day: two days that shared one would both pay for its files."""
    if not re.fullmatch(r"s3://[^/{}]+(/(?!\.{1,2}/)[^/]+)+/", files):
        raise ValueError(
            "must be a prefix such as s3://bucket/products/dt={partition}/, with the slash at its end and a name before"
            " each slash"
        )
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

    :param max_reject_ratio: publish fails when more than this share of the rows was rejected
    :param batch_requests: the most requests in one batch
    :param canary_rows: so many rows go ahead in a batch of their own, which shows whether the request works and fills
        the prompt cache; 0: none do
    :param retry_passes: how many times what is left unanswered is tried again; 0: never
    :param budget_usd: a run that is expected to cost more stops before it spends; None: none does
    :param budget_ceiling_usd: the most that a run may ask for in place of ``budget_usd``; None: it may ask for less
        only
    :param monthly_budget_usd: the same for all runs of the pipeline in a calendar month of UTC together
    """

    max_reject_ratio: float = Field(default=0.02, ge=0, le=1)
    batch_requests: int = Field(default=MAX_BATCH_REQUESTS, ge=1, le=MAX_BATCH_REQUESTS)
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


class Pipeline(Versioned, _Frozen):
    """
    A whole pipeline, checked: what a run does, as one value. It is stored with the run, so that one run never mixes two
    versions.

    :param sql: empty where ``source.files`` says what is read
    :param options: what is different in this run; ``settings`` have it already, as far as there is a setting for it
    """

    name: str
    settings: Settings
    sql: str
    system: str
    user: str
    schema_text: str
    options: RunOptions = RunOptions()

    def for_run(self, options: RunOptions) -> Pipeline:
        """
        The pipeline as one run has it.

        Raises ParamError if the run asks for a model that the pipeline does not name, or for what cannot be together.
        """
        request = self.settings.request
        models = [request.model, *request.other_models]
        if options.model is not None and options.model not in models:
            raise ParamError(
                f"The run's param `model` is {options.model!r}, which {self._file(_YAML)} does not name"
                f"{nearest(options.model, models)}. There are: {', '.join(models)}. Nothing was read or sent. Choose"
                " one of them, or add it to request.other_models."
            )
        reuse = self.settings.reuse if options.reuse is None else options.reuse
        if options.only_rejects and not reuse:
            raise ParamError(
                "The run's param `only_rejects` needs answers that are reused, and this run reuses none: it would ask"
                " for every row again. Nothing was read or sent. Trigger it again without `only_rejects`, or with"
                ' {"reuse": true}.'
            )
        request = request.model_copy(update={"model": options.model or request.model})
        limits = self.settings.limits.model_copy(update={"budget_usd": self._budget(options)})
        settings = self.settings.model_copy(update={"request": request, "limits": limits, "reuse": reuse})
        return self.model_copy(update={"settings": settings, "options": options})

    def _budget(self, options: RunOptions) -> Decimal | None:
        limits = self.settings.limits
        if options.budget_usd is None:
            return limits.budget_usd
        ceiling = limits.budget_usd if limits.budget_ceiling_usd is None else limits.budget_ceiling_usd
        if ceiling is not None and options.budget_usd > ceiling:
            raise ParamError(
                f"The run's param `budget_usd` is {options.budget_usd:g}, and {self._file(_YAML)} allows a run"
                f" {ceiling:g} at most (limits.budget_ceiling_usd, or limits.budget_usd where there is none). Nothing"
                " was read or sent. Ask for less, or raise the ceiling."
            )
        return options.budget_usd

    @property
    def caching(self) -> Caching:
        """What ``request.cache`` comes to: always the same for the same files, model and prices."""
        request = self.settings.request
        if request.cache != "auto":
            return Caching(cache=request.cache, why="pipeline.yaml says so")
        system = self._system
        if broken := list(_broken_prefix(system)):
            return Caching(cache="off", why=broken[0])
        size = PrefixSize(
            system_bytes=len(system.render({}).encode()),
            format_bytes=len(encode_params(self._constant["output_config"])),
        )
        canary = self.settings.limits.canary_rows > 0
        return decide(request.model, prices().models.get(request.model), size, canary=canary)

    def decided(self) -> Pipeline:
        """The pipeline with what ``request.cache: auto`` comes to in its place."""
        request = self.settings.request.model_copy(update={"cache": self.caching.cache})
        return self.model_copy(update={"settings": self.settings.model_copy(update={"request": request})})

    @property
    def cached_prefix(self) -> CachedPrefix | None:
        """What its requests have the prompt cache keep; None for nothing."""
        cache, system = self.caching.cache, self._system
        if cache == "off" or system.columns or not system.render({}).strip():
            return None
        alike = {**self._constant, "system": system.render({}), "ttl": cache}
        del alike["max_tokens"]
        return CachedPrefix(prefix_id=request_id(encode_params(alike)), ttl=cache)

    @property
    def query(self) -> str:
        """What is asked of the source: the SQL, or where the files are."""
        return self.settings.source.files or self.sql

    @property
    def output(self) -> OutputSchema:
        """The output's schema."""
        return OutputSchema(json.loads(self.schema_text))

    @property
    def limits(self) -> BatchLimits:
        """What one batch of this pipeline may hold."""
        return BatchLimits(max_requests=self.settings.limits.batch_requests)

    def renderer(self, columns: Sequence[str], *, run_id: str, sample: int = 1) -> Renderer:
        """
        What renders this pipeline's rows.

        :param run_id: the run that asks; it makes requests of its own where answers are not reused
        :param sample: which of the ``samples`` answers for each row, counted from 1

        Raises SpecError if a prompt uses a column, or the key names one, that ``columns`` (the query's) does not have.
        """
        system, user = self._system, Template(self.user, file=self._file(_USER))
        unknown = [
            f"{template.file}:{line}: the query has no column {name!r}{nearest(name, columns)}"
            for template in (system, user)
            for name, line in template.columns.items()
            if name not in columns
        ]
        unknown += [
            f"{self._file(_YAML)}: source.key: the query has no column {name!r}{nearest(name, columns)}"
            for name in self.settings.source.key
            if name not in columns
        ]
        if unknown:
            origin = self.settings.source.files or _SQL
            raise SpecError("\n".join([*unknown, f"Columns of {origin}: {', '.join(columns)}. Nothing was sent."]))
        cache = self.caching.cache
        return Renderer(
            system=system,
            user=user,
            constant=self._constant,
            cache=None if cache == "off" else cache,
            salt=self._salt(run_id, sample),
        )

    @property
    def _system(self) -> Template:
        return Template(self.system, file=self._file(_SYSTEM))

    @property
    def _constant(self) -> dict[str, Any]:
        """What is the same in every request, beside the prompts."""
        request = self.settings.request
        thinking = {"thinking": {"type": request.thinking}} if request.thinking else {}
        return {
            "model": request.model,
            "max_tokens": request.max_tokens,
            **thinking,
            "output_config": {"format": {"type": "json_schema", "schema": json.loads(self.schema_text)}},
        }

    def _salt(self, run_id: str, sample: int) -> str:
        """Sample 1 is what a pipeline without samples asks: whoever raises ``samples`` pays for the others only."""
        parts = [] if self.settings.reuse else [run_id]
        if sample > 1:
            parts.append(f"sample {sample}")
        return " ".join(parts)

    def _file(self, file: str) -> str:
        return f"{self.name}/{file}"


def load_pipeline(folder: Path) -> Pipeline:
    """
    Read and check the pipeline in ``folder``; its name is the folder's.

    Raises SpecError with one line for every mistake found in any of its files: file, line, fact, and the nearest valid
    name where a name is wrong.
    """
    if not folder.is_dir():
        others = sorted(path.parent.name for path in folder.parent.glob(f"*/{_YAML}"))
        raise SpecError(
            f"There is no pipeline {folder.name!r} in {folder.parent}{nearest(folder.name, others)}. There are:"
            f" {', '.join(others) or 'none'}."
        )
    texts: dict[str, str] = {}
    mistakes: list[str] = []
    for file in FILES:
        try:
            texts[file] = (folder / file).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            if file != _SQL or _wants_sql(texts):
                mistakes.append(f"{folder.name}/{file}: is missing; a pipeline is {', '.join(FILES)}")
        except OSError as error:
            mistakes.append(f"{folder.name}/{file}: cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            mistakes.append(f"{folder.name}/{file}: is not UTF-8: {error}")
    if not mistakes:
        settings, found = _settings(texts[_YAML])
        mistakes = [f"{folder.name}/{mistake}" for mistake in [*found, *_mistakes(texts, settings)]]
        if settings and not mistakes:
            return Pipeline(
                name=folder.name,
                settings=settings,
                sql=texts.get(_SQL, ""),
                system=texts[_SYSTEM],
                user=texts[_USER],
                schema_text=texts[_SCHEMA],
            )
    raise SpecError("\n".join(mistakes))


def _wants_sql(texts: dict[str, str]) -> bool:
    """Whether there has to be an extract.sql. A pipeline.yaml with mistakes does not say."""
    if _YAML not in texts:
        return True
    settings, _ = _settings(texts[_YAML])
    return settings is not None and settings.source.files is None


def _settings(text: str) -> tuple[Settings | None, list[str]]:
    try:
        data, lines = _yaml_lines(text)
        return Settings.model_validate(data), []
    except ValidationError as error:
        return None, [f"{_YAML}:{_line(lines, problem['loc'])}: {_spell(problem)}" for problem in error.errors()]
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-13-45
        fact = getattr(error, "problem", None) or f"is not YAML: {str(error).splitlines()[0]}"
        return None, [f"{_YAML}:{_error_line(error)}: {fact}"]


def _spell(problem: Any) -> str:
    path = [str(step) for step in problem["loc"]]
    where = ".".join(path)
    if not path:
        return f"must be a mapping of {', '.join(Settings.model_fields)}"
    if problem["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        return f"{where}: unknown key{nearest(path[-1], known) or '.'} Known here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: is missing"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}, got {reprlib.repr(problem['input'])}"


def _keys_at(path: Sequence[str]) -> list[str]:
    model: Any = Settings
    for step in path:
        model = model.model_fields[step].annotation
    return list(model.model_fields)


def _mistakes(texts: dict[str, str], settings: Settings | None) -> Iterator[str]:
    for file in (_SYSTEM, _USER):
        try:
            template = Template(texts[file], file=file)
        except SpecError as error:
            yield str(error)
            continue
        if file == _SYSTEM and settings and settings.request.cache in ("5m", "1h"):
            for broken in _broken_prefix(template):
                yield f"{broken}: move it to {_USER}, or say request.cache: off instead of {settings.request.cache}"
    if not texts[_USER].strip():
        yield f"{_USER}:1: is empty: it is what Claude is told about a row"
    if settings and settings.source.files:
        if _SQL in texts:
            yield f"{_SQL}:1: is not used, as source.files says what is read: delete one of the two"
    elif _SQL in texts and not any(f":{name}" in texts[_SQL] for name in PARTITION_PARAMETERS):
        yield f"{_SQL}:1: uses neither :partition_start nor :partition_end: every run would read and pay for all of it"
    yield from _schema_mistakes(texts[_SCHEMA], settings)


def _broken_prefix(system: Template) -> Iterator[str]:
    """What of a row stands where all requests have to be alike for the prompt cache."""
    for name, line in system.columns.items():
        yield f"{system.file}:{line}: the column {name!r} makes it differ from row to row, and it cannot be cached"


def _schema_mistakes(text: str, settings: Settings | None) -> Iterator[str]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield f"{_SCHEMA}:{getattr(error, 'lineno', 1)}: {getattr(error, 'msg', error)}"
        return
    try:
        _, lines = _yaml_lines(text.replace("\t", " "))  # JSON is YAML, but for tabs between its tokens
    except _Twice as error:
        yield f"{_SCHEMA}:{_error_line(error)}: {error.problem}"
        return
    except (yaml.YAMLError, ValueError):  # and for a few odd characters: the mistakes are then told without their line
        lines = {}
    problems = list(schema_subset.problems(schema))
    for path, fact in problems:
        yield f"{_SCHEMA}:{_line(lines, path)}: {fact}"
    columns = [] if problems else [field.name.lower() for field in OutputSchema(schema).fields]
    for name in settings.source.key if settings else ():
        if name.lower() in columns:
            yield f"{_SCHEMA}:{_line(lines, ('properties', name))}: {name!r} is a key column too: rename the output"


class _Twice(yaml.MarkedYAMLError):
    """A key stands twice in one mapping."""


def _yaml_lines(text: str) -> tuple[Any, dict[tuple[str | int, ...], int]]:
    """
    The document and the line of each of its nodes, by path. Raises yaml.YAMLError, also for a key that stands twice.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    lines: dict[tuple[str | int, ...], int] = {}

    def visit(node: yaml.Node, path: tuple[str | int, ...]) -> None:
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(problem="a key must be a plain name", problem_mark=key.start_mark)
                child = (*path, key.value)
                if child in lines:
                    raise _Twice(problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark)
                lines[child] = key.start_mark.line + 1
                visit(value, child)
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                visit(value, (*path, number))

    if root is not None:
        visit(root, ())
    return yaml.safe_load(text), lines


def _error_line(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _line(lines: dict[tuple[str | int, ...], int], path: Iterable[str | int]) -> int:
    """The line of the deepest part of ``path`` that the file has."""
    steps = tuple(path)
    while steps and steps not in lines:
        steps = steps[:-1]
    return lines.get(steps, 1)
