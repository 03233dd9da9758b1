"""The mistakes in ``escalate``, of the pipeline and of its variants: each as ``file:line: fact``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from include.enrichment.answers.evidence.sent_output import pipeline_output
from include.enrichment.answers.schema.output import Output
from include.enrichment.errors import sentence
from include.enrichment.requests.row_expression import expression_problems
from include.enrichment.spec.cascade.escalation import condition_problems
from include.enrichment.spec.settings import Settings
from include.enrichment.spec.variants.files import YAML, PromptFiles
from include.enrichment.spec.variants.settings import Escalation, RequestSettings, with_current
from include.enrichment.spec.variants.union_schema import union_schema
from include.enrichment.spec.yaml_file import Lines, NodePath, line_of


def escalation_mistakes(texts: Mapping[str, str], settings: Settings, lines: Lines) -> Iterator[str]:
    """
    Yield the mistakes in ``escalate``.

    :param texts: of the folder's files by name; their schemas have no mistakes
    """
    files = [PromptFiles.of(variant) for variant in with_current(settings.variants).values()] or [PromptFiles()]
    output = pipeline_output(union_schema([texts.get(one.schema) for one in files]), evidence=settings.output.evidence)
    for path, escalation, request in _escalations(settings):
        first = ".".join(map(str, path))
        for name, line, fact in _problems(escalation, request, output, settings):
            where = (*path, name) if name else path
            # Only a block (`when: |`) keeps its line ends, and begins below its name.
            at = line_of(lines, where) + (line - 1 + ("\n" in escalation.when) if name == "when" else 0)
            yield f"{YAML}:{at}: {first}{f'.{name}' if name else ''}: {sentence(fact).removesuffix('.')}"


def _escalations(settings: Settings) -> Iterator[tuple[NodePath, Escalation, RequestSettings]]:
    """Each ``escalate`` with its place, and the request that it belongs to."""
    own = settings.request
    if own.escalate:
        yield ("request", "escalate"), own.escalate, own
    for name, variant in settings.variants.items():
        if variant.escalate:
            yield ("variants", name, "escalate"), variant.escalate, variant.request(own)


def _problems(
    escalation: Escalation, request: RequestSettings, output: Output, settings: Settings
) -> Iterator[tuple[str, int, str]]:
    """The setting below ``escalate``, the line within its text, and the fact."""
    if escalation.to == request.model:
        yield "to", 1, f"{escalation.to} gave the doubtful answer: name a dearer model"
    if problems := expression_problems(escalation.when):
        yield from (("when", line, fact) for line, fact in problems)
    else:
        yield from (("when", 1, fact) for fact in condition_problems(escalation.when, output))
    if not settings.limits.retry_passes:
        yield "", 1, "needs limits.retry_passes of 1 or more, as the retry pass asks the dearer model"
    if settings.keep:
        yield "", 1, "cannot be combined with keep: both choose the answer of a row"
