"""The fields of the trigger form, as `make run` takes them from the environment."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from include.enrichment.runs.options import RunOptions

#: The fields of the trigger form, and the variables that `make run` takes them from.
OPTIONS = {
    "rows": "ROWS",
    "dry_run": "DRY_RUN",
    "budget_usd": "BUDGET",
    "model": "MODEL",
    "reuse": "REUSE",
    "only_rejects": "ONLY_REJECTS",
}


class BadArgument(Exception):
    """The pipeline does not exist, the partition is not a date, or an option is invalid."""


def typed_options(environment: Mapping[str, str]) -> RunOptions:
    """The fields of the trigger form, as the environment has them. Raises BadArgument."""
    texts = {field: environment[variable] for field, variable in OPTIONS.items() if environment.get(variable)}
    try:
        return RunOptions.model_validate_strings(texts, strict=False)
    except ValidationError as error:
        mistakes = [
            f"{OPTIONS[str(problem['loc'][0])]} is {problem['input']!r}: it"
            f" {problem['msg'].partition(',')[0].removeprefix('Input ')}."
            for problem in error.errors()
        ]
        raise BadArgument("\n".join(mistakes)) from None


def spell(options: RunOptions) -> str:
    """The options as they are typed, `ROWS=10 DRY_RUN=1`; empty where there are none."""
    given = options.model_dump(exclude_defaults=True)
    return " ".join(
        f"{OPTIONS[field]}={int(value) if isinstance(value, bool) else value}" for field, value in given.items()
    )
