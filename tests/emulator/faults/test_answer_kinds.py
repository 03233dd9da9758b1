"""answer_kinds.py: answers are right, and judges prefer, as often as they are set to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic import Anthropic

from include.emulator.faults.answer_kinds import Accuracy, Preference
from include.emulator.faults.fault_list import FaultError, decode, encode, parse
from tests.emulator.conftest import create, ended, request, results
from tests.fixtures.emulator import Emulator

SHELVES = ["audio", "games", "office"]
TRUTH = {f"p{number}": SHELVES[number % 3] for number in range(300)}
CASE = 'name="(.*?)"'
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"shelf": {"type": "string", "enum": SHELVES}},
    "required": ["shelf"],
}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}


def shelves(changes: Accuracy, seeds: int = 0) -> dict[str, Any]:
    return {
        name: changes.change("made", f'<product name="{name}">', seeds + number) for number, name in enumerate(TRUTH)
    }


def test_values_are_right_with_the_set_probability_and_the_others_are_of_the_same_kind() -> None:
    found = shelves(Accuracy(field="shelf", case=CASE, truth=TRUTH, share=0.8))
    right = sum(found[name] == TRUTH[name] for name in TRUTH) / len(TRUTH)
    assert 0.75 < right < 0.85
    assert set(found.values()) == set(SHELVES)


def test_the_same_request_gets_the_same_value_and_another_sample_its_own() -> None:
    half = Accuracy(field="shelf", case=CASE, truth=TRUTH, share=0.5)
    assert shelves(half) == shelves(half)
    assert shelves(half) != shelves(half, seeds=1_000)


def test_a_case_without_a_truth_keeps_its_value() -> None:
    always = Accuracy(field="shelf", case=CASE, truth=TRUTH, share=0)
    assert always.change("made", '<product name="unknown">', 1) == "made"
    assert always.change("made", "no product", 1) == "made"


def test_without_a_truth_the_made_value_is_right() -> None:
    half = Accuracy(field="total", share=0.5, wrong=(0, 100))
    found = [half.change(100, "", seed) for seed in range(200)]
    assert set(found) == {0, 100}
    assert 70 < found.count(100) < 130


def pair(one: str, other: str) -> str:
    return f"<first>{one}</first><second>{other}</second>"


PREFERENCE: dict[str, Any] = {"first": "<first>(.*?)</first>", "second": "<second>(.*?)</second>", "better": "good"}


def verdicts(judge: Preference) -> tuple[list[str], list[str]]:
    """Those of 400 pairs with the good answer first, and with it second."""
    pairs = [(f"good {number}", f"poor {number}") for number in range(400)]
    return (
        [judge.change(None, pair(good, poor), 1) for good, poor in pairs],
        [judge.change(None, pair(poor, good), 1) for good, poor in pairs],
    )


def test_a_judge_without_position_bias_prefers_the_same_answer_in_both_orders() -> None:
    one, other = verdicts(Preference(**PREFERENCE, share=0.75))
    assert 270 < one.count("first") < 330
    assert other == [{"first": "second", "second": "first"}[verdict] for verdict in one]


def test_a_judge_with_position_bias_prefers_the_first_answer_of_some_pairs_in_both_orders() -> None:
    one, other = verdicts(Preference(**PREFERENCE, share=0.5, by_position=0.4))
    by_position = sum(a == b == "first" for a, b in zip(one, other, strict=True))
    assert 130 < by_position < 190
    assert 0.65 < (one.count("first") + other.count("first")) / 800 < 0.75
    assert not any(a == b == "second" for a, b in zip(one, other, strict=True))


def test_answers_of_which_none_is_better_tie_and_a_request_without_two_answers_is_not_changed() -> None:
    judge = Preference(**PREFERENCE)
    assert judge.change("made", pair("good 1", "good 2"), 1) == "tie"
    assert judge.change("made", pair("poor 1", "poor 2"), 1) == "tie"
    assert judge.change("made", "<first>good</first>", 1) == "made"


@pytest.mark.parametrize(
    ("wrong", "fact"),
    [
        ({"kind": "accuracy", "field": "a", "truth": {"b": 1}}, "set both `case` and `truth`"),
        ({"kind": "accuracy", "field": "a"}, "`wrong` must list values"),
        (
            {"kind": "accuracy", "field": "a", "case": "(b)", "truth": {"p": 1}, "share": 0.5},
            "values in `truth` are the",
        ),
        ({"kind": "accuracy", "field": "a", "case": "b", "truth": {}}, "one group"),
        ({"kind": "accuracy", "field": "a", "case": "(", "truth": {}}, "not a regular expression"),
        ({"kind": "preference", **PREFERENCE, "better": "("}, "not a regular expression"),
        ({"kind": "accuracy", "field": "a", "wrongs": [1]}, "Did you mean 'wrong'"),
    ],
)
def test_mistakes_are_reported_when_the_list_is_set(wrong: dict[str, Any], fact: str) -> None:
    with pytest.raises(FaultError, match=fact):
        parse(json.dumps([wrong]))


def test_they_survive_a_restart() -> None:
    faults = [Accuracy(field="a", case=CASE, truth={"p": None}), Preference(**PREFERENCE)]
    assert decode(encode(faults)) == faults


def test_they_apply_to_a_model_and_to_a_prompt(emulator: Emulator, client: Anthropic) -> None:
    truth = {"p1": "games", "p2": "audio"}
    emulator.set_faults(
        [
            {"kind": "accuracy", "field": "shelf", "case": CASE, "truth": truth, "share": 0, "match": "careless"},
            {"kind": "accuracy", "field": "shelf", "case": CASE, "truth": truth, "model": "claude-sonnet-4-5"},
        ]
    )
    asked = [
        request('<p name="p1">', output_config=FORMAT, system=system, model=model)
        for model in ("claude-haiku-4-5", "claude-sonnet-4-5")
        for system in ("careful", "careless")
        for _ in range(10)
    ]
    found = results(client, ended(client, create(client, *asked).id).id)
    answers = [json.loads(found[f"r-{number}"]["message"]["content"][0]["text"])["shelf"] for number in range(40)]
    assert set(answers[20:]) == {"games"}, "the later fault wins"
    assert "games" not in answers[10:20]
    assert answers[:10] != ["games"] * 10
