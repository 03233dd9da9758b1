"""A whole pipeline as one value: what a run of it does, and what it asks for each row."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import ConfigDict

from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.cost.caching import CachedPrefix, Caching, PrefixSize, resolve_cache
from include.enrichment.cost.prices import prices
from include.enrichment.errors import ParamError, SpecError, nearest
from include.enrichment.requests.chunk import BatchLimits
from include.enrichment.requests.request import Renderer, encode_params, request_id
from include.enrichment.requests.template import Template
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.settings import Settings
from include.enrichment.storage.version import Versioned

#: The files of a pipeline's folder.
FILES = ("pipeline.yaml", "extract.sql", "system.md", "user.md", "output.schema.json")
YAML, SQL, SYSTEM, USER, SCHEMA = FILES


class Pipeline(Versioned):
    """
    A whole pipeline, checked: what a run does, as one value. It is stored with the run, so that one run never mixes two
    versions.

    :param sql: empty where ``source.files`` says what is read
    :param options: what is different in this run; ``settings`` have it already, as far as there is a setting for it
    :param lines: the line of pipeline.yaml on which each setting stands, by its dotted name, for errors; none in what
        an earlier version has stored
    """

    model_config = ConfigDict(strict=True)

    name: str
    settings: Settings
    sql: str
    system: str
    user: str
    schema_text: str
    options: RunOptions = RunOptions()
    lines: Mapping[str, int] = {}

    def for_run(self, options: RunOptions) -> Pipeline:
        """
        The pipeline as one run has it.

        Raises ParamError if the run asks for a model that the pipeline does not name, or for what cannot be together.
        """
        request = self.settings.request
        models = [request.model, *request.other_models]
        if options.model is not None and options.model not in models:
            raise ParamError(
                f"The run's param `model` is {options.model!r}, which {self._file(YAML)} does not name"
                f"{nearest(options.model, models) or '.'} There are: {', '.join(models)}. Nothing was read or sent."
                " Choose one of them, or add another model to request.other_models."
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
                f"The run's param `budget_usd` is {options.budget_usd:g}, and {self._file(YAML)} allows a run"
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
        if broken := list(broken_prefix(system)):
            return Caching(cache="off", why=broken[0])
        size = PrefixSize(
            system_bytes=len(system.render({}).encode()),
            format_bytes=len(encode_params(self._constant["output_config"])),
        )
        canary = self.settings.limits.canary_rows > 0
        return resolve_cache(request.model, prices().models.get(request.model), size, canary=canary)

    def with_resolved_cache(self) -> Pipeline:
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
        limits = self.settings.limits
        return BatchLimits(max_requests=limits.batch_requests, max_bytes=limits.batch_bytes)

    @property
    def columns(self) -> set[str]:
        """The columns that its prompts and its key use."""
        user = Template(self.user, file=self._file(USER))
        return {*self._system.columns, *user.columns, *self.settings.source.key}

    def renderer(self, columns: Collection[str], *, run_id: str, sample: int = 1) -> Renderer:
        """
        What renders this pipeline's rows.

        :param run_id: the run that asks; it makes requests of its own where answers are not reused
        :param sample: which of the ``samples`` answers for each row, counted from 1

        Raises SpecError if a prompt uses a column, or the key names one, that ``columns`` (the query's) does not have.
        """
        system, user = self._system, Template(self.user, file=self._file(USER))
        unknown = [
            f"{template.file}:{line}: the query has no column {name!r}{nearest(name, columns)}"
            for template in (system, user)
            for name, line in template.columns.items()
            if name not in columns
        ]
        unknown += [line for template in (system, user) for line in template.hidden(columns)]
        unknown += [
            f"{self.place('source.key')}: the query has no column {name!r}{nearest(name, columns)}"
            for name in self.settings.source.key
            if name not in columns
        ]
        if unknown:
            origin = self.settings.source.files or SQL
            raise SpecError("\n".join([*unknown, f"Columns of {origin}: {', '.join(columns)}. Nothing was sent."]))
        cache = self.caching.cache
        return Renderer(
            system=system,
            user=user,
            constant=self._constant,
            cache=None if cache == "off" else cache,
            salt=self._salt(run_id, sample),
            max_bytes=self.limits.params_bytes,
        )

    @property
    def _system(self) -> Template:
        return Template(self.system, file=self._file(SYSTEM))

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

    def place(self, setting: str) -> str:
        """How an error names a setting: the file, its line if it is known, and the dotted name."""
        line = self.lines.get(setting)
        return f"{self._file(YAML)}{f':{line}' if line else ''}: {setting}"

    def _file(self, file: str) -> str:
        return f"{self.name}/{file}"


def broken_prefix(system: Template) -> Iterator[str]:
    """What of a row stands where all requests have to be alike for the prompt cache."""
    for name, line in system.columns.items():
        yield f"{system.file}:{line}: the column {name!r} makes it differ from row to row, and it cannot be cached"
