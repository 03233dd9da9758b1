"""A SQL expression over the row and its answer, for what the other graders cannot express."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Annotated

import duckdb
import pyarrow as pa
from pydantic import AfterValidator, Field

from include.enrichment.errors import SpecError, nearest_of, sentence
from include.enrichment.requests.row_expression import (
    columns_in,
    connect,
    describe_error,
    expression_problems,
    unknown_columns,
)
from include.evaluation.graders.grader import RIGHT, Gradable, Grader, scored, unscored, wrong
from include.evaluation.scores import Grade

#: The column with the order of the rows. No column that an expression may read has such a name.
_PLACE = " place"


def _checked(expression: str) -> str:
    if facts := [fact for _, fact in expression_problems(expression)]:
        raise ValueError("; ".join(facts))
    return expression


class Sql(Grader):
    """
    An expression of DuckDB over the columns of the published table. It sees no other row and no clock.

    :param expression: true, false, or a score from 0 to 1; NULL leaves an answer unscored
    """

    needs_expected = False
    needs_field = False
    main_option = "expression"
    expression: Annotated[str, Field(min_length=1), AfterValidator(_checked)]

    def option_problems(self, columns: Collection[str]) -> Iterator[str]:
        """Yield each name in the expression that is no column of the table."""
        for name in unknown_columns(self.expression, columns):
            yield f"the table has no column {name!r}{nearest_of(name, columns)}"

    def grade_all(self, answers: Gradable) -> list[Grade]:
        """Return the value of the expression for each answer."""
        names = answers.rows.column_names
        for fact in self.option_problems(names):
            raise self._error(fact)
        used = answers.rows.select(columns_in(self.expression, names))
        rows = used.append_column(_PLACE, pa.array(range(len(used)), pa.int64()))
        query = f'select cast(({self.expression}\n) as double) from rows order by "{_PLACE}"'
        with closing(connect()) as database:
            try:
                database.register("rows", rows)
                values = [value for (value,) in database.execute(query).fetchall()]
            except duckdb.Error as error:
                raise self._error(describe_error(error)) from error
        return [self._grade(value) for value in values]

    def _grade(self, value: float | None) -> Grade:
        if value is None:
            return unscored("the expression is NULL")
        if not 0 <= value <= 1:
            raise self._error(f"gives {value:g}, but a score is from 0 to 1")
        return RIGHT if value == 1 else scored(value, f"is {value:.3g}") if value else wrong("is false")

    def _error(self, fact: str) -> SpecError:
        return SpecError(
            f"The grader `sql: {self.expression}`: {sentence(fact)} Nothing was evaluated. Correct evaluation.yaml and"
            " evaluate again; no answer is billed again."
        )
