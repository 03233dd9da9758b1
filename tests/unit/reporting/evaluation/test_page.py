"""page.py: the HTML, parsed."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest

from include.evaluation.result import Confusion, JudgeAgreement, PositionBias, Repeats, VariantFacts
from include.reporting.evaluation.page import render_report
from tests.fixtures.evaluation_report import Line, decision, metric, result, scores

LINES: list[Line] = [(0, "current", 1, "Toys", "Toys"), (0, "short", 0, "Toys", "Books")]
FACTS: dict[str, Any] = {"model": "m", "answers": 1, "invalid": 0}
#: A result with something in every section.
FULL: dict[str, Any] = {
    "gate": [decision(), decision(variant="long", verdict="inconclusive", more_cases=1_200, on="warn")],
    "metrics": [metric(), metric("short", 0.7), metric(by="shelf", group="s0")],
    "repeats": [
        Repeats(metric="category", variant="short", samples=3, consistency=0.9, flickering=2, pass_at={1: 0.8})
    ],
    "agreements": [
        JudgeAgreement(
            metric="pitch",
            judge="pitch_judge",
            with_whom="human",
            cases=50,
            statistic="Cohen's kappa",
            value=0.43,
            threshold=0.6,
            trusted=False,
        )
    ],
    "position_bias": [
        PositionBias(metric="pitch", judge="pairs", pairs=10, disagreements=3, unscored=1, first_share=0.63)
    ],
    "confusions": [Confusion(metric="category", variant="short", labels=["Toys", "Books"], counts=[[5, 1], [0, 4]])],
    "verdict": "fail",
}


@dataclass
class Parsed(HTMLParser):
    """The elements of a page, and its text without style and script."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    raw: dict[str, str] = field(default_factory=dict)
    _within: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""
        if tag not in ("strong", "code", "ins", "del", "bdi"):
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if self._within in ("style", "script"):
            self.raw[self._within] = data
        else:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


def _parsed(lines: list[Line] = LINES, **fields: Any) -> Parsed:
    found = Parsed()
    found.feed(render_report(result(**fields), scores(lines)).decode())
    return found


def test_the_policy_knows_the_only_script_and_the_only_style_by_their_hash() -> None:
    found = _parsed(**FULL)
    [policy] = [one["content"] for one in found.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert len(found.all("script")) == len(found.all("style")) == 1
    for tag, text in found.raw.items():
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_the_page_reaches_no_network_and_has_no_inline_code() -> None:
    found = _parsed(**FULL)
    assert {tag for tag, _ in found.elements}.isdisjoint({"link", "img", "iframe", "object", "embed", "form", "base"})
    names = {name for _, attributes in found.elements for name in attributes}
    assert names.isdisjoint({"src", "srcset", "style", "action"})
    assert not [name for name in names if name.startswith("on")]
    assert all(link["href"].startswith("#") for link in found.all("a"))


def test_every_link_has_its_section_and_every_label_its_id() -> None:
    found = _parsed(**FULL)
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in found.all("a")} <= set(ids)
    assert {
        attributes["aria-labelledby"] for _, attributes in found.elements if "aria-labelledby" in attributes
    } <= set(ids)


def test_texts_of_cases_and_answers_are_escaped() -> None:
    odd = '</script><img src=x onerror="alert(1)">{{ 7 * 7 }}\u202e'
    shown = odd.replace("\u202e", "\ufffd")
    found = _parsed([(0, "current", 1, odd, odd), (0, "short", 0, odd, "Toys " + odd)], partition=odd)
    assert found.text.count(shown) >= 4
    assert found.all("img") == []
    assert len(found.all("script")) == 1


@pytest.mark.parametrize(
    ("fields", "word", "tone"),
    [
        ({"gate": [decision(verdict="pass")], "verdict": "pass"}, "Pass", "pass"),
        ({"gate": [decision()], "verdict": "fail"}, "Fail", "fail"),
        ({"gate": [decision(verdict="inconclusive")], "verdict": "inconclusive"}, "Inconclusive", "inconclusive"),
        ({}, "No gate", "none"),
    ],
)
def test_the_verdict_has_a_word_and_a_colour(fields: dict[str, Any], word: str, tone: str) -> None:
    found = _parsed(**fields)
    assert {"class": f"verdict {tone}"} in found.all("div")
    assert f"{word}: evaluation of products" in found.text


def test_a_trial_is_reported() -> None:
    assert "Trial. Only 50 rows of the partition were evaluated." in _parsed(trial=50).text
    assert "Trial." not in _parsed().text


def test_a_pipeline_without_variants_is_named() -> None:
    single = {"metrics": [metric("")], "comparisons": [], "variants": [VariantFacts(variant="", **FACTS)]}
    assert _parsed([(0, "", 0, "Toys", "Books")], **single).text.count("the pipeline") == 3


def test_simulated_answers_are_never_shown_as_claudes() -> None:
    assert "SIMULATED. The emulator gave these answers, not Claude" in _parsed(simulated=True).text
    assert "imulated" not in _parsed().text


def test_a_judge_below_its_threshold_is_not_to_be_trusted() -> None:
    text = _parsed(**FULL).text
    assert "Do not trust pitch_judge for pitch. Its agreement with people is 0.43, below the required 0.60." in text


def test_sections_without_figures_are_left_out() -> None:
    links = [link["href"] for link in _parsed(comparisons=[]).all("a")]
    assert links == ["#scores", "#cost", "#variants", "#cases", "#about"]
    assert len(_parsed(**FULL).all("a")) == 10


def test_a_case_carries_what_the_filter_asks_for() -> None:
    found = _parsed(**FULL)
    [case] = found.all("article")
    assert {name: case[name] for name in ("data-metric", "data-outcome", "data-group-0")} == {
        **{"data-metric": "category", "data-outcome": "worse", "data-group-0": "s0"}
    }
    values = [option.get("value") for option in found.all("option")]
    assert {"worse", "0=s0"} <= set(values)


def test_an_evaluation_without_cases_has_a_page() -> None:
    empty: dict[str, Any] = {"metrics": [], "comparisons": [], "cases": 0, "variants": []}
    assert "All scored answers are right." in _parsed([], **empty).text
