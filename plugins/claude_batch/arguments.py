"""The checks of the arguments of enrich() and the operators, made when a Dag file is parsed."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from include.enrichment.errors import SpecError


class _Rule(NamedTuple):
    fits: Callable[[Any], bool]
    expected: str
    example: str


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_connection(conn_id: str) -> _Rule:
    return _Rule(_is_name, "the id of an Airflow connection", repr(conn_id))


#: By argument name: an argument means the same in every operator.
_RULES = {
    "pipeline": _Rule(_is_name, "the name of a folder in include/pipelines", "'catalogue'"),
    "partition": _Rule(lambda value: value is None or _is_name(value), "a day or a template, or None", "'2026-11-21'"),
    "aws_conn_id": _is_connection("aws_default"),
    "anthropic_conn_id": _is_connection("anthropic_default"),
    "deferrable": _Rule(_is_bool, "True or False", "True"),
    "cancel_on_kill": _Rule(_is_bool, "True or False", "False"),
    "poke_interval": _Rule(
        lambda value: isinstance(value, int | float) and not _is_bool(value) and value > 0,
        "a number of seconds above 0",
        "60",
    ),
    "pool": _Rule(_is_name, "the name of an Airflow pool", "'claude_batches'"),
    "source_ready_after": _Rule(
        lambda value: value is None or (isinstance(value, timedelta) and value >= timedelta()),
        "a timedelta of 0 or more, or None",
        "timedelta(hours=2)",
    ),
    "answer_within": _Rule(
        lambda value: isinstance(value, timedelta) and value > timedelta(),
        "a timedelta above 0",
        "timedelta(hours=12)",
    ),
    "asks_person": _Rule(_is_bool, "True or False", "True"),
    "pass_name": _Rule(
        lambda value: isinstance(value, str) and bool(re.fullmatch(r"canary|main|retry(_\d)?", value)),
        "'canary', 'main', 'retry' or 'retry_<number>'",
        "'main'",
    ),
    "column": _Rule(_is_name, "a column of the pipeline's table", "'category'"),
}


def check_arguments(owner: str, **arguments: object) -> None:
    """
    Raise SpecError for the first argument with a wrong type or value. The message has its name, value and an example.

    :param owner: the function or class with these arguments
    """
    for name, value in arguments.items():
        rule = _RULES[name]
        if not rule.fits(value):
            raise SpecError(f"{owner}: {name} must be {rule.expected}, got {value!r}. Example: {name}={rule.example}")
