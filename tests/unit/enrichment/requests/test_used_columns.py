"""used_columns.py: the columns that a pipeline uses, against those of its source."""

from __future__ import annotations

from include.enrichment.requests.template import Template
from include.enrichment.requests.used_columns import prefix_problems, unknown_columns

PROMPT = Template("{{ body }}\n{{ locale }} {{ bodi }}", file="t/user.md")


def test_each_use_of_an_unknown_column_has_its_place_and_the_nearest_name() -> None:
    lines = unknown_columns(
        ["body", "tone"],
        prompts=[PROMPT],
        for_each={"locale": "t/pipeline.yaml:7: for_each.locale", "tone": "t/pipeline.yaml:8: for_each.tone"},
        settings=[("t/pipeline.yaml:3: source.key", "locale"), ("t/pipeline.yaml:4: source.carry", "body")],
        checks=[("t/checks.yaml:1", "locale"), ("t/checks.yaml:2", "tome")],
    )
    assert list(lines) == [
        "t/user.md:2: the query has no column 'bodi'; did you mean 'body'?",
        "t/pipeline.yaml:8: for_each.tone: the query has a column 'tone' too: choose another name",
        "t/pipeline.yaml:3: source.key: the query has no column 'locale'",
        "t/checks.yaml:2: the query has no column 'tome'; did you mean 'tone'?",
    ]


def test_a_column_in_the_cached_prefix_is_told_with_its_line() -> None:
    assert list(prefix_problems(Template("a\n{{ body }}", file="system.md"))) == [
        "system.md:2: the column 'body' differs from row to row, so the prompt cannot be cached"
    ]
