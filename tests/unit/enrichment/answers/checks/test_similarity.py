from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.answers.checks.check import Check, Difference
from include.enrichment.answers.checks.kind import Answers
from include.enrichment.answers.checks.similarity import Comparison, DiffersFrom, RowNames, Unique

SOURCE = "A robust bottle that keeps drinks cold for twelve hours."


def problem(text: str, source: str | None = SOURCE, at_most: float = 0.9) -> str | None:
    check = DiffersFrom(["text"], Difference(column="source", at_most=at_most))
    return check.problem(text, check.facts({"source": source}))


@pytest.mark.parametrize("text", [SOURCE, SOURCE.upper(), f"  {SOURCE}\n", SOURCE.replace("cold", "cool")])
def test_a_text_that_nearly_repeats_the_source_fails(text: str) -> None:
    assert "% the same as source; at most 90 % is allowed" in (problem(text) or "")


def test_a_text_of_its_own_passes() -> None:
    assert problem("Cold drinks all day: this flask takes every knock.") is None
    assert problem(SOURCE, source=None) is None
    assert problem(SOURCE, source="") is None


def test_the_limit_is_a_setting() -> None:
    changed = SOURCE.replace("twelve hours", "a day")
    assert problem(changed, at_most=0.95) is None
    assert problem(changed, at_most=0.7) is not None


def test_a_column_alone_has_the_default_limit() -> None:
    check = Check.model_validate({"name": "a", "field": "text", "differs_from": "source"})
    assert check.differs_from == Difference(column="source", at_most=0.9)


TEXT = "a sturdy steel bottle with two walls that keeps your drinks cold for twelve hours and more"
NEAR = TEXT.replace("two", "2")
NAMES = RowNames(key=["sku"], for_each=["locale"], sample="_sample")


class Rows:
    """Answers of rows in source order, as one judge sees them."""

    def __init__(self, setting: object, field: str = "title") -> None:
        check = Check.model_validate({"name": "c", "field": field, "unique": setting})
        assert check.unique
        self.check = Unique(check.field, check.unique, NAMES)
        self.comparison = Comparison(self.check)
        self.problems: list[str | None] = []

    def judge(self, *answers: dict[str, Any]) -> list[str | None]:
        """The problem of each answer: its title, with what is not usual of it."""
        usual: dict[str, Any] = {"locale": "de", "_sample": 1, "usable": True}
        rows = [
            usual | {"sku": number, "request": f"r{number}"} | dict(one) for number, one in enumerate(answers, start=1)
        ]
        facts = [self.check.facts(row) for row in rows]
        values = Answers(texts=[""] * len(rows), values=[{"title": row["title"]} for row in rows])
        self.comparison.read(facts, values, [row["request"] for row in rows], [row["usable"] for row in rows])
        for number, row in enumerate(rows):
            problem = self.comparison.problem(number)
            self.comparison.decide(number, published=row["usable"] and problem is None)
            self.problems.append(problem)
        return self.problems


def test_of_two_texts_that_are_alike_the_later_fails_with_the_key_of_the_earlier() -> None:
    assert Rows("rows").judge({"title": TEXT}, {"title": "something else"}, {"title": NEAR}) == [
        None,
        None,
        "title is 97 % the same as that of sku=1; at most 90 % is allowed",
    ]


def test_case_white_space_and_composition_make_no_text_unique() -> None:
    assert Rows("rows").judge({"title": "Café  Noir"}, {"title": "CAFE\u0301 NOIR"})[1] == (
        "title is 100 % the same as that of sku=1; at most 90 % is allowed"
    )


def test_a_similarity_at_the_limit_is_allowed_and_another_limit_may_be_set() -> None:
    assert Rows({"among": "rows", "at_most": 0.98}).judge({"title": TEXT}, {"title": NEAR}) == [None, None]
    assert Rows({"among": "rows", "at_most": 0.95}).judge({"title": TEXT}, {"title": NEAR})[1]


def test_only_rows_with_the_same_values_of_for_each_are_compared() -> None:
    assert Rows("rows").judge({"title": TEXT}, {"title": TEXT, "locale": "fr"}) == [None, None]


def test_rows_that_share_a_request_are_not_compared() -> None:
    assert Rows("rows").judge(*[{"title": TEXT, "request": "r"}] * 2, {"title": TEXT})[1:] == [
        None,
        "title is 100 % the same as that of sku=1; at most 90 % is allowed",
    ]


def test_an_answer_that_will_not_be_published_is_repeated_by_none() -> None:
    assert Rows("rows").judge({"title": TEXT, "usable": False}, {"title": TEXT}, {"title": TEXT}) == [
        None,
        None,
        "title is 100 % the same as that of sku=2; at most 90 % is allowed",
    ]


def test_the_most_similar_text_is_named() -> None:
    far = TEXT.replace("more", "a")
    assert "sku=2;" in (
        Rows({"among": "rows", "at_most": 0.98}).judge({"title": far}, {"title": TEXT}, {"title": TEXT})[2] or ""
    )


def test_an_empty_text_repeats_none() -> None:
    assert Rows("rows").judge({"title": " "}, {"title": ""}, {"title": None}, {"title": None}) == [None] * 4


def test_each_item_of_a_list_is_compared_with_those_of_other_rows() -> None:
    assert Rows("rows").judge({"title": ["one thing", "one thing"]}, {"title": ["another", "one thing"]}) == [
        None,
        "title is 100 % the same as that of sku=1; at most 90 % is allowed",
    ]


def test_samples_of_one_row_are_compared_with_each_other_only() -> None:
    samples = [
        {"title": title, "sku": 1, "_sample": number, "request": f"r{number}"}
        for number, title in enumerate([TEXT, "b", NEAR], 1)
    ]
    rows = Rows("samples")
    assert rows.judge(*samples) == [None, None, "title is 97 % the same as that of sample 1; at most 90 % is allowed"]
    assert Rows("samples").judge({"title": TEXT}, {"title": TEXT}) == [None, None]
    assert Rows("rows").judge(*samples) == [None] * 3


def test_the_comparison_goes_on_with_the_next_answers() -> None:
    rows = Rows("rows")
    rows.judge({"title": TEXT})
    assert rows.judge({"title": NEAR, "sku": 9, "request": "r9"})[1]


def test_samples_cannot_be_compared_if_there_is_one() -> None:
    check = Check.model_validate({"name": "c", "field": "t", "unique": "samples"})
    assert check.unique
    with pytest.raises(ValueError, match=r"each row has one sample: raise `samples` in pipeline.yaml"):
        Unique(check.field, check.unique, RowNames(key=["sku"]))
