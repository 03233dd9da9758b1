"""The requests that a pipeline, or one variant of it, makes of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from include.enrichment.agent.tool_file import Tool
from include.enrichment.answers.evidence.sent_output import asked_schema
from include.enrichment.answers.schema.output import output_config
from include.enrichment.cost.caching import CachedPrefix, Caching, PrefixSize, resolve_cache
from include.enrichment.cost.prices import prices
from include.enrichment.requests.request import Renderer, encode_json, encode_params, request_id
from include.enrichment.requests.template import Template
from include.enrichment.requests.used_columns import prefix_problems
from include.enrichment.spec.variants.files import SYSTEM, USER
from include.enrichment.spec.variants.settings import RequestSettings


class Variant(BaseModel):
    """
    One variant of a pipeline, resolved: what each of its requests has in place of the pipeline's own.

    :param schema_text: None: the answer is text
    :param shared: what follows the system prompt in every request: the texts of the context and the examples, as they
        are sent
    :param files: the name of each file that replaces one of the pipeline's, by the name of that one
    """

    model_config = ConfigDict(frozen=True, strict=True)

    request: RequestSettings
    system: str
    user: str
    schema_text: str | None
    shared: str = ""
    files: Mapping[str, str] = {}

    def with_cache(self, cache: str) -> Variant:
        """Return the variant with another ``request.cache``."""
        return self.model_copy(update={"request": self.request.model_copy(update={"cache": cache})})


@dataclass(frozen=True, kw_only=True)
class Asking:
    """
    The requests of one variant.

    :param pipeline: its name, for errors
    :param name: that of the variant; empty without variants
    :param evidence: whether the answers have evidence
    :param canary: whether a run sends a canary first
    :param tools: those that Claude may call
    """

    pipeline: str
    variant: Variant
    evidence: bool
    canary: bool
    tools: Sequence[Tool] = ()
    name: str = ""

    @property
    def caching(self) -> Caching:
        """The cache setting that ``request.cache`` resolves to: the same for the same files, model and prices."""
        request = self.variant.request
        if request.cache != "auto":
            return Caching(cache=request.cache, why="set in pipeline.yaml")
        if problem := next(prefix_problems(self.system), None):
            return Caching(cache="off", why=problem)
        return resolve_cache(request.model, prices().models.get(request.model), self.prefix_size, canary=self.canary)

    @property
    def cached_prefix(self) -> CachedPrefix | None:
        """The prefix of its requests that the prompt cache keeps; None: nothing."""
        cache, system = self.caching.cache, self.system
        if cache == "off" or system.columns or not system.render({}).strip():
            return None
        shared = {**self._constant, "system": system.render({}), "ttl": cache}
        del shared["max_tokens"]
        return CachedPrefix(prefix_id=request_id(encode_params(shared)), ttl=cache)

    @property
    def prefix_size(self) -> PrefixSize:
        """The size of what the prompt cache can keep. The system prompt must use no column."""
        return PrefixSize(
            system_bytes=len(self.system.render({}).encode()),
            format_bytes=sum(len(encode_json(part)) for part in ({**self._output_config, **self._tools}).values()),
        )

    @property
    def system(self) -> Template:
        """The system prompt, with the context and the examples."""
        return Template(self.variant.system, file=self.file(SYSTEM), followed_by=self.variant.shared)

    @property
    def user(self) -> Template:
        """The user prompt."""
        return Template(self.variant.user, file=self.file(USER))

    def file(self, file: str) -> str:
        """Return the file that the variant has in place of one of the pipeline's, for errors."""
        return f"{self.pipeline}/{self.variant.files.get(file, file)}"

    def salt(self, run_id: str, sample: int) -> str:
        """
        Return the salt of the request ids. Sample 1 has none, so a higher ``samples`` pays for the new ones only.

        :param run_id: of a run that shares no answer with others; empty if answers are reused
        """
        parts = [run_id] if run_id else []
        parts += [f"sample {sample}"] if sample > 1 else []
        # A variant that escalates shares no answer with one that does not, whose rows must not get the dearer answer.
        parts += [f"variant {self.name}"] if self.name and self.variant.request.escalate else []
        return " ".join(parts)

    def renderer(self, *, salt: str, max_bytes: int) -> Renderer:
        """Return a renderer of rows; see Renderer."""
        cache = self.caching.cache
        return Renderer(
            system=self.system,
            user=self.user,
            constant=self._constant,
            cache=None if cache == "off" else cache,
            salt=salt,
            max_bytes=max_bytes,
        )

    @property
    def _output_config(self) -> dict[str, Any]:
        return output_config(asked_schema(self.variant.schema_text, evidence=self.evidence))

    @property
    def _constant(self) -> dict[str, Any]:
        """The members of the params, besides the prompts, that are the same in every request."""
        request = self.variant.request
        thinking = {"thinking": {"type": request.thinking}} if request.thinking else {}
        output = self._output_config
        if request.effort:
            output = {"output_config": {**output.get("output_config", {}), "effort": request.effort}}
        return {"model": request.model, "max_tokens": request.max_tokens, **thinking, **output, **self._tools}

    @property
    def _tools(self) -> dict[str, Any]:
        return {"tools": [tool.definition for tool in self.tools]} if self.tools else {}
