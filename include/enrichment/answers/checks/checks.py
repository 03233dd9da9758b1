"""
All checks of a pipeline. An answer is judged from its row, itself and the checks, wherever that is needed, and no
verdict is stored with it: after a change of checks.yaml the paid answers are judged again at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from include.enrichment.answers.checks.check import ALL_COLUMNS, Check
from include.enrichment.answers.checks.formats import Format
from include.enrichment.answers.checks.kind import Answers, Kind
from include.enrichment.answers.checks.length import Items, Length
from include.enrichment.answers.checks.numbers import Numbers
from include.enrichment.answers.checks.pattern import Pattern
from include.enrichment.answers.checks.placeholders import Placeholders
from include.enrichment.answers.checks.similarity import Comparison, DiffersFrom, RowNames, Unique
from include.enrichment.answers.checks.sql_expression import SqlExpression
from include.enrichment.answers.checks.word_search import Forbidden, MustContain
from include.enrichment.answers.evidence.cited_text import CitedText
from include.enrichment.answers.evidence.grounded_fields import ungrounded_problem
from include.enrichment.answers.evidence.grounding import Grounded
from include.enrichment.answers.schema.output import Output
from include.enrichment.errors import SpecError
from include.enrichment.requests.request import encode_json
from include.enrichment.requests.template import Template

#: Longer reasons help neither Claude nor a person.
_REASON_CHARACTERS = 1_000


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """
    The verdict on one answer.

    :param reason: why it is unusable: ``check NAME: message`` for each failed check; None if it is usable
    :param complaint: the same for Claude. It does not change with the other answers, because another complaint makes
        another repair, which is billed again: if anything is wrong with the answer itself, that is all
    :param repeats: nothing is wrong with the answer itself, but it is like another one
    :param failed: the names of the failed checks
    :param warnings: the names of the failed checks that only warn
    :param grounded: the evidence of the answer, if the pipeline asks for any
    """

    reason: str | None
    complaint: str | None = None
    repeats: bool = False
    failed: Sequence[str] = ()
    warnings: Sequence[str] = ()
    grounded: Grounded | None = None


_GOOD = Verdict(reason=None)


class Grounding(Kind):
    """The values of some fields have a quote that stands in the documents; see ungrounded_problem()."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields

    def problems(self, facts: Sequence[Any], answers: Answers) -> list[str | None]:
        return [ungrounded_problem(grounded, self._fields) for grounded in answers.grounded]


class Checks:
    """
    The checks of a pipeline.

    :param names: what tells the rows apart
    :param prompt_columns: the columns that ``numbers_from: row`` stands for
    :param line: the line in the file of a check, by its position, and its kind
    :param file: the name of checks.yaml in errors

    Raises SpecError with one line for each mistake that only libraries find: in a pattern, a template, an expression.
    """

    def __init__(
        self,
        checks: Sequence[Check],
        *,
        output: Output,
        names: RowNames,
        prompt_columns: Iterable[str],
        line: Callable[[int, str], int],
        file: str,
    ) -> None:
        self._checks, self._output = checks, output
        self._kinds: list[Kind | Unique] = []
        #: The row's columns that the checks use, each with the line of the first check that does.
        self.columns: dict[str, int] = {}
        mistakes = []
        for number, check in enumerate(checks):
            at = line(number, check.kind)
            try:
                kind = _make_kind(check, output, names, sorted(prompt_columns), file=file, line=at)
            except ValueError as error:
                mistakes.append(f"{file}:{at}: {check.name}.{check.kind}: {error}")
            except SpecError as error:
                mistakes.append(str(error))
            else:
                self._kinds.append(kind)
                for column in kind.columns if isinstance(kind, Kind) else ():
                    self.columns.setdefault(column, at)
        if mistakes:
            raise SpecError("\n".join(mistakes))

    @property
    def need_rows(self) -> bool:
        """Whether any check needs facts of the row."""
        return bool(self.columns) or self.compare_answers

    @property
    def compare_answers(self) -> bool:
        """Whether any check compares an answer with others, so that its verdict depends on them."""
        return any(isinstance(kind, Unique) for kind in self._kinds)

    @property
    def need_evidence(self) -> bool:
        """Whether any check needs the evidence of the answers."""
        return any(isinstance(kind, Grounding) for kind in self._kinds)

    def as_written(self, output: str) -> str:
        """Return the answer that an output, as the result store has it, was made of."""
        return self._output.as_written(output) if isinstance(self._output, CitedText) else output

    def facts(self, row: Mapping[str, Any]) -> str:
        """
        Return what the checks need to know of a row, as JSON.

        Raises SpecError if a template fails on the row, Unsendable if its text is not valid Unicode.
        """
        return encode_json([kind.facts(row) for kind in self._kinds]).decode()

    def check_facts(self, facts: Sequence[str | None]) -> tuple[int, str] | None:
        """
        Return the first of some rows that no answer to it could be judged by: its place, and why; None if there is
        none.

        :param facts: facts() of each row; None for a row without a request
        """
        if not any(type(kind).misfit is not Kind.misfit for kind in self._kinds if isinstance(kind, Kind)):
            return None
        places = [place for place, fact in enumerate(facts) if fact is not None]
        of_rows = [msgspec.json.decode(fact) for fact in facts if fact is not None]
        for number, kind in enumerate(self._kinds):
            if isinstance(kind, Kind) and (found := kind.misfit([fact[number] for fact in of_rows])):
                place, why = found
                return places[place], why
        return None

    def new_judge(self) -> Judge:
        """Return what judges the answers of one task."""
        return Judge(self._checks, self._kinds, self._output)


class Judge:
    """Judges answers in the source order of their rows, some at once; how many makes no difference."""

    def __init__(self, checks: Sequence[Check], kinds: Sequence[Kind | Unique], output: Output) -> None:
        self._checks, self._kinds, self._output = checks, kinds, output
        self._comparisons = {number: Comparison(kind) for number, kind in enumerate(kinds) if isinstance(kind, Unique)}
        self._repeats = _describe(
            (check, kind.complaint)
            for check, kind in zip(checks, kinds, strict=True)
            if isinstance(kind, Unique) and not check.warn
        )

    def judge(
        self,
        facts: Sequence[str | None],
        outputs: Sequence[str],
        request_ids: Sequence[str | None],
        rows: Sequence[int] | None = None,
        grounded: Sequence[Grounded] | None = None,
    ) -> list[Verdict]:
        """
        Judge the next answers, all of which fit the output schema.

        :param facts: facts() of each answer's row; None if no check needs the row
        :param outputs: the answers, as the result store has them
        :param request_ids: the request of each answer's row, also if the answer is that to a repair
        :param rows: a number for each answer's row. The first of its answers that passes is the one that will be
            published. None: each row has one answer
        :param grounded: the evidence of each answer; None if the pipeline asks for none

        Raises SpecError if an expression fails on one.
        """
        nothing: list[Any] = [None] * len(self._kinds)
        of_rows = [nothing if fact is None else msgspec.json.decode(fact) for fact in facts]
        answers = Answers(texts=outputs, values=self._output.values(outputs), grounded=grounded or ())
        found: list[Sequence[str | None]] = []
        for number, kind in enumerate(self._kinds):
            of_kind = [fact[number] for fact in of_rows]
            found.append([None] * len(outputs) if isinstance(kind, Unique) else kind.problems(of_kind, answers))
        verdicts = [self._verdict(problems) for problems in zip(*found, strict=True)]
        if self._comparisons:
            self._compare(of_rows, answers, request_ids, found, verdicts, rows or range(len(outputs)))
        if grounded is None:
            return verdicts
        return [replace(verdict, grounded=each) for verdict, each in zip(verdicts, grounded, strict=True)]

    def _compare(
        self,
        of_rows: Sequence[Sequence[Any]],
        answers: Answers,
        request_ids: Sequence[str | None],
        found: Sequence[Sequence[str | None]],
        verdicts: list[Verdict],
        rows: Sequence[int],
    ) -> None:
        """
        Complete the verdicts with those of the comparisons. An answer is compared with those that will be published
        only, so the verdict on each depends on those before it.
        """
        usable = [verdict.reason is None for verdict in verdicts]
        for number, comparison in self._comparisons.items():
            comparison.read([fact[number] for fact in of_rows], answers, request_ids, usable)
        published: set[int] = set()
        for place, row in enumerate(rows):
            repeated = {number: comparison.problem(place) for number, comparison in self._comparisons.items()}
            if any(repeated.values()):
                verdicts[place] = self._verdict(
                    [repeated.get(number, problems[place]) for number, problems in enumerate(found)]
                )
            is_published = verdicts[place].reason is None and row not in published
            published.update([row] if is_published else ())
            for comparison in self._comparisons.values():
                comparison.decide(place, published=is_published)

    def _verdict(self, problems: Sequence[str | None]) -> Verdict:
        """
        :param problems: of one answer, by check
        """
        if not any(problems):
            return _GOOD
        failed = [(check, problem) for check, problem in zip(self._checks, problems, strict=True) if problem]
        serious = [(check, problem) for check, problem in failed if not check.warn]
        own = _describe((check, problem) for check, problem in serious if not check.unique)
        return Verdict(
            reason=_describe(serious) or None,
            complaint=own or (self._repeats if serious else None),
            repeats=bool(serious and not own),
            failed=[check.name for check, _ in serious],
            warnings=[check.name for check, _ in failed if check.warn],
        )


def _describe(problems: Iterable[tuple[Check, str]]) -> str:
    """Return the problems as one text; empty if there are none."""
    described = (
        f"check {check.name}: {check.message} ({problem})" if check.message else f"check {check.name}: {problem}"
        for check, problem in problems
    )
    return "; ".join(described)[:_REASON_CHARACTERS]


def _make_kind(
    check: Check, output: Output, names: RowNames, prompt_columns: Sequence[str], *, file: str, line: int
) -> Kind | Unique:
    """Raises ValueError or SpecError if a library does not accept the setting."""
    setting: Any = getattr(check, check.kind)
    make: dict[str, Callable[[], Kind | Unique]] = {
        **{unit: partial(Length, check.field, setting, unit=unit) for unit in ("characters", "words", "sentences")},
        "items": lambda: Items(check.field, setting),
        "pattern": lambda: Pattern(check.field, setting, wanted=True),
        "not_pattern": lambda: Pattern(check.field, setting, wanted=False),
        "forbidden": lambda: Forbidden(check.field, setting),
        "must_contain": lambda: MustContain(check.field, [_template(text, file=file, line=line) for text in setting]),
        "numbers_from": lambda: Numbers(check.field, prompt_columns if setting == [ALL_COLUMNS] else setting),
        "same_placeholders_as": lambda: Placeholders(check.field, setting),
        "differs_from": lambda: DiffersFrom(check.field, setting),
        "unique": lambda: Unique(check.field, setting, names),
        "language": lambda: _language(
            check.field, _template(setting, file=file, line=line), where=f"{file}:{line}: {check.name}.language"
        ),
        "format": lambda: Format(check.field, setting),
        "grounded": lambda: Grounding(setting),
        "sql": lambda: SqlExpression(setting, check.columns, output, where=f"{file}:{line}: {check.name}"),
    }
    return make[check.kind]()


def _language(fields: Sequence[str], tag: Template, *, where: str) -> Kind:
    # Not at the top: its model takes a second to load.
    from include.enrichment.answers.checks.language import Language

    return Language(fields, tag, where=where)


def _template(text: str, *, file: str, line: int) -> Template:
    """Return a template whose errors name its line in the file."""
    return Template("\n" * (line - 1) + text, file=file)
