"""A SQL expression over an answer and its row, for whatever the other kinds cannot say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from include.enrichment.answers.checks.kind import Answers, Kind, text_of
from include.enrichment.answers.schema.output import Output
from include.enrichment.errors import SpecError
from include.enrichment.requests.conversion import to_prompt_value
from include.enrichment.requests.json_text import to_json
from include.enrichment.requests.prompt_values import UnsupportedValue
from include.enrichment.requests.row_expression import connect, describe_error, expression_problems

#: DuckDB's names of the types that hold other values.
_NESTED = ("list", "array", "struct", "map", "union")
_UNKNOWN_NAME = re.compile(r"Referenced (column|table) .* not found")


class SqlExpression(Kind):
    """
    A boolean expression of DuckDB. An answer fails if it is false; true and null pass, as in a CHECK of SQL.

    It sees the answer as the struct ``output``, typed as in the published table, and the row as the struct ``source``.
    It sees no other answer and no clock, so that the verdict is the same whenever it is judged.

    :param columns: the row's columns in ``source``, each with its DuckDB type
    :param where: file and line, for errors

    Raises ValueError if DuckDB does not accept it.
    """

    def __init__(self, expression: str, columns: Mapping[str, str], output: Output, *, where: str) -> None:
        self.columns = list(columns)
        self._expression, self._types, self._output, self._where = expression, columns, output, where
        if mistakes := [fact for _, fact in expression_problems(expression)]:
            raise ValueError("; ".join(mistakes))
        # Opening it takes longer than judging thousands of answers. It is closed with this object.
        self._connection = connect()
        try:
            self._casts = [f"cast({self._readable(kind)} as {kind})" for kind in columns.values()]
            (_, kind), _ = self._run(self._query(), self._answers([], []))
        except duckdb.Error as error:
            raise ValueError(f"{describe_error(error)}{self._advice(error)}") from error
        if kind != "BOOLEAN":
            raise ValueError(f"must be true or false, but is {kind}")

    def facts(self, row: Mapping[str, Any]) -> list[str | None]:
        return [_cast_text(row, name) for name in self.columns]

    def misfit(self, facts: Sequence[Any]) -> tuple[int, str] | None:
        for number, (name, cast) in enumerate(zip(self.columns, self._casts, strict=True)):
            texts = [fact[number] for fact in facts]
            if not self._fit(texts, cast):
                place = next(place for place, text in enumerate(texts) if not self._fit([text], cast))
                return place, (
                    f"{self._where}.columns: {name!r} has {texts[place][:100]!r}, which is not {self._types[name]}."
                    " Nothing was sent. Name another type, or cast the column in extract.sql or the export."
                )
        return None

    def problems(self, facts: Sequence[Any], answers: Answers) -> list[str | None]:
        try:
            _, found = self._run(self._query(), self._answers(facts, answers.texts))
        except duckdb.Error as error:
            raise SpecError(
                f"{self._where}: the expression fails on an answer: {describe_error(error)}. Nothing was published."
                " Correct it and start a new run; no answer is billed again."
            ) from error
        passed = dict(found)
        return [
            f"is not as required: {self._expression}" if passed.get(number) is False else None
            for number in range(len(answers.texts))
        ]

    def _fit(self, texts: Sequence[str | None], cast: str) -> bool:
        try:
            self._run(f"select count({cast.format('t')}) from answers", pa.table({"t": pa.array(texts, pa.string())}))
        except duckdb.ConversionException:
            return False
        return True

    def _readable(self, kind: str) -> str:
        """What is cast to a type: a list or an object comes as JSON, whose escapes only DuckDB's JSON knows."""
        (described,), _ = self._run(f"select null::{kind} from answers", pa.table({"place": _places([])}))
        return "{}::json" if described.id in _NESTED else "{}"

    def _advice(self, error: duckdb.Error) -> str:
        if not isinstance(error, duckdb.BinderException) or not _UNKNOWN_NAME.search(str(error)):
            return ""
        return (
            ". A field of the answer is output.NAME, and a column of the row is source.NAME, once `columns` names it"
            " with its type, as in `columns: {price: double}`"
        )

    def _query(self) -> str:
        names = (name.replace('"', '""') for name in self.columns)
        packed = ", ".join(
            f'"{name}" := {cast.format(f"source_{number}")}'
            for number, (name, cast) in enumerate(zip(names, self._casts, strict=True))
        )
        source = f", struct_pack({packed}) as source" if packed else ""
        return f"select place, ({self._expression}\n) from (select place, output{source} from answers) order by place"

    def _answers(self, facts: Sequence[Sequence[str | None]], texts: Sequence[str]) -> pa.Table:
        outputs = pa.StructArray.from_arrays(self._output.columns(texts), fields=self._output.fields)
        columns = {"place": _places(texts), "output": outputs}
        for number in range(len(self.columns)):
            columns[f"source_{number}"] = pa.array([fact[number] for fact in facts], pa.string())
        return pa.table(columns)

    def _run(self, query: str, answers: pa.Table) -> tuple[list[Any], list[Any]]:
        """The types of the query's columns, and its rows."""
        self._connection.register("answers", answers)
        try:
            found = self._connection.execute(query)
            return [column[1] for column in found.description], found.fetchall()
        finally:
            self._connection.unregister("answers")  # it would stay in memory


def _places(items: Sequence[Any]) -> pa.Array:
    return pa.array(range(len(items)), pa.int64())


def _cast_text(row: Mapping[str, Any], column: str) -> str | None:
    """The text of a row's value that DuckDB can cast: JSON for a list or an object."""
    value = row[column]
    if not isinstance(value, Mapping | list | tuple):
        return text_of(row, column)
    try:
        return to_json(to_prompt_value(value))
    except UnsupportedValue as error:
        raise SpecError(f"A check uses the column {column!r}: {error}. Nothing was sent.") from error
