"""model.py: what a model cannot do is known before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from include.enrichment.model import Model, model_problems
from include.enrichment.settings import RequestSettings

ABLE: dict[str, Any] = {
    "model_id": "claude-haiku-5-5",
    "lifecycle": "active",
    "max_tokens": 64_000,
    "batches": True,
    "structured_outputs": True,
    "thinking_types": {"adaptive": True, "disabled": True, "enabled": False},
}
SILENT: dict[str, Any] = {"max_tokens": None, "batches": None, "structured_outputs": None, "thinking_types": {}}


def _problems(model: dict[str, Any], **settings: Any) -> list[str]:
    request = RequestSettings(**{"model": "claude-haiku-5-5", "max_tokens": 400, **settings})
    return list(model_problems(Model(**ABLE | model), request))


@pytest.mark.parametrize("thinking", [None, "adaptive", "disabled"])
@pytest.mark.parametrize("model", [{}, SILENT, {"lifecycle": "deprecated"}])
def test_a_model_that_can_or_does_not_say_has_no_problem(model: dict[str, Any], thinking: str | None) -> None:
    assert _problems(model, thinking=thinking) == []


@pytest.mark.parametrize(
    ("model", "settings", "problem"),
    [
        ({"lifecycle": "retired"}, {}, "it is retired"),
        ({"batches": False}, {}, "it does not take batches"),
        ({"structured_outputs": False}, {}, "it does not take output schemas"),
        ({}, {"max_tokens": 64_001}, "request.max_tokens is 64,001, its most is 64,000"),
        (
            {"thinking_types": {"adaptive": False, "disabled": True, "enabled": True}},
            {"thinking": "adaptive"},
            "request.thinking: adaptive is not for it (it takes: disabled, enabled)",
        ),
        (
            {"thinking_types": {"disabled": False}},
            {"thinking": "disabled"},
            "request.thinking: disabled is not for it (it takes: none)",
        ),
    ],
)
def test_each_thing_it_cannot_do_is_told(model: dict[str, Any], settings: dict[str, Any], problem: str) -> None:
    assert _problems(model, **settings) == [problem]


def test_its_most_tokens_are_still_allowed() -> None:
    assert _problems({}, max_tokens=64_000) == []


def test_all_of_it_is_told_at_once() -> None:
    unable = {"lifecycle": "retired", "batches": False, "structured_outputs": False, "max_tokens": 1}
    assert len(_problems(unable)) == 4
