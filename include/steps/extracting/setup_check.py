"""What is checked before extract reads anything: settings, lake, API and the models of the pipeline."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from include.enrichment.errors import SpecError
from include.enrichment.spec.cascade.escalation import Group, request_groups
from include.enrichment.spec.model_capabilities import (
    ModelCapabilities,
    model_problems,
    retirement_warning,
    unknown_model_message,
)
from include.enrichment.spec.pipeline_folder import find_warnings
from include.gateways.conditional_writes import check_conditional_writes

if TYPE_CHECKING:  # the task that only extracts needs no SDK at run time
    from include.enrichment.spec.pipeline import Pipeline
    from include.gateways.claude import Claude
    from include.gateways.lake import Lake

log = logging.getLogger(__name__)


def check_setup(pipeline: Pipeline, *, lake: Lake, claude: Claude) -> dict[str, int]:
    """
    Check, before anything is read, that lake and API are reachable and that each model can do what the pipeline, or its
    variant, needs. Return the context window of each model, in tokens, if the API reports it.

    Logs a warning for settings that the API may reject, and for a model that retires soon. Raises SetupError, ApiError,
    or SpecError with a line for each variant that cannot be asked. Writes and spends nothing.
    """
    for warning in find_warnings(pipeline):
        log.warning(warning)
    lake.check()
    check_conditional_writes(lake)
    groups = request_groups(pipeline)
    models = {group.pipeline.settings.request.model for group in groups.values()}
    found = {name: claude.model(name) for name in sorted(models)}
    offered = claude.model_ids() if None in found.values() else []
    today = datetime.now(UTC).date()
    problems: list[str] = []
    warnings: list[str] = []
    for group in groups.values():
        where, name = _location(pipeline, group), group.pipeline.settings.request.model
        model = found[name]
        if model is None:
            problems.append(
                f"{where}: the API knows no model {name!r}{unknown_model_message(name, offered, today=today)}"
            )
        elif facts := list(_problems(group.pipeline, model)):
            problems.append(f"{where}: {name} cannot do this: {'; '.join(facts)}.")
        elif retirement := retirement_warning(model, today=today):
            warnings.append(f"{where}: {retirement}")
    if problems:
        raise SpecError(" ".join(["\n".join(dict.fromkeys(problems)), "Nothing was read or sent."]))
    for warning in dict.fromkeys(warnings):
        log.warning(warning)
    return {name: model.context_tokens for name, model in found.items() if model and model.context_tokens}


def _problems(asked: Pipeline, model: ModelCapabilities) -> Iterator[str]:
    has_schema, has_documents = asked.schema_text is not None, bool(asked.settings.attached_columns)
    return model_problems(model, asked.settings.request, has_schema=has_schema, has_documents=has_documents)


def _location(pipeline: Pipeline, group: Group) -> str:
    """Return where the model of a group is set."""
    changed = pipeline.settings.variants.get(group.variant)
    if group.escalation:
        of_variant = changed and changed.escalate
        return pipeline.location(f"variants.{group.variant}.escalate.to" if of_variant else "request.escalate.to")
    if changed and changed.model:
        return pipeline.location(f"variants.{group.variant}.model")
    request = pipeline.settings.request
    return pipeline.location(f"request.{'other_models' if request.model in request.other_models else 'model'}")
