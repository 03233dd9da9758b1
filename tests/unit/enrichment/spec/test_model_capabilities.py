"""model_capabilities.py: a model that cannot serve a pipeline is reported before anything is sent."""

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
from include.enrichment.spec.variants.settings import RequestSettings

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


def _problems(model: dict[str, Any], *, has_schema: bool = True, **settings: Any) -> list[str]:
    request = RequestSettings(**{"model": "claude-haiku-5-5", "max_tokens": 400, **settings})
    return list(model_problems(ModelCapabilities(**ABLE | model), request, has_schema=has_schema, has_documents=False))


@pytest.mark.parametrize("thinking", [None, "adaptive", "disabled"])
@pytest.mark.parametrize("model", [{}, SILENT, {"lifecycle": "deprecated"}])
def test_a_model_has_no_problem_if_it_is_capable_or_does_not_say(model: dict[str, Any], thinking: str | None) -> None:
    assert _problems(model, thinking=thinking) == []


def test_for_text_a_model_need_not_support_output_schemas() -> None:
    assert _problems({"structured_outputs": False}, has_schema=False) == []


@pytest.mark.parametrize(
    ("model", "settings", "problem"),
    [
        ({"lifecycle": "retired"}, {}, "it is retired"),
        (
            {"lifecycle": "retired", "model_id": "claude-sonnet-4-5-20250929"},
            {},
            "it is retired; its successor is claude-sonnet-5-5",
        ),
        ({"batches": False}, {}, "it does not support batches"),
        ({"structured_outputs": False}, {}, "it does not support output schemas"),
        ({}, {"max_tokens": 64_001}, "request.max_tokens is 64,001, its maximum is 64,000"),
        (
            {"thinking_types": {"adaptive": False, "disabled": True, "enabled": True}},
            {"thinking": "adaptive"},
            "request.thinking: adaptive is not supported (supported: disabled, enabled)",
        ),
        (
            {"thinking_types": {"disabled": False}},
            {"thinking": "disabled"},
            "request.thinking: disabled is not supported (supported: none)",
        ),
        (
            {"efforts": {"low": True, "high": True, "max": False}},
            {"effort": "max"},
            "request.effort: max is not supported (supported: low, high)",
        ),
    ],
)
def test_each_missing_capability_is_reported(model: dict[str, Any], settings: dict[str, Any], problem: str) -> None:
    assert _problems(model, **settings) == [problem]


def test_its_maximum_of_tokens_is_allowed() -> None:
    assert _problems({}, max_tokens=64_000) == []


def test_all_problems_are_reported_at_once() -> None:
    unable = {"lifecycle": "retired", "batches": False, "structured_outputs": False, "max_tokens": 1}
    assert len(_problems(unable)) == 4


def _warning(today: date, **model: Any) -> str:
    return retirement_warning(ModelCapabilities(**ABLE | model), today=today)


@pytest.mark.parametrize(
    ("model", "today", "expected"),
    [
        (
            {"retires_on": date(2027, 1, 22)},
            date(2026, 11, 23),
            "Model claude-haiku-5-5 retires on 2027-01-22, in 60 days; the API rejects it from that day. Change"
            " request.model; every row is then requested and billed again.",
        ),
        ({"retires_on": date(2027, 1, 22)}, date(2027, 1, 22), "retires on 2027-01-22, today;"),
        ({"model_id": "claude-opus-4-5"}, date(2026, 11, 30), "2027-01-22, in 53 days; the"),
        ({"model_id": "claude-opus-4-5-20251101"}, date(2026, 11, 30), "; its successor is claude-opus-5-5."),
        ({"model_id": "claude-sonnet-4-5"}, date(2026, 11, 29), "2026-11-30, tomorrow;"),
        ({"model_id": "claude-sonnet-4-5", "retires_on": date(2027, 1, 1)}, date(2026, 11, 29), "2027-01-01, in 33"),
        (
            {"model_id": "claude-sonnet-4-5", "lifecycle": "deprecated"},
            date(2026, 12, 1),
            "was to retire on 2026-11-30; the API may reject it any day; its successor is claude-sonnet-5-5",
        ),
        ({"lifecycle": "deprecated"}, date(2026, 11, 1), "is deprecated; its retirement date is not announced yet"),
    ],
)
def test_a_model_that_retires_within_sixty_days_gives_a_warning(
    model: dict[str, Any], today: date, expected: str
) -> None:
    assert expected in _warning(today, **model)


def test_a_model_that_stays_longer_or_is_retired_gives_no_warning() -> None:
    assert _warning(date(2026, 11, 30)) == ""
    assert _warning(date(2026, 11, 22), retires_on=date(2027, 1, 22)) == ""
    assert _warning(date(2026, 11, 30), retires_on=date(2026, 11, 1), lifecycle="retired") == ""


def test_the_message_about_a_retired_model_names_its_successor() -> None:
    expected = ". It retired on 2026-11-30; its successor is claude-sonnet-5-5."
    assert unknown_model_message("claude-sonnet-4-5", OFFERED, today=date(2026, 11, 30)) == expected
    assert "retired" not in unknown_model_message("claude-sonnet-4-5", OFFERED, today=date(2026, 11, 29))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claude-haiku-5.5", "; did you mean 'claude-haiku-5-5'?"),
        ("claude-sonet-5", "; did you mean 'claude-sonnet-5'?"),
        ("gpt", "."),
    ],
)
def test_the_message_about_an_unknown_model_names_the_closest(name: str, expected: str) -> None:
    assert unknown_model_message(name, OFFERED, today=date(2026, 11, 30)) == expected


@pytest.mark.parametrize(
    ("model", "has_documents", "problems"),
    [
        ({"pdfs": False, "images": False}, True, ["it supports neither PDFs nor images"]),
        ({"pdfs": False, "images": False}, False, []),
        ({"pdfs": False, "images": True}, True, []),
        ({}, True, []),
    ],
)
def test_documents_need_a_model_that_reads_some(
    model: dict[str, Any], has_documents: bool, problems: list[str]
) -> None:
    settings = RequestSettings(model="claude-haiku-5-5", max_tokens=400)
    found = model_problems(ModelCapabilities(**ABLE | model), settings, has_schema=True, has_documents=has_documents)
    assert list(found) == problems
