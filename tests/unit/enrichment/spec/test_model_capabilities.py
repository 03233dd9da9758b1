"""model.py: what a model cannot do is known before anything is sent."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from include.enrichment.spec.model_capabilities import (
    ModelCapabilities,
    model_problems,
    retirement_warning,
    unknown_model_message,
)
from include.enrichment.spec.settings import RequestSettings

OFFERED = ["claude-sonnet-5", "claude-haiku-5-5"]
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
    return list(model_problems(ModelCapabilities(**ABLE | model), request))


@pytest.mark.parametrize("thinking", [None, "adaptive", "disabled"])
@pytest.mark.parametrize("model", [{}, SILENT, {"lifecycle": "deprecated"}])
def test_a_model_that_can_or_does_not_say_has_no_problem(model: dict[str, Any], thinking: str | None) -> None:
    assert _problems(model, thinking=thinking) == []


@pytest.mark.parametrize(
    ("model", "settings", "problem"),
    [
        ({"lifecycle": "retired"}, {}, "it is retired"),
        (
            {"lifecycle": "retired", "model_id": "claude-sonnet-4-5-20250929"},
            {},
            "it is retired; claude-sonnet-5-5 comes in its place",
        ),
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


def _warning(today: date, **model: Any) -> str:
    return retirement_warning(ModelCapabilities(**ABLE | model), today=today)


@pytest.mark.parametrize(
    ("model", "today", "told"),
    [
        (
            {"retires_on": date(2027, 1, 22)},
            date(2026, 11, 23),
            "Model claude-haiku-5-5 retires on 2027-01-22, in 60 days, and the API refuses it from then on. Change"
            " request.model; every row is then requested, and billed, again.",
        ),
        ({"retires_on": date(2027, 1, 22)}, date(2027, 1, 22), "retires on 2027-01-22, today,"),
        ({"model_id": "claude-opus-4-5"}, date(2026, 11, 30), "2027-01-22, in 53 days, and"),
        ({"model_id": "claude-opus-4-5-20251101"}, date(2026, 11, 30), "; claude-opus-5-5 comes in its place."),
        ({"model_id": "claude-sonnet-4-5"}, date(2026, 11, 29), "2026-11-30, tomorrow,"),
        ({"model_id": "claude-sonnet-4-5", "retires_on": date(2027, 1, 1)}, date(2026, 11, 29), "2027-01-01, in 33"),
        (
            {"model_id": "claude-sonnet-4-5", "lifecycle": "deprecated"},
            date(2026, 12, 1),
            "was to retire on 2026-11-30, and the API may refuse it any day; claude-sonnet-5-5 comes in its place",
        ),
        ({"lifecycle": "deprecated"}, date(2026, 11, 1), "is deprecated, and the API does not say yet"),
    ],
)
def test_a_model_that_retires_within_sixty_days_is_told(model: dict[str, Any], today: date, told: str) -> None:
    assert told in _warning(today, **model)


def test_one_that_stays_longer_or_is_gone_already_has_no_warning() -> None:
    assert _warning(date(2026, 11, 30)) == ""
    assert _warning(date(2026, 11, 22), retires_on=date(2027, 1, 22)) == ""
    assert _warning(date(2026, 11, 30), retires_on=date(2026, 11, 1), lifecycle="retired") == ""


def test_a_model_that_has_retired_is_told_with_what_came_in_its_place() -> None:
    told = ". It retired on 2026-11-30; claude-sonnet-5-5 comes in its place."
    assert unknown_model_message("claude-sonnet-4-5", OFFERED, today=date(2026, 11, 30)) == told
    assert "retired" not in unknown_model_message("claude-sonnet-4-5", OFFERED, today=date(2026, 11, 29))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("claude-haiku-5.5", "; did you mean 'claude-haiku-5-5'?"),
        ("claude-sonet-5", "; did you mean 'claude-sonnet-5'?"),
        ("gpt", "."),
    ],
)
def test_a_model_that_nobody_knows_is_told_with_the_nearest_name(name: str, told: str) -> None:
    assert unknown_model_message(name, OFFERED, today=date(2026, 11, 30)) == told
