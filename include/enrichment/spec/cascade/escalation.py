"""
The cascade (``request.escalate``): doubtful answers of a cheap model are asked for again from a dearer one.

An escalated request is the row's own request with another model, so prompt, schema and attachments stay the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import msgspec
import pyarrow as pa

from include.enrichment.answers.schema.output import Output
from include.enrichment.errors import SpecError, nearest
from include.enrichment.requests.request import Request, encode_params, make_request
from include.enrichment.requests.row_expression import columns_in, connect, describe_error, type_of, unknown_columns
from include.enrichment.spec.variants.settings import Escalation, RequestSettings

if TYPE_CHECKING:
    from types import TracebackType

    from include.enrichment.spec.pipeline import Pipeline


def escalated_request(request: Request, *, to: str) -> Request:
    """
    Return the same request to the model ``to``.

    The id depends on the first one's, so two samples, or two runs that share no answers, share no escalated request.

    Raises Unsendable if it would be too large.
    """
    params = msgspec.json.decode(request.params, type=dict[str, msgspec.Raw])
    return make_request(encode_params({**params, "model": to}), salt=request.request_id)


@dataclass(frozen=True, kw_only=True)
class Group:
    """
    Requests of one model, one cached prefix and one schema.

    :param variant: that they are sent for; empty without variants
    :param pipeline: of that variant, with the settings of these requests
    :param escalation: None: the first requests, and their repairs
    """

    variant: str
    pipeline: Pipeline
    escalation: Escalation | None = None


def request_groups(pipeline: Pipeline) -> dict[str, Group]:
    """
    Return the groups of a pipeline's requests by name: each variant, which has its own name, and its escalated
    requests, which no variant can be named like.
    """
    groups: dict[str, Group] = {}
    for name, one in pipeline.by_variant.items():
        groups[name] = Group(variant=name, pipeline=one)
        if escalation := one.settings.request.escalation:
            request = one.settings.request.model_copy(update={"model": escalation.to, "escalate": None})
            dearer = one.model_copy(update={"settings": one.settings.model_copy(update={"request": request})})
            groups[f"{name} to {escalation.to}".strip()] = Group(variant=name, pipeline=dearer, escalation=escalation)
    return groups


def models_of(requests: Iterable[RequestSettings]) -> list[str]:
    """Return the distinct models that are asked, each before the one it escalates to."""
    named = ((one.model, *([one.escalation.to] if one.escalation else [])) for one in requests)
    return list(dict.fromkeys(model for models in named for model in models))


def condition_problems(when: str, output: Output) -> Iterator[str]:
    """Yield why ``escalate.when`` is no condition over the columns of the output. It is one SQL expression."""
    names = [field.name for field in output.fields]
    unknown = unknown_columns(when, names)
    for name in unknown:
        yield f"the output has no column {name!r}{nearest(name, names) or '.'} It has: {', '.join(names)}"
    if not unknown:
        try:
            kind = type_of(when, _read_by(when, output))
        except ValueError as error:
            yield str(error)
        else:
            if kind != "BOOLEAN":
                yield f"is {kind}, not a condition: write a comparison"


def _read_by(when: str, output: Output) -> pa.Schema:
    read = columns_in(when, [field.name for field in output.fields])
    return pa.schema([field for field in output.fields if field.name in read])


class Doubt:
    """
    Tells which answers are doubtful. A context manager. Only the condition is SQL: answers are data.

    :param when: the condition, without problems
    :param location: its file, line and setting, for errors
    """

    def __init__(self, when: str, output: Output, *, location: str) -> None:
        self._when, self._output, self._location = when, output, location
        self._read = _read_by(when, output).names

    def __enter__(self) -> Self:
        self._closing = closing(connect())
        self._database = self._closing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    def of(self, outputs: Sequence[str]) -> list[bool]:
        """
        Return for each answer whether the condition is true. NULL is not true.

        Raises SpecError if the condition fails on an answer.
        """
        import duckdb  # most pipelines have no condition

        names = [field.name for field in self._output.fields]
        table = pa.table(dict(zip(names, self._output.columns(outputs), strict=True))).select(self._read)
        if not self._read:  # a constant: DuckDB needs a column to know the number of rows
            table = pa.table({"": pa.nulls(len(outputs), pa.bool_())})
        try:
            found = self._database.from_arrow(table).project(f"(\n{self._when}\n) is true").fetchall()
        except duckdb.Error as error:
            raise SpecError(
                f"{self._location}: fails on an answer: {describe_error(error)}. Nothing was sent. Write the condition"
                " for all values, for example with try_cast, and start a new run; no answer is billed again."
            ) from error
        return [doubtful for (doubtful,) in found]
