from __future__ import annotations

import json
from pathlib import Path

import pytest

from include.enrichment.answers.schema.output import read_output
from include.enrichment.errors import SpecError
from include.enrichment.requests.request import make_request
from include.enrichment.spec.cascade.escalation import (
    Doubt,
    condition_problems,
    escalated_request,
    models_of,
    request_groups,
)
from include.enrichment.spec.pipeline_folder import load_pipeline
from include.enrichment.spec.variants.settings import RequestSettings
from tests.fixtures.flow import FILES, SCHEMA, write_pipeline

OUTPUT = read_output(json.dumps(SCHEMA))
ANSWERS = [
    '{"topic": "other", "urgent": true}',
    '{"topic": "bug", "urgent": false}',
    '{"topic": "bug", "urgent": true}',
]
SMALL, LARGE = "claude-haiku-5-5", "claude-opus-5-5"


def found(when: str) -> list[bool]:
    with Doubt(when, OUTPUT, location="tickets/pipeline.yaml:2: request.escalate.when") as doubt:
        return doubt.of(ANSWERS)


@pytest.mark.parametrize(
    ("when", "doubtful"),
    [
        ("topic = 'other'", [True, False, False]),
        ("Topic = 'other' or urgent", [True, False, True]),
        ("words is null", [True, True, True]),
        ("len(words) > 3", [False, False, False]),  # NULL is not true
        ("true", [True, True, True]),
        ("urgent -- a comment", [True, False, True]),
    ],
)
def test_the_condition_sees_the_output_as_it_is_published(when: str, doubtful: list[bool]) -> None:
    assert found(when) == doubtful


def test_a_condition_that_fails_on_an_answer_names_its_place() -> None:
    with pytest.raises(
        SpecError, match=r"pipeline.yaml:2: request.escalate.when: fails on an answer: Could not convert string 'other'"
    ):
        found("cast(topic as integer) = 1")


def test_an_answer_is_data_and_never_part_of_the_condition() -> None:
    with Doubt("text = 'other'", read_output(None), location="") as doubt:
        assert doubt.of(["') or true --", "other"]) == [False, True]


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("topics = 'other'", "no column 'topics'; did you mean 'topic'? It has: topic, urgent, words"),
        ("body = ''", "no column 'body'. It has: topic, urgent, words"),
        ("topic", "is VARCHAR, not a condition: write a comparison"),
        ("count(topic) > 1", "aggregate"),
    ],
)
def test_a_condition_that_cannot_be_judged_says_why(when: str, problem: str) -> None:
    (fact,) = condition_problems(when, OUTPUT)
    assert problem in fact


def test_an_escalated_request_differs_in_its_model_alone_and_has_an_id_of_its_own() -> None:
    request = make_request(b'{"model":"small","max_tokens":1.50,"messages":[{"role":"user","content":"x"}]}')
    salted = make_request(request.params.encode(), salt="sample 2")
    first, second = (escalated_request(one, to="large") for one in (request, salted))
    assert first.params == second.params == request.params.replace("small", "large")
    assert len({request.request_id, salted.request_id, first.request_id, second.request_id}) == 4
    assert first == escalated_request(request, to="large")


def test_each_group_has_one_model_and_no_variant_can_have_the_name_of_an_escalation(tmp_path: Path) -> None:
    yaml = (
        f"{FILES['pipeline.yaml']}variants:\n  small: {{}}\n"
        f"  to: {{max_tokens: 100, escalate: {{to: {LARGE}, when: urgent}}}}\n"
    )
    groups = request_groups(load_pipeline(write_pipeline(tmp_path / "tickets", pipeline_yaml=yaml)))
    assert {name: (one.variant, one.pipeline.models) for name, one in groups.items()} == {
        "small": ("small", SMALL),
        "to": ("to", f"{SMALL}, {LARGE}"),
        f"to to {LARGE}": ("to", LARGE),
    }
    assert groups[f"to to {LARGE}"].pipeline.settings.request.max_tokens == 100


def test_a_variant_that_escalates_shares_no_request_and_a_pipeline_that_begins_to_keeps_its_answers(
    tmp_path: Path,
) -> None:
    def ids(folder: str, request: str, more: str = "") -> list[str]:
        yaml = FILES["pipeline.yaml"].replace("max_tokens: 200", f"max_tokens: 200{request}") + more
        pipeline = load_pipeline(write_pipeline(tmp_path / folder / "tickets", pipeline_yaml=yaml))
        row = {"ticket": "T1", "body": "Hello"}
        return [one.render(row).request_id for _, one in pipeline.renderers(list(row), run_id="r")]

    escalate = f"escalate: {{to: {LARGE}, when: urgent}}"
    own = ids("plain", "")
    assert ids("escalates", f", {escalate}") == own
    first, second = ids("varied", "", f"variants: {{small: {{}}, cascade: {{{escalate}}}}}\n")
    assert [first] == own
    assert second != first


def test_a_model_is_named_before_the_one_it_escalates_to() -> None:
    def request(model: str, **more: object) -> RequestSettings:
        return RequestSettings.model_validate({"model": model, "max_tokens": 1, **more})

    to_large = {"escalate": {"to": LARGE, "when": "true"}}
    assert models_of([request(SMALL, **to_large), request("x"), request(LARGE, **to_large)]) == [SMALL, LARGE, "x"]
