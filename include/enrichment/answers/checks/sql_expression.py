"""A SQL expression over an answer and its row, for whatever the other kinds cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from include.enrichment.answers.checks.kind import Answers, Kind, text_of
from include.enrichment.answers.schema.output import Output
from include.enrichment.errors import SpecError
from include.enrichment.requests.row_expression import connect, describe_error, expression_problems


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
        self._connection = connect()
        try:
            kind = self._run([], []).description[1][1]
        except duckdb.Error as error:
            raise ValueError(describe_error(error)) from error
        if kind != "BOOLEAN":
            raise ValueError(f"must be true or false, but is {kind}")

    def facts(self, row: Mapping[str, Any]) -> list[str | None]:
        return [text_of(row, name) for name in self.columns]

    def problems(self, facts: Sequence[Any], answers: Answers) -> list[str | None]:
        try:
            passed = dict(self._run(facts, answers.texts).fetchall())
        except duckdb.Error as error:
            raise SpecError(
                f"{self._where}: the expression fails on an answer: {describe_error(error)}. Nothing was published."
                " Correct it and start a new run; no answer is billed again."
            ) from error
        return [
            f"is not as required: {self._expression}" if passed.get(number) is False else None
            for number in range(len(answers.texts))
        ]

    def _query(self) -> str:
        names = (name.replace('"', '""') for name in self.columns)
        packed = ", ".join(
            f'"{name}" := cast(source_{number} as {kind})'
            for number, (name, kind) in enumerate(zip(names, self._types.values(), strict=True))
        )
        source = f", struct_pack({packed}) as source" if packed else ""
        return (
            f"select number, ({self._expression}\n) from (select number, output{source} from answers) order by number"
        )

    def _run(self, facts: Sequence[Sequence[str | None]], texts: Sequence[str]) -> duckdb.DuckDBPyConnection:
        fields = self._output.fields
        outputs = pa.StructArray.from_arrays(self._output.columns(texts), fields=fields)
        columns = {"number": pa.array(range(len(texts)), pa.int64()), "output": outputs}
        for number in range(len(self.columns)):
            columns[f"source_{number}"] = pa.array([fact[number] for fact in facts], pa.string())
        self._connection.register("answers", pa.table(columns))
        return self._connection.execute(self._query())
