"""
The settings that Airflow needs while it parses a Dag: those that give the Dag its passes and its form. This module
imports next to nothing and never fails. load_pipeline() reports the mistakes in the files when a run begins.

It does not load Settings: defining those models would add some 30 ms to each parse of a Dag file, and one mistake in
pipeline.yaml would change the passes of a run in progress.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, TypeGuard

import yaml

from include.enrichment.answers.schema import TEXT_COLUMN
from include.enrichment.answers.schema.json_schema import References
from include.enrichment.runs import passes
from include.enrichment.spec.variants import CURRENT
from include.enrichment.spec.variants.files import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

_MAX_USD = 1e15


def read_setting(pipeline_yaml: Path, *path: str) -> object:
    """Return the setting at ``path``, one name per level; None if it is missing or the file cannot be read."""
    try:
        found = _document(pipeline_yaml.read_text(encoding="utf-8-sig"))
    except Exception:  # the YAML library raises all sorts of errors
        return None
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


@lru_cache(maxsize=1)  # parsing takes milliseconds, and a Dag reads the same text several times
def _document(text: str) -> object:
    return yaml.safe_load(text)


def model_names(pipeline_yaml: Path) -> list[str]:
    """Return the models that a run may use, without repeats: ``request.model``, then ``request.other_models``."""
    others = read_setting(pipeline_yaml, "request", "other_models")
    named = [read_setting(pipeline_yaml, "request", "model"), *(others if isinstance(others, list) else [])]
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))


def variant_names(pipeline_yaml: Path) -> list[str]:
    """Return the names of the variants in their order, with that of the pipeline's own settings; none without any."""
    variants = read_setting(pipeline_yaml, "variants")
    if not isinstance(variants, dict) or not variants:
        return []
    names = [name for name in variants if isinstance(name, str)]
    return names if any(not changes for changes in variants.values()) else [CURRENT, *names]


def has_tools(pipeline_yaml: Path) -> bool:
    """Return whether the pipeline names functions of tools.py."""
    return bool(read_setting(pipeline_yaml, "tools"))


def asks_first(pipeline_yaml: Path) -> bool:
    """Return whether a person approves the calls of one of the pipeline's tools."""
    tools = read_setting(pipeline_yaml, "tools")
    settings = tools.values() if isinstance(tools, dict) else ()
    return any(isinstance(one, dict) and one.get("ask_first") is True for one in settings)


def budget_ceiling(pipeline_yaml: Path) -> float | None:
    """Return the largest budget of a run: ``limits.budget_ceiling_usd``, else ``limits.budget_usd``."""
    named = (read_setting(pipeline_yaml, "limits", name) for name in ("budget_ceiling_usd", "budget_usd"))
    return next((usd for usd in named if _is_amount(usd)), None)


def _is_amount(value: object) -> TypeGuard[int | float]:
    """Return whether a form can show the amount: not True, which is an int, nor a number that JSON does not have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_USD


def column_names(folder: Path) -> list[str]:
    """
    Return the columns of the published table except for those that begin with an underscore: key, for_each, carried
    columns, output of all variants. The list is empty if a file is invalid.
    """
    source = source_column_names(folder)
    try:
        output = [name for file in (SCHEMA, *_variant_schemas(folder)) for name in _properties(folder / file)]
    except FileNotFoundError:
        output = [TEXT_COLUMN]
    except Exception:  # the file may hold anything
        return []
    return [*source, *dict.fromkeys(output)] if source else []


def _variant_schemas(folder: Path) -> list[str]:
    """Return the schemas that variants have in place of the pipeline's own."""
    variants = read_setting(folder / "pipeline.yaml", "variants")
    changes = variants.values() if isinstance(variants, dict) else ()
    return [one["schema"] for one in changes if isinstance(one, dict) and "schema" in one]


def _properties(file: Path) -> list[str]:
    schema = json.loads(file.read_text(encoding="utf-8-sig"))
    return list(References(schema).resolve(schema)["properties"])


def source_column_names(folder: Path) -> list[str]:
    """Return the columns of the published table that are not of the answer: key, for_each, carried columns."""
    paths = (("source", "key"), ("for_each",), ("source", "carry"))
    found = [read_setting(folder / "pipeline.yaml", *path) or [] for path in paths]
    names = [list(each) for each in found if isinstance(each, dict | list)]
    return [*chain(*names)] if found[0] and len(names) == len(paths) else []


def source_tables(pipeline_yaml: Path) -> list[str]:
    """
    Return the pipelines whose tables a pipeline reads, directly and through each other: ``source.table``, then the
    ``source.table`` of that one, and so on. A cycle ends with the first pipeline that occurs twice.
    """
    found: list[str] = []
    name = read_setting(pipeline_yaml, "source", "table")
    while isinstance(name, str):
        found.append(name)
        if name == pipeline_yaml.parent.name or name in found[:-1]:
            break
        name = read_setting(pipeline_yaml.parent.parent / name / pipeline_yaml.name, "source", "table")
    return found


def pass_names(pipeline_yaml: Path) -> list[str]:
    """
    Return the passes of a run in order, for example ``["canary", "main", "retry"]``.

    A missing or invalid limit counts as its default.

    :param pipeline_yaml: the file with ``limits.canary_rows`` and ``limits.retry_passes``
    """
    canary_rows = read_setting(pipeline_yaml, "limits", "canary_rows")
    retry_passes = read_setting(pipeline_yaml, "limits", "retry_passes")
    return passes.names(
        canary_rows=_limit(canary_rows, passes.DEFAULT_CANARY_ROWS, passes.MAX_CANARY_ROWS),
        retry_passes=_limit(retry_passes, passes.DEFAULT_RETRY_PASSES, passes.MAX_RETRY_PASSES),
    )


def _limit(value: object, default: int, maximum: int) -> int:
    """Return the value if it is a whole number within bounds, else the default. True is an int to Python, not here."""
    return value if type(value) is int and 0 <= value <= maximum else default
