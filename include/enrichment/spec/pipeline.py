"""A whole pipeline as one value: its settings, and the request that it makes of each row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from include.enrichment.agent.tool_file import Tool
from include.enrichment.answers.best import Best
from include.enrichment.answers.checks.check import Check
from include.enrichment.answers.evidence.sent_output import loaded_schema, pipeline_output
from include.enrichment.answers.schema.output import Output
from include.enrichment.answers.table import PART, SAMPLE, VARIANT, Shape, row_carried, row_keys
from include.enrichment.cost.caching import CachedPrefix, Caching, PrefixSize
from include.enrichment.errors import SpecError
from include.enrichment.requests.chunk import BatchLimits
from include.enrichment.requests.fan_out import FanOut
from include.enrichment.requests.request import Renderer
from include.enrichment.requests.template import Template
from include.enrichment.requests.used_columns import unknown_columns
from include.enrichment.runs.options import RunOptions
from include.enrichment.spec.cascade.escalation import models_of
from include.enrichment.spec.renaming import Renaming
from include.enrichment.spec.settings import FromColumn, Settings
from include.enrichment.spec.variants.asking import Asking, Variant
from include.enrichment.spec.variants.files import CHECKS, YAML
from include.enrichment.spec.variants.union_schema import union_schema
from include.enrichment.spec.where import Where
from include.enrichment.storage.version import Versioned

if TYPE_CHECKING:
    import pyarrow as pa

    from include.enrichment.answers.checks.checks import Checks

#: What a variant has in place of the pipeline's own, besides the settings of the request.
_ASKED = {"system", "user", "schema_text", "shared", "files"}


class Pipeline(Versioned):
    """
    A whole, checked pipeline. It is stored with the run, so that one run never mixes two versions.

    :param sql: empty if a setting of the source replaces it
    :param schema_text: output.schema.json; None: the answer is text
    :param shared: what follows the system prompt in every request: the texts of the context and the examples, as they
        are sent
    :param cases: the text of the file that ``source.cases`` names; empty without one
    :param options: the run's options; ``settings`` include them already where a setting exists
    :param lines: for errors, the line of each setting in pipeline.yaml by dotted name; empty if an earlier release
        stored the pipeline
    :param files: the name of each file that replaces one of FILES, as a variant's do
    :param variants: by name; empty: there is one way. See by_variant
    :param checks: those of checks.yaml
    :param tools: the functions of tools.py that Claude may call
    :param check_lines: for errors, the line of each check (``0``) and of each of its settings (``0.pattern``)
    """

    model_config = ConfigDict(strict=True)

    name: str
    settings: Settings
    sql: str
    system: str
    user: str
    schema_text: str | None
    shared: str = ""
    cases: str = ""
    options: RunOptions = RunOptions()
    lines: Mapping[str, int] = {}
    files: Mapping[str, str] = {}
    variants: Mapping[str, Variant] = {}
    checks: list[Check] = Field(default_factory=list)
    check_lines: Mapping[str, int] = {}
    tools: list[Tool] = Field(default_factory=list)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Pipeline:
        """Return a copy with changes, without the checks that were made of the values before them."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_made_checks", None)
        return copied

    @property
    def by_variant(self) -> dict[str, Pipeline]:
        """
        The pipeline of each variant, which has its request, prompts, schema, cache and budget, and no variants; one
        without a name if there are none.
        """
        if not self.variants:
            return {"": self}
        return {
            name: self.model_copy(
                update={
                    **variant.model_dump(include=_ASKED),
                    "settings": self.settings.model_copy(update={"request": variant.request}),
                    "variants": {},
                }
            )
            for name, variant in self.variants.items()
        }

    @property
    def askings(self) -> dict[str, Asking]:
        """The requests of each variant; one without a name if there are none."""
        return {name: self._asking(one, name) for name, one in self.variants.items()} or {"": self._own_asking}

    @property
    def _own_asking(self) -> Asking:
        return self._asking(Variant(request=self.settings.request, **self.model_dump(include=_ASKED)))

    def _asking(self, variant: Variant, name: str = "") -> Asking:
        canary, evidence = self.settings.limits.canary_rows > 0, self.settings.output.evidence
        return Asking(
            pipeline=self.name, name=name, variant=variant, evidence=evidence, canary=canary, tools=self.tools
        )

    def for_run(self, options: RunOptions) -> Pipeline:
        """
        Return the pipeline with the options of one run.

        Raises ParamError for a model or a variant that the pipeline does not have, a budget above the ceiling, or
        options that exclude each other.
        """
        file = self._file(YAML)
        chosen = options.choose_variants(list(self.variants), file=file)
        changes = {
            "settings": self.settings.for_run(options, file=file),
            "variants": {name: self.variants[name] for name in chosen},
            "options": options,
        }
        return self.model_copy(update=changes)

    @property
    def caching(self) -> Caching:
        """The cache setting that ``request.cache`` resolves to, without variants; see Asking."""
        return self._own_asking.caching

    def with_resolved_cache(self) -> Pipeline:
        """Return the pipeline with ``request.cache: auto`` resolved, in each variant too."""
        variants = {
            name: asking.variant.with_cache(asking.caching.cache) for name, asking in self.askings.items() if name
        }
        request = self.settings.request.model_copy(update={"cache": self.caching.cache})
        settings = self.settings.model_copy(update={"request": request})
        return self.model_copy(update={"settings": settings, "variants": variants})

    @property
    def cached_prefix(self) -> CachedPrefix | None:
        """The prefix of its requests that the prompt cache keeps, without variants; None: nothing."""
        return self._own_asking.cached_prefix

    @property
    def prefix_size(self) -> PrefixSize:
        """The size of what the prompt cache can keep, without variants. The system prompt must use no column."""
        return self._own_asking.prefix_size

    @property
    def where(self) -> Where | None:
        """The condition that the rows of the source must meet; None: all rows."""
        text = self.settings.source.where
        return Where(text=text, location=self.location("source.where")) if text else None

    @property
    def renaming(self) -> Renaming:
        """The names that the columns of the source have in this pipeline."""
        return Renaming(names=self.settings.source.rename, location=self.location("source.rename"))

    @property
    def best(self) -> Best | None:
        """How the best of several candidates for one row is chosen; None: every row is published."""
        keep = self.settings.keep
        return Best(text=keep.best, among=keep.among, location=self.location("keep.best")) if keep else None

    def check_best(self) -> None:
        """Check ``keep.best`` against what is known of the table without its rows. Raises SpecError."""
        if best := self.best:
            known = self.settings.key_types | self.settings.source.carried_types
            answer = Shape(keys=[], **self._of_answers).judged
            best.check({**known, **{field.name: field.type for field in answer}})

    def shape(self, rows: pa.Schema) -> Shape:
        """Return the schemas that it publishes, as long as no candidate is chosen; ``rows`` is a rows_schema()."""
        return Shape(keys=row_keys(rows), carried=row_carried(rows), **self._of_answers)

    @property
    def _of_answers(self) -> dict[str, Any]:
        """The parameters of a Shape that do not depend on the rows."""
        warned, grounded = any(check.warn for check in self.checks), self.settings.output.evidence
        escalated = any(asking.variant.request.escalation for asking in self.askings.values())
        return {"output": self.output, "grounded": grounded, "warned": warned, "escalated": escalated}

    @property
    def output(self) -> Output:
        """The shape of its answers: with variants, an answer has the shape of one of them."""
        schema = union_schema([asking.variant.schema_text for asking in self.askings.values()])
        return pipeline_output(schema, evidence=self.settings.output.evidence)

    @property
    def loaded_schema(self) -> str | None:
        """What its chunk files say of the answers, without variants, for read_loaded_output()."""
        return loaded_schema(self.schema_text, evidence=self.settings.output.evidence)

    @property
    def limits(self) -> BatchLimits:
        """The limits of one batch."""
        limits = self.settings.limits
        return BatchLimits(max_requests=limits.batch_requests, max_bytes=limits.batch_bytes)

    @property
    def columns(self) -> set[str]:
        """The columns that the prompts, the key, for_each and the checks use, and those carried or with objects."""
        checks = self.read_checks()
        used = self._prompt_columns | (checks.columns.keys() if checks else set())
        named = (self.settings.source.carry, self.settings.attached_columns, self._list_columns.values())
        return {*(used - self.settings.for_each.keys()), *chain.from_iterable(named)}

    @property
    def _prompt_columns(self) -> set[str]:
        """The key, and what the prompts of all variants use: columns and names of for_each."""
        return {*self.settings.source.key, *chain.from_iterable(prompt.columns for prompt in self._prompts)}

    @property
    def _prompts(self) -> list[Template]:
        """The prompts of all variants, each file once."""
        found = [prompt for asking in self.askings.values() for prompt in (asking.system, asking.user)]
        return list({prompt.file: prompt for prompt in found}.values())

    @property
    def fan_out(self) -> FanOut:
        """The combinations of ``for_each`` that each row is requested with."""
        for_each = self.settings.for_each
        fixed = {name: values for name, values in for_each.items() if not isinstance(values, FromColumn)}
        return FanOut(list(for_each), fixed=fixed, columns=self._list_columns)

    @property
    def _list_columns(self) -> dict[str, str]:
        """The names of for_each whose values are in a column, each with that column."""
        return {
            name: values.column for name, values in self.settings.for_each.items() if isinstance(values, FromColumn)
        }

    def renderers(self, columns: Collection[str], *, run_id: str) -> list[tuple[dict[str, Any], Renderer]]:
        """
        Return the renderers of a row with one combination of ``for_each``: one for each variant and sample, with the
        key columns that tell their requests apart. Whatever multiplies requests without being a value for the prompts
        belongs here.

        Raises the errors of renderer().
        """
        self._check_columns(columns)
        fresh = "" if self.settings.reuse else run_id
        return [
            (
                {**({VARIANT: name} if name else {}), SAMPLE: sample},
                asking.renderer(salt=asking.salt(fresh, sample), max_bytes=self.limits.params_bytes),
            )
            for name, asking in self.askings.items()
            for sample in range(1, self.settings.samples + 1)
        ]

    @property
    def models(self) -> str:
        """The distinct models of its requests, separated by commas."""
        return ", ".join(models_of(asking.variant.request for asking in self.askings.values()))

    def read_checks(self) -> Checks | None:
        """
        Return the pipeline's checks, None if it has none. They are made once, which takes a second with some of them.

        Raises SpecError with one line for each mistake in a pattern, a template or an expression.
        """
        return self._made_checks

    @cached_property
    def _made_checks(self) -> Checks | None:
        if not self.checks:
            return None
        # Not at the top: it loads DuckDB and more, and most pipelines have no checks.
        from include.enrichment.answers.checks.checks import Checks
        from include.enrichment.answers.checks.similarity import RowNames

        source, sampled = self.settings.source, self.settings.samples > 1
        return Checks(
            self.checks,
            output=self.output,
            names=RowNames(
                key=[*source.key, *([PART] if self.settings.split_pages else [])],
                for_each=[*self.settings.for_each, *([VARIANT] if self.variants else [])],
                sample=SAMPLE if sampled else None,
            ),
            prompt_columns=self._prompt_columns,
            # A setting that a YAML merge brings in has the line of its check.
            line=lambda number, kind: self.check_lines.get(f"{number}.{kind}") or self.check_lines.get(str(number), 1),
            file=self._file(CHECKS),
        )

    def renderer(self, columns: Collection[str], *, run_id: str, sample: int = 1) -> Renderer:
        """
        Return a renderer of this pipeline's rows, without variants.

        :param columns: the query's columns
        :param run_id: part of the request ids if answers are not reused
        :param sample: the number of the answer for each row, from 1 to ``samples``

        Raises SpecError if a prompt, the key, source.carry or for_each names a column that the query does not have, or
        if for_each hides one.
        """
        self._check_columns(columns)
        own, fresh = self._own_asking, "" if self.settings.reuse else run_id
        return own.renderer(salt=own.salt(fresh, sample), max_bytes=self.limits.params_bytes)

    def _check_columns(self, columns: Collection[str]) -> None:
        source, checks = self.settings.source, self.read_checks()
        settings: dict[str, Iterable[str]] = {
            "source.key": source.key,
            "source.carry": source.carry,
            "attachments.columns": self.settings.attached_columns,
        }
        unknown = list(
            unknown_columns(
                columns,
                prompts=self._prompts,
                for_each={name: self.location(f"for_each.{name}") for name in self.settings.for_each},
                settings=[
                    *((self.location(f"for_each.{name}"), column) for name, column in self._list_columns.items()),
                    *((self.location(setting), name) for setting, names in settings.items() for name in names),
                ],
                checks=[
                    (f"{self._file(CHECKS)}:{line}", name) for name, line in (checks.columns if checks else {}).items()
                ],
            )
        )
        if unknown:
            raise SpecError(
                "\n".join([*unknown, f"Columns of {source.origin}: {', '.join(columns)}. Nothing was sent."])
            )

    def location(self, setting: str) -> str:
        """Return the file, the line if it is known, and the dotted name of a setting, for an error."""
        line = self.lines.get(setting)
        return f"{self._file(YAML)}{f':{line}' if line else ''}: {setting}"

    def _file(self, file: str) -> str:
        return f"{self.name}/{self.files.get(file, file)}"
