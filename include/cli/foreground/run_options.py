"""The fields of the trigger form, as `make run` reads them from the environment."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from pydantic import ValidationError

from include.enrichment.errors import ParamError
from include.enrichment.runs.options import RunOptions

#: For each field of the trigger form, the variable that `make run` reads, and its valid values.
OPTIONS = {
    "rows": ("ROWS", "a whole number, 1 or more"),
    "dry_run": ("DRY_RUN", "1 or 0"),
    "budget_usd": ("BUDGET", "an amount in US dollars, 0 or more"),
    "model": ("MODEL", "the name of a model"),
    "reuse": ("REUSE", "1 or 0"),
    "variants": ("VARIANTS", "names of variants, with commas between them"),
    "urgent": ("URGENT", "1 or 0"),
    "deadline": ("DEADLINE", "a time such as 05:30, 05:30 Europe/Berlin or 2026-12-01T05:30+01:00"),
    "only_rejects": ("ONLY_REJECTS", "1 or 0"),
}


def read_options(environment: Mapping[str, str]) -> RunOptions:
    """Read the fields of the trigger form from the environment. Raises ParamError, which names every invalid one."""
    texts = {field: environment[variable] for field, (variable, _) in OPTIONS.items() if environment.get(variable)}
    variants = [name.strip() for name in texts.pop("variants", "").split(",")]
    try:
        options = RunOptions.model_validate_strings(texts, strict=False)
        return RunOptions.model_validate(options.model_dump() | {"variants": [*filter(None, variants)]})
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            variable, valid = OPTIONS[str(problem["loc"][0])]
            problems.append(f"{variable} is {problem['input']!r}. It must be {valid}.")
        raise ParamError("\n".join(problems)) from None


def format_options(options: RunOptions) -> str:
    """Return the options as they are typed, e.g. `ROWS=10 DRY_RUN=1`; empty if there are none."""
    given = options.model_dump(exclude_defaults=True)
    return " ".join(f"{OPTIONS[field][0]}={_typed(value)}" for field, value in given.items())


def _typed(value: object) -> object:
    if isinstance(value, str):
        return shlex.quote(value)
    return int(value) if isinstance(value, bool) else ",".join(value) if isinstance(value, list) else value
