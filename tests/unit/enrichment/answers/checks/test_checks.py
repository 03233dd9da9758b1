from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from include.enrichment.answers.checks.check import KINDS, Check
from include.enrichment.answers.checks.checks import Checks, Verdict
from include.enrichment.answers.checks.similarity import RowNames
from include.enrichment.answers.schema.output_schema import OutputSchema
from include.enrichment.errors import SpecError
from include.enrichment.requests.request import Unsendable

OUTPUT = OutputSchema(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["title"],
        "properties": {"title": {"type": "string", "description": "x"}},
    }
)


def checks(*settings: dict[str, Any]) -> Checks:
    read = [
        Check.model_validate({"name": f"c{number}", **({} if "sql" in one else {"field": "title"}), **one})
        for number, one in enumerate(settings, start=1)
    ]
    return Checks(
        read,
        output=OUTPUT,
        names=RowNames(key=["sku"]),
        prompt_columns=["size"],
        line=lambda number, _: number + 1,
        file="tickets/checks.yaml",
    )


def test_a_row_whose_text_is_not_unicode_cannot_be_sent() -> None:
    with pytest.raises(Unsendable, match="not valid Unicode"):
        checks({"must_contain": ["{{ sku }}"]}).facts({"sku": "\ud800"})


def judge(found: Checks, facts: Sequence[str | None], outputs: Sequence[str]) -> list[Verdict]:
    return found.new_judge().judge(facts, outputs, [f"request-{number}" for number in range(len(outputs))])


def titles(*texts: str) -> Sequence[str]:
    return [f'{{"title": "{text}"}}' for text in texts]


def test_every_kind_judges_a_row_and_its_answer() -> None:
    settings: dict[str, Any] = {
        "characters": {"max": 3},
        "words": {"max": 0},
        "sentences": {"min": 2},
        "items": {"max": 1},
        "pattern": "^x",
        "not_pattern": "^a",
        "forbidden": ["a"],
        "must_contain": ["{{ sku }}"],
        "numbers_from": ["size"],
        "same_placeholders_as": "source",
        "differs_from": {"column": "copied", "at_most": 0.5},
        "unique": "rows",
        "language": "de",
        "format": "url",
        "sql": "length(output.title) > 99",
    }
    assert settings.keys() == set(KINDS) - {"grounded"}  # which needs evidence: test_grounded_check.py
    found = checks(*({kind: setting} for kind, setting in settings.items()))
    assert found.columns == {"sku": 8, "size": 9, "source": 10, "copied": 11}
    text = "a sturdy bottle of 6 litres that keeps all of your drinks cold for hours"
    facts = found.facts({"sku": "S1", "size": 5, "source": "{n}", "copied": text})
    other = found.facts({"sku": "S2", "size": 5, "source": "{n}", "copied": text})
    first, verdict = judge(found, [facts, other], titles(text, text))
    assert list(first.failed) == [f"c{number}" for number in range(1, 16) if number not in (4, 12)]
    assert list(verdict.failed) == list(first.failed)


def test_the_reason_has_every_failed_check_with_its_message() -> None:
    found = checks({"characters": {"max": 3}, "message": "Keep it short."}, {"pattern": "^x"}, {"words": {"min": 1}})
    (verdict,) = judge(found, [None], titles("abcd"))
    assert verdict.reason == (
        "check c1: Keep it short. (title has 4 characters; at most 3 are allowed); check c2: title does not match '^x'"
    )
    assert verdict.failed == ["c1", "c2"]


def test_the_complaint_about_a_text_that_repeats_another_names_no_other_row() -> None:
    found = checks({"unique": "rows"}, {"unique": "rows", "warn": True})
    facts = [found.facts({"sku": sku}) for sku in ("S1", "S2")]
    first, second = judge(found, facts, titles("a sturdy bottle", "a sturdy bottle"))
    assert (first.reason, first.complaint, first.repeats) == (None, None, False)
    assert second.reason == "check c1: title is 100 % the same as that of sku=S1; at most 90 % is allowed"
    assert second.complaint == "check c1: title is nearly the same as that of another row; at most 90 % is allowed"
    assert second.repeats


def test_the_complaint_stays_the_same_when_other_answers_come_so_that_no_repair_is_billed_twice() -> None:
    found = checks({"unique": "rows"}, {"pattern": "^x"})
    facts = [found.facts({"sku": sku}) for sku in ("S1", "S2")]
    (alone,) = judge(found, facts[1:], titles("a sturdy bottle"))
    _, beside = judge(found, facts, titles("x a sturdy bottle", "a sturdy bottle"))
    assert (alone.failed, beside.failed) == (["c2"], ["c1", "c2"])
    assert alone.complaint == beside.complaint == "check c2: title does not match '^x'"
    assert not alone.repeats
    assert not beside.repeats


def test_the_complaint_is_the_same_whichever_text_of_an_answer_repeats_another() -> None:
    check = Check.model_validate({"name": "c", "field": ["title", "text"], "unique": "rows"})
    output = OutputSchema(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["title", "text"],
            "properties": {name: {"type": "string", "description": "x"} for name in ("title", "text")},
        }
    )
    found = Checks(
        [check], output=output, names=RowNames(key=["sku"]), prompt_columns=[], line=lambda *_: 1, file="checks.yaml"
    )
    answers = ['{"title": "a", "text": "b"}', '{"title": "a", "text": "c"}', '{"title": "d", "text": "b"}']
    _, *verdicts = judge(found, [found.facts({"sku": number}) for number in range(3)], answers)
    assert [str(verdict.reason).split(" is ")[0] for verdict in verdicts] == ["check c: title", "check c: text"]
    assert {verdict.complaint for verdict in verdicts} == {
        "check c: title or text is nearly the same as that of another row; at most 90 % is allowed"
    }


def test_a_check_that_warns_does_not_make_an_answer_unusable() -> None:
    found = checks({"characters": {"max": 3}, "warn": True}, {"pattern": "^a"})
    good, warned, bad = judge(found, [None] * 3, titles("a", "abcd", "bbbb"))
    assert (good.reason, good.warnings) == (None, ())
    assert (warned.reason, warned.warnings) == (None, ["c1"])
    assert (bad.failed, bad.warnings) == (["c2"], ["c1"])


def test_numbers_from_row_are_those_of_the_prompts() -> None:
    found = checks({"numbers_from": "row"})
    assert found.columns == {"size": 1}
    assert [one.reason for one in judge(found, [found.facts({"size": 5, "other": 6})] * 2, titles("5", "6"))] == [
        None,
        "check c1: title contains 6, which the row does not have",
    ]


def test_checks_without_columns_need_no_rows() -> None:
    assert not checks({"pattern": "a"}).need_rows
    assert checks({"must_contain": ["{{ sku }}"]}).need_rows


def test_every_mistake_is_told_with_its_line() -> None:
    with pytest.raises(SpecError) as caught:
        checks({"pattern": "("}, {"must_contain": ["{{ }"]}, {"pattern": "a"}, {"sql": "1"})
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("tickets/checks.yaml:1: c1.pattern: is not")
    assert second.startswith("tickets/checks.yaml:2: ")
    assert third == "tickets/checks.yaml:4: c4.sql: must be true or false, but is INTEGER"


def test_a_very_long_reason_is_cut() -> None:
    (verdict,) = judge(checks({"pattern": "^x", "message": "m" * 5_000}), [None], titles("a"))
    assert len(verdict.reason or "") == 1_000
