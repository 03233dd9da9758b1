"""
A glance at a pipeline's files while Airflow parses a Dag: what gives the Dag its shape and its form. It imports next to
nothing and never fails: load_pipeline tells what is wrong with the files, when a run begins.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, TypeGuard

import yaml

from include.enrichment.answers.schema.json_schema import References
from include.enrichment.runs.passes import (
    DEFAULT_CANARY_ROWS,
    DEFAULT_RETRY_PASSES,
    MAX_CANARY_ROWS,
    MAX_RETRY_PASSES,
    names,
)

if TYPE_CHECKING:
    from pathlib import Path

_MOST_USD = 1e15


def read_setting(pipeline_yaml: Path, *below: str) -> object:
    """
    What stands in the file below these names, one within the other; None where nothing does, and for everything in a
    file that cannot be read.
    """
    try:
        found = _document(pipeline_yaml.read_text(encoding="utf-8-sig"))
    except Exception:  # whatever an odd file makes the YAML library raise
        return None
    for name in below:
        found = found.get(name) if isinstance(found, dict) else None
    return found


@lru_cache(maxsize=1)  # to parse takes milliseconds, and a Dag looks at the same text several times
def _document(text: str) -> object:
    return yaml.safe_load(text)


def model_names(pipeline_yaml: Path) -> list[str]:
    """The models that a run may ask, each once: ``request.model`` first, then ``request.other_models``."""
    others = read_setting(pipeline_yaml, "request", "other_models")
    named = [read_setting(pipeline_yaml, "request", "model"), *(others if isinstance(others, list) else [])]
    return list(dict.fromkeys(name for name in named if isinstance(name, str)))


def budget_ceiling(pipeline_yaml: Path) -> float | None:
    """The most that a run may ask for as its budget: ``limits.budget_ceiling_usd``, else ``limits.budget_usd``."""
    named = (read_setting(pipeline_yaml, "limits", name) for name in ("budget_ceiling_usd", "budget_usd"))
    return next((usd for usd in named if _is_amount(usd)), None)


def column_names(folder: Path) -> list[str]:
    """
    The key and the properties of the output of the pipeline in ``folder``; none where its files do not say.
    """
    key = read_setting(folder / "pipeline.yaml", "source", "key")
    try:
        schema = json.loads((folder / "output.schema.json").read_text(encoding="utf-8-sig"))
        properties = list(References(schema).resolve(schema)["properties"])
    except Exception:  # whatever is odd in it
        return []
    return [*key, *properties] if isinstance(key, dict | list) else []


def _is_amount(value: object) -> TypeGuard[int | float]:
    """Whether it is what a form can be told: neither True, which is an int, nor what JSON has no number for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST_USD


def pass_names(pipeline_yaml: Path) -> list[str]:
    """
    The passes of a run in their order, such as ``["canary", "main", "retry"]``, or ``["main", "retry_1", "retry_2"]``.

    A limit that is missing or is not a whole number within its bounds counts as its default, as does everything in a
    file that cannot be read: it gives the Dag a shape and nothing else.

    :param pipeline_yaml: the file; ``limits.canary_rows`` and ``limits.retry_passes`` in it decide
    """
    canary_rows = _whole(read_setting(pipeline_yaml, "limits", "canary_rows"), DEFAULT_CANARY_ROWS, MAX_CANARY_ROWS)
    retry_passes = _whole(read_setting(pipeline_yaml, "limits", "retry_passes"), DEFAULT_RETRY_PASSES, MAX_RETRY_PASSES)
    return names(canary_rows=canary_rows, retry_passes=retry_passes)


def _whole(value: object, default: int, most: int) -> int:
    """The value, if it is what the setting may be; ``True`` is none, although Python counts it among the integers."""
    return value if type(value) is int and 0 <= value <= most else default
